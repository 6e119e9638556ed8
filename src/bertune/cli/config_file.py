"""`--config FILE.toml`: one table a verb, checked to the letter, so that no setting is ignored or bent."""

import tomllib
import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bertune.cli.data_options import DataOptions
from bertune.cli.encode import EncodeSettings
from bertune.cli.predict import ExplainBy
from bertune.errors import ConfigError
from bertune.studies.seed_settings import SeedSettings
from bertune.studies.sweep_settings import SweepSettings
from bertune.text.nearest import did_you_mean
from bertune.training.config import TrainingConfig
from bertune.training.recipe import RecipeName
from bertune.training.run_settings import RunSettings

_SWITCHES: dict[str, Any] = {"json": bool, "quiet": bool}
# Written by a run for its readers; not a setting.
_NOT_SETTINGS = {"made_with"}


def read_config_file(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the tables of a configuration file.

    Returns:
        Verb to its settings by the names of the flags.

    Raises:
        ConfigError: not TOML, an unknown table or key, or a value of another type; names the file and the key.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file ({error})") from error
    except OSError as error:
        raise ConfigError(
            f"--config {path}: {error.strerror}", hint="run.toml of an earlier run is such a file"
        ) from error
    known = _settings_of_verbs()
    tables = {name: value for name, value in document.items() if name not in _NOT_SETTINGS}
    for verb, table in tables.items():
        if verb not in known or not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {verb!r} is not a table of settings",
                hint=did_you_mean(verb, known) or f"the tables are {', '.join(f'[{name}]' for name in known)}",
            )
        _check(path, verb, table, known[verb])
    return tables


def _check(path: Path, verb: str, table: dict[str, Any], known: dict[str, Any]) -> None:
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"{path}: [{verb}] has no setting {key!r}",
                hint=did_you_mean(key, known) or f"see `bertune {verb} --help`",
            )
        if not _fits(value, known[key]):
            raise ConfigError(f"{path}: [{verb}] {key} = {value!r}, expected {_described(known[key])}")


def _settings_of_verbs() -> dict[str, dict[str, Any]]:
    data = _hints(DataOptions) | _SWITCHES | {"run": Path}
    return {
        "train": _hints(RunSettings)
        | _hints(TrainingConfig)
        | _hints(SeedSettings)
        | _SWITCHES
        | {"recipe": RecipeName},
        "sweep": _hints(RunSettings) | _hints(TrainingConfig) | _hints(SweepSettings) | _SWITCHES,
        "evaluate": data | {"label": str | None, "allow-no-label": bool},
        "predict": data
        | {"glue-submission": Path | None, "explain": bool, "explain-by": ExplainBy | None, "limit": int | None},
        "encode": _hints(EncodeSettings) | _SWITCHES,
        "demo": {"out": Path, "model": str},
    }


def _hints(settings: type) -> dict[str, Any]:
    hints = get_type_hints(settings)
    return {field.name.replace("_", "-"): hints[field.name] for field in fields(settings)}


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        fits = isinstance(value, list) and all(_fits(part, arguments[0]) for part in value)
        return fits and (arguments[-1] is Ellipsis or len(value) == len(arguments))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is (str if hint is Path else hint)


def _described(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)} numbers"
        return "a list of texts" if arguments[0] is str else "a list of whole numbers"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    return words[hint]
