"""Which formats there are, and what is said when one cannot be used."""

import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from bertune.cli import main
from bertune.errors import ConfigError
from bertune.exports.formats import _MODULES, FormatName, find_format
from bertune.exports.saved_model import ACTIVATION_KINDS
from bertune.nn.feed_forward import ACTIVATIONS


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else found(name))


def test_every_name_of_a_format_has_a_row_in_the_table() -> None:
    assert tuple(_MODULES) == get_args(FormatName)


def test_every_format_carries_the_name_by_which_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    assert [find_format(name).name for name in _MODULES] == list(_MODULES)


def test_an_unknown_format_gets_the_nearest_one_as_a_hint() -> None:
    with pytest.raises(ConfigError, match="there are transformers, tf_checkpoint, saved_model, onnx") as error:
        find_format("savedmodel")
    assert error.value.hint == "did you mean 'saved_model'?"


@pytest.mark.usefixtures("without_tensorflow")
def test_without_tensorflow_one_line_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["export", str(tmp_path / "model"), str(tmp_path / "out"), "--format", "saved_model"])
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert shown.err == 'error: export format saved_model needs tensorflow: pip install "bertune[tensorflow]"\n'


def test_the_usage_names_the_flag_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: bertune export RUN OUT --format FORMAT [OPTIONS]\n")
    assert "[transformers, tf_checkpoint, saved_model, onnx; required]" in " ".join(shown.split())


@pytest.mark.usefixtures("without_tensorflow")
def test_a_checkpoint_needs_no_tensorflow() -> None:
    assert find_format("tf_checkpoint").name == "tf_checkpoint"


@pytest.mark.parametrize("name", ["transformers", "tf_checkpoint", "onnx"])
def test_only_a_saved_model_takes_texts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["export", str(tmp_path / "model"), str(tmp_path / "out"), "--format", name, "--inputs", "text"])
    assert code == 2
    assert capsys.readouterr().err == (
        f"error: an export to {name} takes ids of tokens, not texts\n"
        "hint: take --format saved_model, or leave out --inputs text\n"
    )


def test_inputs_of_another_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="inputs must be one of ids, text, not 'strings'"):
        find_format("saved_model", "strings")


def test_every_activation_of_the_encoder_can_be_exported() -> None:
    assert set(ACTIVATION_KINDS) == set(ACTIVATIONS)
