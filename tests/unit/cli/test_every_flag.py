"""Every flag of every verb can be set by a configuration file and by a variable of the environment."""

import types
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from bertune.cli.app import _VERBS, make_app
from bertune.cli.config_file import _settings_of
from bertune.cli.unknown_options import PREFIX, flags_of

# What a verb cannot do without, and what it takes by its place.
NEEDED: dict[str, dict[str, Any]] = {
    "train": {"data": "d", "out": "o", "text-a": "t", "label": "l"},
    "distill": {"run": "r", "data": "d", "out": "o", "text-a": "t", "label": "l"},
    "sweep": {"data": "d", "out": "o", "text-a": "t", "label": "l"},
    "encode": {"data": "d", "out": "o"},
    "evaluate": {"run": "r"},
    "predict": {"run": "r"},
    "calibrate": {"run": "r"},
    "export": {"run": "r", "out": "o", "format": "transformers"},
    "push": {"run": "r", "name": "n"},
    "verify": {"export": "e"},
    "report": {"run": "r"},
    "inspect": {"what": "w"},
}
# A value of the flag where its type does not say one that can work, and what it needs beside it.
VALUES: dict[str, Any] = {
    "delimiter": ";",
    "encoding": "utf-16",
    "max-bad-rows": 0.25,
    "kind": "regression",
    "task": "mrpc",
    "target-range": [0.0, 5.0],
    "validation": "v",
    "class-weights": ["balanced"],
    "seeds": 3,
    "long-text": "windows",
    "window-stride": 8,
    "label-separator": ";",
    "search-learning-rate": [1e-5, 1e-4],
    "search-batch-size": [8, 16],
    "learning-rate": 0.125,
    "soft-labels": ["p=a", "q=b"],
    "keep-layers": "0,2",
}
BESIDE: dict[str, dict[str, Any]] = {
    "max-bad-rows": {"on-bad-row": "skip"},
    "target-range": {"kind": "regression"},
    "threshold-for": {"threshold": "auto"},
    "window-stride": {"long-text": "windows"},
    "lora-alpha": {"lora": 8},
    "label-separator": {"kind": "multi-label"},
    "allow-no-label": {"kind": "multi-label"},
    "parallel-seeds": {"seeds": 3},
    "average": {"seeds": 3},
    "micro-batch-size": {"batch-size": 16},
}
WITHOUT: dict[str, set[str]] = {"task": {"text-a", "label"}}
EVERY = [(verb, name) for verb in _VERBS for name in sorted(_settings_of(verb))]


def value_for(name: str, hint: Any) -> Any:
    """A value of a type that is not the default of any flag."""
    if name in VALUES:
        return VALUES[name]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return value_for(name, next(option for option in arguments if option is not type(None)))
    if origin is Literal:
        return arguments[-1]
    if origin is tuple:
        return [value_for("", arguments[0])]
    return {str: "x", Path: "x", bool: True, int: 7, float: 0.5}[hint]


def settings_for(verb: str, name: str) -> dict[str, Any]:
    """The flag with its value, and what it cannot do without."""
    needed = {key: value for key, value in NEEDED.get(verb, {}).items() if key not in WITHOUT.get(name, ())}
    beside = {key: value for key, value in BESIDE.get(name, {}).items() if key in _settings_of(verb)}
    return needed | beside | {name: value_for(name, _settings_of(verb)[name])}


def bound(verb: str, config: Path | None) -> dict[str, Any]:
    """What the function of a verb would be called with, by the names of the flags."""
    _, arguments, _ = make_app(config).parse_args([verb], exit_on_error=False, print_error=False)
    values: dict[str, Any] = dict(arguments.arguments)
    for group in filter(is_dataclass, arguments.arguments.values()):
        values |= vars(group)
    return {name.replace("_", "-"): value for name, value in values.items()}


def toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def plain(value: Any) -> Any:
    """A value as a file or variable has it."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("verb", "name"), EVERY, ids=str)
def test_a_flag_is_set_by_a_file_and_by_a_variable(
    verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(verb, name)
    file = tmp_path / "my.toml"
    file.write_text(f"[{verb}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in settings.items()))
    by_file = bound(verb, file)[name]
    for key, value in settings.items():
        variable = f"{PREFIX}{verb}_{key}".replace("-", "_").upper()
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        monkeypatch.setenv(variable, text)
    by_variable = bound(verb, None)[name]
    assert plain(by_file) == settings[name]
    assert plain(by_variable) == settings[name] or str(plain(by_variable)) == str(settings[name])
    assert by_variable == by_file or str(by_variable) == str(by_file)


@pytest.mark.parametrize("verb", _VERBS)
def test_what_a_file_can_set_are_the_flags_of_the_verb(verb: str) -> None:
    flags = {flag.removeprefix("--") for flag in flags_of(make_app(), verb)}
    assert flags - {"help", "help-all", "config", "version"} == set(_settings_of(verb))


# What a verb does without, and why.
LACKS = {
    ("export", "precision"): "the proof is made in fp32",
    ("verify", "precision"): "an export computes in the precision that it was made in",
    ("verify", "device"): "the rows were answered on a processor, as the proof is made",
    ("export", "device"): "what is proved is computed on a processor, as the other runtime does",
    ("push", "precision"): "the proof is made in fp32",
    ("push", "device"): "what is proved is computed on a processor, as the other runtime does",
    ("report", "precision"): "computes nothing",
    ("report", "device"): "computes nothing",
    ("inspect", "precision"): "computes nothing",
    ("inspect", "device"): "computes nothing",
    ("encode", "precision"): "computes nothing",
    ("encode", "device"): "computes nothing",
}


@pytest.mark.parametrize("verb", _VERBS)
def test_all_verbs_have_the_flags_that_all_could_have(verb: str) -> None:
    lacking = {name for name in ("json", "quiet", "precision", "device") if name not in _settings_of(verb)}
    assert lacking == {name for told, name in LACKS if told == verb}
