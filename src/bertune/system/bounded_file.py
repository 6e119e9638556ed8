"""Files that are read whole: only plain ones, and none that is larger than its kind can be."""

from pathlib import Path

from bertune.errors import BertuneError, CheckpointError


def read_bounded(path: str | Path, max_bytes: int, *, error: type[BertuneError] = CheckpointError) -> bytes:
    """Reads a file whose size is not trusted.

    Args:
        path: the file.
        max_bytes: a larger one is refused; no more than this is read.
        error: what is raised.

    Raises:
        BertuneError: as `error` says: the file is missing, not a plain file (a named pipe would wait for ever), cannot
            be read, or is too large.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise error(f"{path}: not a file")
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except FileNotFoundError as problem:
        raise error(f"{path}: no such file") from problem
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from problem
    if len(content) > max_bytes:
        raise error(f"{path}: more than {max_bytes:,} bytes, too large for such a file")
    return content
