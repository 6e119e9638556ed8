"""Untrusted files: only plain ones are opened, and none is read whole that is larger than its kind can be."""

from pathlib import Path

from bertune.errors import BertuneError, CheckpointError


def refuse_pipe(path: str | Path, *, shown: str | None = None, error: type[BertuneError] = CheckpointError) -> None:
    """Refuses what is there and neither a plain file nor a folder; a named pipe would wait for ever.

    Args:
        path: the file; one that is not there is left to whoever opens it.
        shown: how messages call it, if not by its path.
        error: what is raised.

    Raises:
        BertuneError: as `error` says.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise error(f"{path if shown is None else shown}: not a plain file", hint="write it to a file first")


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
