"""`--config`: what stands in a file is an option of the verb, whichever it is."""

from dataclasses import is_dataclass
from pathlib import Path

import pytest

from bertune.cli.app import _VERBS, main, make_app
from bertune.cli.config_file import _settings_of, read_config_file
from bertune.errors import ConfigError


@pytest.mark.parametrize(
    ("table", "arguments", "name", "value"),
    [
        ("[compare]\nrows = 3\n", ["compare", "a", "b"], "rows", 3),
        ("[evaluate]\nprecision = 'bf16'\n", ["evaluate", "a"], "precision", "bf16"),
        ("[inspect]\nstrict = true\n", ["inspect", "a"], "strict", True),
        ("[calibrate]\nthreshold = 'auto'\n", ["calibrate", "a"], "threshold", "auto"),
        ("[export]\nformat = 'transformers'\nout = 'o'\n", ["export", "a"], "format", "transformers"),
        ("[verify]\nquiet = true\n", ["verify", "e"], "quiet", True),
        ("[report]\njson = true\n", ["report", "a"], "json", True),
        ("[train]\nverbose = true\ndata = 'd'\nout = 'o'\ntask = 'mrpc'\n", ["train"], "verbose", True),
    ],
)
def test_every_verb_reads_its_options(
    table: str, arguments: list[str], name: str, value: object, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text(table)
    _, bound, _ = make_app(tmp_path / "my.toml").parse_args(arguments, exit_on_error=False, print_error=False)
    values = dict(bound.arguments)
    for group in filter(is_dataclass, bound.arguments.values()):
        values |= vars(group)
    assert values[name] == value


def test_a_key_that_no_verb_has_is_refused_with_the_near_one(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[compare]\nhtmll = 'x'\n")
    with pytest.raises(ConfigError, match=r"\[compare\] has no setting 'htmll'") as raised:
        read_config_file(tmp_path / "my.toml", tuple(_VERBS))
    assert raised.value.hint == "did you mean 'html'?"


def test_an_empty_name_of_the_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "x", "--config", ""]) == 2
    assert "error: --config is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "verbs"),
    [
        ({"precision", "device"}, ("evaluate", "predict", "compare", "calibrate")),
        ({"json", "quiet"}, tuple(_VERBS)),
    ],
)
def test_verbs_that_do_alike_have_the_same_flags(flags: set[str], verbs: tuple[str, ...]) -> None:
    for verb in verbs:
        assert flags <= set(_settings_of(verb)), verb
