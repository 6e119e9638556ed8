"""What was mistyped is named, with what was most likely meant."""

from pathlib import Path

import pytest

from bertune.api.familiar_names import FAMILIAR
from bertune.cli.app import _VERBS, main, make_app
from bertune.cli.unknown_options import flags_of, unknown_option
from bertune.errors import ConfigError
from bertune.evaluation.metrics import metric_meant, require_metrics


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--lr", "--learning-rate"),
        ("--text", "--text-a"),
        ("--text-pair", "--text-b"),
        ("--warmup-steps", "--warmup-fraction"),
        ("--num-train-epochs", "--epochs"),
        ("--output-dir", "--out"),
        ("--max_seq_length", "--max-length"),
        ("--model_name_or_path", "--model"),
        ("--txt-a", "--text-a"),
        ("--leraning-rate=3", "--learning-rate"),
        ("--lr=3", "--learning-rate"),
        ("--batch", "--batch-size"),
        ("--num-epochs", "--epochs"),
        ("--epoch", "--epochs"),
    ],
)
def test_an_unknown_option_comes_before_what_is_missing(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", typed, "x"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: bertune train has no option {typed.split('=')[0]}",
        f"hint: did you mean {meant}?",
    ]


@pytest.mark.parametrize("verb", _VERBS)
def test_only_options_of_the_verb_are_suggested(verb: str) -> None:
    app = make_app()
    known = flags_of(app, verb)
    for word in FAMILIAR:
        error = unknown_option(app, [verb, f"--{word}"])
        if error is not None and "did you mean" in str(error.hint):
            assert str(error.hint).split()[-1].rstrip("?") in known


@pytest.mark.parametrize(("verb", "typed"), [("predict", "--lr"), ("train", "--dropout"), ("compare", "--zzz")])
def test_what_is_like_nothing_gets_the_list(verb: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "x", typed, "1"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: bertune {verb} has no option {typed}",
        f"hint: bertune {verb} --help-all lists the options",
    ]


def test_a_model_that_is_used_is_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "runs/x"]) == 2
    assert "did you mean --run?" in capsys.readouterr().err


def test_what_follows_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--", "--lr"]) == 3
    assert "'--lr': no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--data", ""], ["--data="], ["--out", "x", "--label", ""]])
def test_an_empty_value_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 2
    flag = next(each for each in reversed(arguments) if each.startswith("--")).rstrip("=")
    assert f"error: {flag} is empty" in capsys.readouterr().err


def test_a_variable_that_sets_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BERTUNE_TRAIN_EPOCH", "3")
    monkeypatch.setenv("BERTUNE_TRAIN_BATCH_SIZE", "8")
    monkeypatch.setenv("BERTUNE_PREDICT_DEVICE", "cpu")
    monkeypatch.setenv("BERTUNE_TRIAN_SEED", "8")
    monkeypatch.setenv("BERTUNE_TRAIN_LR", "1e-4")
    monkeypatch.setenv("BERTUNE_GLUE_DIR", "glue")
    assert main(["train", "--data", str(tmp_path / "nosuch.csv"), "--out", str(tmp_path / "run")]) == 2
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: BERTUNE_TRAIN_EPOCH in the environment sets nothing; did you mean BERTUNE_TRAIN_EPOCHS?",
        "warning: BERTUNE_TRAIN_LR in the environment sets nothing; did you mean BERTUNE_TRAIN_LEARNING_RATE?",
        "warning: BERTUNE_TRIAN_SEED in the environment sets nothing; did you mean BERTUNE_TRAIN_SEED?",
    ]


def test_an_empty_variable_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BERTUNE_TRAIN_DATA", "")
    assert main(["train", "--out", str(tmp_path / "run")]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "meant"), [("mcc", "matthews"), ("weighted-f1", "f1_macro"), ("acuracy", "accuracy")])
def test_a_metric_by_another_name_is_recognised(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown metric '{name}'") as raised:
        require_metrics([name], "classification")
    assert raised.value.hint is not None
    assert raised.value.hint.startswith(f"did you mean '{meant}'?")


def test_a_metric_of_the_command_line_is_recognised_by_another_name() -> None:
    assert metric_meant("mcc", ["accuracy", "matthews"]) == "matthews"
    assert metric_meant("weighted_f1", ["accuracy", "f1_macro"]) == "f1_macro"
    assert metric_meant("mcc", ["pearson", "spearman"]) is None
