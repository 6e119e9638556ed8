"""TOML on disk: configuration files, and the settings of runs."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomli_w

from bertune.errors import BertuneError, ConfigError, DataError
from bertune.system.atomic import write_text
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


def write_toml(path: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes tables of settings, whole or not at all; a link at the place is replaced.

    Args:
        path: the file.
        tables: by name.

    Raises:
        ConfigError: a value is one that `read_toml` would refuse; names the setting.
    """
    for table in tables.values():
        for name, value in table.items():
            try:
                check_values(value)
            except ValueError as problem:
                raise ConfigError(f"{name}: {problem} to be kept in {path.name}") from problem
    write_text(path, tomli_w.dumps(tables), follow=False)
