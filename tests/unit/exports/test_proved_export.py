"""The whole road of a format that needs no TensorFlow, and every way it can end."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bertune import export, load, predict
from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.restore import restore
from bertune.data.examples import Examples
from bertune.errors import BertuneError, CheckpointError, ConfigError, DataError
from bertune.evaluation.labelled_rows import TextRows
from bertune.exports import tf_checkpoint
from bertune.exports.proved_export import ExportProgress
from bertune.exports.tf_checkpoint import read_classifier
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.tokenization.tokenizer import BertTokenizer

FILES = {
    "bert_config.json",
    "bert_model.ckpt.data-00000-of-00001",
    "bert_model.ckpt.index",
    "contract.json",
    "proof_rows.npz",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}
TEXTS = [("one text", "and another"), ("a", "b")]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def perturb(monkeypatch: pytest.MonkeyPatch, *, by: float) -> None:
    """Has the writer write a model whose head is a little off."""

    def write(model: LoadedModel, folder: Path, between: Path) -> None:
        with torch.no_grad():
            model.classifier.classifier.bias[1] += by
        tf_checkpoint._write(model, folder, between)

    monkeypatch.setattr(tf_checkpoint, "FORMAT", replace(tf_checkpoint.FORMAT, write=write))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("labels", "activation"),
    [(("different", "same"), "gelu_tanh"), (("a", "b", "c"), "gelu"), (("no", "yes"), "relu"), ((), "gelu_new")],
)
def test_a_checkpoint_is_proved_and_read_again_as_the_same_model(
    labels: tuple[str, ...], activation: str, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(make_model(labels=labels, hidden_act=activation, layer_norm_eps=1e-6))
    stages: list[ExportProgress] = []
    agreement = export(model, tmp_path / "new" / "out", format="tf_checkpoint", on_progress=stages.append)
    out = tmp_path / "new" / "out"
    assert (agreement.rows, agreement.max_difference, agreement.tied_rows) == (1047, 0.0, 0)
    assert {path.name for path in out.iterdir()} == FILES | {"agreement.json", "proof.json"}
    assert list(dict.fromkeys(progress.stage for progress in stages)) == [
        "predicting",
        "writing",
        "checking",
    ]
    assert stages[-1] == ExportProgress("checking", 1047, 1047)
    again = LoadedModel(read_classifier(out), BertTokenizer.from_directory(out), model.signature)
    assert again.tokenizer.digest == model.tokenizer.digest
    assert np.array_equal(predict(again, TEXTS).logits, predict(model, TEXTS).logits)
    assert json.loads((out / "contract.json").read_text())["labels"] == list(labels)


def test_the_agreement_names_model_versions_and_every_file(make_model: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    agreement = export(make_model(), out, format="tf_checkpoint", proof_rows=TEXTS)
    values = json.loads((out / "agreement.json").read_text())
    assert values == json.loads(json.dumps(agreement.to_dict()))
    assert (values["rows"], values["text_rows"], values["tolerance"]) == (1000, 2, 1e-5)
    assert set(values["versions"]) == {"bertune", "python", "torch", "numpy"}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content(out).items() if name in FILES}
    assert values["files"] == digests
    other = export(make_model("other", labels=("a", "b", "c")), out, format="tf_checkpoint", proof_rows=TEXTS)
    assert other.weights_digest != agreement.weights_digest
    assert json.loads((out / "contract.json").read_text())["labels"] == ["a", "b", "c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other", "out"]


def test_a_folder_of_google_files_is_what_training_starts_from(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model(hidden_act="gelu_tanh")
    export(folder, tmp_path / "out", format="tf_checkpoint", proof_rows=TEXTS)
    config = BertConfig.from_json_file(tmp_path / "out" / "bert_config.json")
    assert config.hidden_act == "gelu_tanh"
    assert json.loads((tmp_path / "out" / "bert_config.json").read_text())["hidden_act"] == "gelu"
    encoder = Encoder.from_config(config)
    assert "2 head of an earlier task" in restore(encoder, tmp_path / "out").assert_consumed().summary()
    original = load(folder).classifier.encoder
    assert all(torch.equal(one, two) for one, two in zip(original.parameters(), encoder.parameters(), strict=True))


def test_what_the_model_garden_computes_otherwise_is_said(make_model: Callable[..., Path], tmp_path: Path) -> None:
    exact = export(make_model(layer_norm_eps=1e-6), tmp_path / "out", format="tf_checkpoint", proof_rows=TEXTS)
    assert [warning.split(" ")[2] for warning in exact.warnings] == ["computes", "layer_norm_eps"]
    google = make_model("google", hidden_act="gelu_tanh")
    assert export(google, tmp_path / "google-out", format="tf_checkpoint", proof_rows=TEXTS).warnings == ()


@pytest.mark.parametrize(
    ("long_text", "said"),
    [
        ("first", None),
        ("head-tail", "the first quarter and the last three quarters of 48 tokens are kept"),
        ("windows", "give it such sequences and average their logits"),
    ],
)
def test_an_export_is_proved_on_single_windows_and_says_what_it_does_not_do(
    long_text: str, said: str | None, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(make_model(long_text=long_text, hidden_act="gelu_tanh", layer_norm_eps=1e-12))
    long = "one text of many words and then some more " * 12
    agreement = export(model, tmp_path / "out", format="tf_checkpoint", proof_rows=[(long, "and another"), ("a", "b")])
    rows = TextRows(Examples.from_lists([long, "a"], ["and another", "b"])).encoded_for(model).sequences
    assert agreement.text_rows == len(rows)
    assert (len(rows) > 2) == (long_text == "windows")
    assert agreement.max_difference <= agreement.tolerance
    if said is None:
        assert agreement.warnings == ()
    else:
        assert said in agreement.warnings[0]
        assert agreement.warnings[0].startswith("texts over 48 tokens: ")


def test_a_model_is_proved_in_fp32_and_left_as_it_was(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = load(make_model())
    model.classifier.train()
    model.classifier.encoder.compute_dtype = torch.bfloat16
    assert export(model, tmp_path / "out", format="tf_checkpoint", proof_rows=TEXTS).max_difference == 0
    assert model.classifier.training
    assert model.classifier.encoder.compute_dtype == torch.bfloat16


def test_a_failed_proof_says_how_far_off_and_leaves_nothing(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    perturb(monkeypatch, by=0.125)
    with pytest.raises(BertuneError, match=r"up to 0\.125, at most 1e-05 is allowed \(1,000 of 1,000 rows") as error:
        export(folder, tmp_path / "deep" / "er" / "out", format="tf_checkpoint", proof_rows=TEXTS)
    assert error.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_proof_leaves_the_earlier_export(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = make_model(), tmp_path / "out"
    export(folder, out, format="tf_checkpoint", proof_rows=TEXTS)
    before = content(out)
    perturb(monkeypatch, by=1.0)
    with pytest.raises(BertuneError, match="does not equal the model"):
        export(folder, out, format="tf_checkpoint", proof_rows=TEXTS)
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_a_process_killed_in_the_middle_leaves_no_half_folder(make_model: Callable[..., Path], tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nimport bertune\n"
        "def stop(progress):\n    if progress.stage == 'checking':\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "bertune.export(sys.argv[1], sys.argv[2], format='tf_checkpoint', on_progress=stop)\n"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", code, str(make_model()), str(out)], env=os.environ)
    assert done.returncode == -9
    assert not out.exists()
    # The next one takes the place, whatever the killed one left beside it.
    assert export(tmp_path / "model", out, format="tf_checkpoint", proof_rows=TEXTS).rows == 1000


@pytest.mark.parametrize("kind", ["file", "other", "extra", "broken", "below a file", "model"])
def test_nothing_but_an_earlier_export_is_replaced(kind: str, make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder, out = make_model(), tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "below a file":
        (tmp_path / "file").write_text("mine")
        out = tmp_path / "file" / "out"
    elif kind == "model":
        out = folder
    else:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    if kind == "extra":
        (out / "agreement.json").write_text(json.dumps({"format_version": 1, "files": {"vocab.txt": ""}}))
    if kind == "broken":
        (out / "agreement.json").write_text("{")
    before = content(tmp_path)
    with pytest.raises(ConfigError) as error:
        export(folder, out, format="tf_checkpoint")
    assert str(out) in error.value.message
    assert error.value.hint is not None
    assert content(tmp_path) == before


def test_an_empty_folder_is_taken(make_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(make_model(), tmp_path / "out", format="tf_checkpoint", proof_rows=TEXTS)
    assert (tmp_path / "out" / "agreement.json").is_file()


def test_mean_pooling_has_no_such_checkpoint(make_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mean pooling cannot become a TensorFlow checkpoint") as error:
        export(make_model(pooling="mean"), tmp_path / "out", format="tf_checkpoint")
    assert error.value.hint == "export to saved_model, or train with --pooling cls"
    assert not (tmp_path / "out").exists()


def test_an_encoder_without_head_and_a_damaged_model_are_refused(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_model()
    (folder / "bertune.json").rename(tmp_path / "kept.json")
    with pytest.raises(DataError, match=r"no model in this folder \(no bertune\.json"):
        export(folder, tmp_path / "out", format="tf_checkpoint")
    (tmp_path / "kept.json").rename(folder / "bertune.json")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the file was changed or damaged"):
        export(folder, tmp_path / "out", format="tf_checkpoint")
    with pytest.raises(DataError, match="no such folder"):
        export(tmp_path / "nothing", tmp_path / "out", format="tf_checkpoint")
    assert not (tmp_path / "out").exists()


def test_rows_that_do_not_fit_the_model_are_refused(make_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two texts a row"):
        export(make_model(), tmp_path / "out", format="tf_checkpoint", proof_rows=["a single text"])
    assert not (tmp_path / "out").exists()


def test_a_model_whose_logits_are_no_numbers_is_told_as_such(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = load(make_model())
    with torch.no_grad():
        model.classifier.classifier.weight.fill_(float("inf"))
    with pytest.raises(CheckpointError, match=r"not finite numbers for 1,0\d\d of 1,0\d\d rows") as error:
        export(model, tmp_path / "out", format="tf_checkpoint", proof_rows=TEXTS)
    assert error.value.exit_code == 3
    assert not (tmp_path / "out").exists()
