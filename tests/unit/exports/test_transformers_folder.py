"""A model folder for other programs: the temperature is in its head."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertune import export, load, predict
from bertune.checkpoints.model_folder import LoadedModel
from bertune.cli import main
from bertune.errors import BertuneError, ConfigError
from bertune.evaluation.answer_kinds import sigmoid, softmax
from bertune.exports import transformers_folder
from bertune.exports.tf_checkpoint import read_classifier
from bertune.tokenization.tokenizer import BertTokenizer

FILES = {
    "README.md",
    "SHA256SUMS",
    "agreement.json",
    "bertune.json",
    "config.json",
    "model.safetensors",
    "proof.json",
    "proof_rows.npz",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}
TEXTS = [("one text", "and another"), ("a", "b"), ("some more words", "c")]
MULTI: dict[str, Any] = {"labels": ("a", "b", "c"), "kind": "multi-label", "thresholds": (0.3, 0.5, 0.6)}


CLASSES = {"labels": ("a", "b", "c", "d")}


@pytest.mark.parametrize(
    ("temperature", "kind"),
    [(0.0123, {"thresholds": (0.4,)}), (0.42, CLASSES), (1.0, CLASSES), (3.7, MULTI), (5000.0, CLASSES)],
)
def test_the_folder_gives_calibrated_probabilities_to_whoever_takes_the_softmax_of_its_logits(
    temperature: float, kind: dict[str, Any], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = make_model(temperature=temperature, **kind), tmp_path / "out"
    agreement = export(folder, out, format="transformers", proof_rows=TEXTS)
    assert {path.name for path in out.iterdir()} == FILES
    model, exported = load(folder), load(out)
    assert exported.signature == replace(model.signature, temperature=1.0, folded_temperature=temperature)
    ours, theirs = predict(model, TEXTS), predict(exported, TEXTS)
    by_kind = sigmoid if kind is MULTI else softmax
    # As a program does that knows no signature.
    for answer, shares in zip(ours, by_kind(theirs.logits), strict=True):
        np.testing.assert_allclose(list(answer.probabilities.values()), shares, atol=1e-4)
    assert [answer.label for answer in theirs] == [answer.label for answer in ours]
    # Only the head differs.
    before, after = (load_file(each / "model.safetensors") for each in (folder, out))
    assert {name for name in before if not np.array_equal(before[name], after[name])} == (
        set() if temperature == 1 else {"classifier.weight", "classifier.bias"}
    )
    np.testing.assert_allclose(after["classifier.weight"] * temperature, before["classifier.weight"], rtol=1e-6)
    folded = f"calibrated, temperature {temperature:.4g} is folded into the head"
    assert agreement.probabilities == ("those of the model, whose temperature is 1" if temperature == 1 else folded)


def test_the_card_says_which_probabilities_the_folder_holds(make_model: Callable[..., Path], tmp_path: Path) -> None:
    export(make_model(temperature=0.42), tmp_path / "out", format="transformers", proof_rows=TEXTS)
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "- probabilities: calibrated: the temperature 0.42, fitted on validation data, is folded into the head" in card
    )
    assert "softmax of the logits gives them in every program" in card
    of_model = (tmp_path / "model" / "README.md").read_text()
    assert "those of `bertune export --format transformers` are" in of_model


def test_the_command_says_it_too(
    make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(make_model(temperature=2.5)), str(out), "--format", "transformers"]) == 0
    proved, probabilities, *_speed = capsys.readouterr().out.splitlines()
    assert proved.startswith(f"{out}: transformers, equal on 1,047 rows")
    assert probabilities == "probabilities: calibrated, temperature 2.5 is folded into the head"
    assert main(["inspect", str(out)]) == 0
    assert "a temperature of 2.5 is folded into the head" in capsys.readouterr().out
    # A second temperature on top would belie what the folder says of itself.
    assert main(["calibrate", str(out), "--data", "rows.csv"]) == 2
    assert "calibrate its run, and export that again" in capsys.readouterr().err


def test_a_regression_has_nothing_to_fold(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model(labels=())
    agreement = export(folder, tmp_path / "out", format="transformers", proof_rows=TEXTS)
    assert (agreement.max_difference, agreement.probabilities) == (0.0, "none, a regression has nothing to fold")
    assert np.array_equal(predict(load(tmp_path / "out"), TEXTS).logits, predict(load(folder), TEXTS).logits)


def test_mean_pooling_is_refused(make_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mean pooling cannot be exported to transformers"):
        export(make_model(pooling="mean"), tmp_path / "out", format="transformers")
    assert not (tmp_path / "out").exists()


def test_a_head_that_was_folded_wrongly_is_not_kept(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(temperature=2.0)
    # The temperature is left out of the weights.
    forgotten = load(folder)

    def write(model: LoadedModel, out: Path, between: Path) -> None:
        transformers_folder._write(replace(model, classifier=forgotten.classifier), out, between)

    monkeypatch.setattr(transformers_folder, "FORMAT", replace(transformers_folder.FORMAT, write=write))
    with pytest.raises(BertuneError, match="the export does not equal the model"):
        export(folder, tmp_path / "out", format="transformers", proof_rows=TEXTS)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_holds_the_calibrated_head_too(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model, out = load(make_model(temperature=0.25)), tmp_path / "out"
    before = predict(model, TEXTS)
    agreement = export(model, out, format="tf_checkpoint", proof_rows=TEXTS)
    assert agreement.probabilities == "calibrated, temperature 0.25 is folded into the head"
    signature = json.loads((out / "contract.json").read_text())
    assert (signature["temperature"], signature["folded_temperature"]) == (1.0, 0.25)
    plain = replace(model.signature, temperature=1.0)
    again = predict(LoadedModel(read_classifier(out), BertTokenizer.from_directory(out), plain), TEXTS)
    for one, two in zip(before, again, strict=True):
        assert one.probabilities == pytest.approx(two.probabilities, abs=1e-5)
    # What was exported is as it was.
    assert np.array_equal(predict(model, TEXTS).logits, before.logits)


def test_the_pipeline_of_transformers_gives_our_probabilities(make_model: Callable[..., Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the peer package transformers is not installed")
    folder, out = make_model(temperature=0.3), tmp_path / "out"
    export(folder, out, format="transformers", proof_rows=TEXTS)
    classify = transformers.pipeline("text-classification", str(out), device="cpu")
    answers = classify([{"text": a, "text_pair": b} for a, b in TEXTS], top_k=None)
    for ours, theirs in zip(predict(load(folder), TEXTS), answers, strict=True):
        assert {entry["label"]: entry["score"] for entry in theirs} == pytest.approx(ours.probabilities, abs=1e-5)
