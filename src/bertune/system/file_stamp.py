"""Size and time of a file, by which it is taken for what it was, as make and rsync take it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The coarsest clock of a file system: a file may change once more within it and keep its time.
_NANOSECONDS_OF_A_TICK: Final = 2_000_000_000


@dataclass(frozen=True)
class FileStamp:
    """Size and time of the last change of a file.

    Args:
        bytes: its size.
        modified: nanoseconds since 1970.
    """

    bytes: int
    modified: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "FileStamp":
        """Looks at a file.

        Raises:
            OSError: there is none.
        """
        found = Path(path).stat()
        return cls(found.st_size, found.st_mtime_ns)

    @property
    def is_settled(self) -> bool:
        """Whether the last change is so long ago that another one would have another time."""
        return time.time_ns() - self.modified > _NANOSECONDS_OF_A_TICK
