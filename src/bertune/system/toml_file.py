"""TOML from disk: configuration files, and the settings of earlier runs."""

import tomllib
from pathlib import Path
from typing import Any, Final

from bertune.errors import BertuneError, DataError
from bertune.system.bounded_file import read_bounded
from bertune.system.json_file import check_values

MAX_TOML_BYTES: Final = 1_000_000
_MEND: Final = "mend the line, or bring the file back from a copy"


def read_toml(path: str | Path, *, error: type[BertuneError] = DataError) -> dict[str, Any]:
    """Reads a TOML file.

    Args:
        path: the file.
        error: what is raised.

    Raises:
        BertuneError: as `error` says: the file is missing, no plain file, too large, not UTF-8, not TOML, nested too
            deeply, or holds a number beyond 64 bits.
    """
    content = read_bounded(path, MAX_TOML_BYTES, error=error)
    try:
        values = tomllib.loads(content.decode("utf-8"))
        check_values(values)
    except RecursionError:
        raise error(f"{path}: not a TOML file (nested too deeply)", hint=_MEND) from None
    except ValueError as problem:
        raise error(f"{path}: not a TOML file ({' '.join(str(problem).split())})", hint=_MEND) from problem
    return values
