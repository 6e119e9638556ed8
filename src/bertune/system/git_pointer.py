"""The few lines that Git leaves in the place of a large file that was not fetched."""

from pathlib import Path

from bertune.errors import CheckpointError

_START = b"version https://git-lfs"


def refuse_pointer(path: Path, content: bytes) -> None:
    """Refuses a Git LFS pointer where a model's file was expected.

    Args:
        path: the file, for the message.
        content: its first bytes at least.

    Raises:
        CheckpointError: it is a pointer.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
    """
    if content.startswith(_START):
        raise CheckpointError(
            f"{path}: a Git LFS pointer, not the file itself", hint="run `git lfs pull` in the folder it came from"
        )
