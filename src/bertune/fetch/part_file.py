"""A file that is not whole yet, and what is known of the file it will be.

`NAME.part` holds the bytes so far, `NAME.state` what the server said of the file. They are only resumed when
the server can be asked for the rest of the very same file, by its ETag or the time of its last change.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bertune.errors import CheckpointError, ResourceError
from bertune.system.atomic import put_file_in_place, write_text
from bertune.system.json_file import read_json_object

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class FileState:
    """Metadata of a file, as its server gave it.

    Args:
        etag: a strong ETag, else empty.
        modified: when it was changed, as the server writes it, else empty.
        size: in bytes; None where the server did not say.
        checksums: algorithm to hexadecimal value, as the server gave them.
        sha256: of the whole file, once it is here.
    """

    etag: str = ""
    modified: str = ""
    size: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    @property
    def validator(self) -> str:
        """Validator that tells this state of the file from a later one; empty if there is none."""
        return self.etag or self.modified

    def is_same_file(self, other: "FileState") -> bool:
        """Tells whether another answer is about the same bytes, as far as both tell."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified), (self.size, other.size))
        return all(mine == theirs for mine, theirs in pairs if mine and theirs)


class PartFile:
    """The place of a file that is being fetched.

    Args:
        target: where the whole file will be.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(target.name + ".part")
        self._state_file = target.with_name(target.name + ".state")

    @property
    def size(self) -> int:
        """Bytes that are here and can be resumed."""
        return self.part.stat().st_size if self.part.is_file() else 0

    @property
    def is_whole(self) -> bool:
        """Tells whether the whole file is here."""
        return self.target.is_file() and self.state.size == self.target.stat().st_size

    @property
    def state(self) -> FileState:
        """Returns what is known of the file: nothing if the note is missing or damaged."""
        try:
            return FileState(**read_json_object(self._state_file))
        except (CheckpointError, TypeError):
            return FileState()

    def keep_state(self, state: FileState) -> None:
        """Writes down what the server said, or what the whole file is."""
        with disk_errors(self._state_file):
            write_text(self._state_file, json.dumps(asdict(state), allow_nan=False))

    def finish(self, state: FileState) -> None:
        """Gives the whole file its name."""
        self.keep_state(state)
        with disk_errors(self.target):
            put_file_in_place(self.part, self.target)

    def discard(self) -> None:
        """Forgets everything that is here."""
        for path in (self._state_file, self.part, self.target):
            path.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Says of a full disk what to do.

    Raises:
        ResourceError: no space is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise full(path, error.strerror or "full") from error


def full(path: Path, reason: str) -> ResourceError:
    """The error for a disk on which a download finds no room."""
    return ResourceError(
        f"{path}: {reason}",
        hint="free some space, or set XDG_CACHE_HOME to another disk; the download resumes where it stopped",
    )
