"""`--config FILE.toml`: one table a verb, checked to the letter, so that no setting is ignored or bent."""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from bertune.errors import ConfigError
from bertune.system.hinted_values import described, fits
from bertune.system.toml_file import read_toml
from bertune.wording.nearest import did_you_mean

# Written by a run for its readers; not a setting.
_NOT_SETTINGS = {"made_with"}


def read_config_file(path: Path, verbs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reads the tables of a configuration file.

    Args:
        path: the file.
        verbs: those that may have a table.

    Returns:
        Verb to its settings by the names of the flags.

    Raises:
        ConfigError: not TOML, an unknown table or key, or a value of another type; names the file and the key.
    """
    if not path.is_file():
        raise ConfigError(
            f"--config {path}: {'not a file' if path.exists() else 'no such file'}",
            hint="run.toml of an earlier run is such a file",
        )
    document = read_toml(path, error=ConfigError)
    tables = {name: value for name, value in document.items() if name not in _NOT_SETTINGS}
    for verb, table in tables.items():
        if verb not in verbs or not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {verb!r} is not a table of settings",
                hint=did_you_mean(verb, verbs) or f"the tables are {', '.join(f'[{name}]' for name in verbs)}",
            )
        _check(path, verb, table, _settings_of(verb))
    return tables


def _check(path: Path, verb: str, table: dict[str, Any], known: dict[str, Any]) -> None:
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"{path}: [{verb}] has no setting {key!r}",
                hint=did_you_mean(key, known) or f"see `bertune {verb} --help`",
            )
        if not fits(value, known[key]):
            raise ConfigError(f"{path}: [{verb}] {key} = {value!r}, expected {described(known[key])}")


def _settings_of(verb: str) -> dict[str, Any]:
    """Finds what a verb takes by name, in its signature: those of its flags, and of the groups of them."""
    function = getattr(importlib.import_module(f"bertune.cli.{verb}"), verb)
    hints = get_type_hints(function)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(hints[name]):
            found |= _hints(hints[name])
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            found[name.replace("_", "-")] = hints[name]
    return found


def _hints(settings: Any) -> dict[str, Any]:
    hints = get_type_hints(settings)
    return {field.name.replace("_", "-"): hints[field.name] for field in fields(settings)}
