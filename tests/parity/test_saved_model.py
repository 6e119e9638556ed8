"""SavedModels, written by bertune and served by TensorFlow.

BERTUNE_ORIGINAL_PYTHON names a Python that has TensorFlow and what bertune depends on.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertune import classifier_model, load, resolve_model, restore, save
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.tokenization.tokenizer import BertTokenizer

ROOT = Path(__file__).parents[2]
ORIGINAL = os.environ.get("BERTUNE_ORIGINAL_PYTHON", "")
SCRIPT = Path(__file__).parent / "serve_with_tensorflow.py"
MRPC = Path(os.environ.get("BERTUNE_GLUE_DIR", ROOT.parent / "shared" / "data" / "glue")) / "MRPC"
SMALL_VOCAB = ROOT / "tests" / "golden" / "small_cased_vocab.txt"
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
SIZES = BertConfig(
    vocab_size=1008,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    initializer_range=0.2,
)

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not ORIGINAL, reason="BERTUNE_ORIGINAL_PYTHON names no Python with TensorFlow"),
]


def in_peer(*arguments: str, own_sources: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the peer's Python; with our sources on its path, or with none."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if own_sources:
        environment["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run([ORIGINAL, *arguments], capture_output=True, text=True, env=environment)


def write_model(
    folder: Path, *, labels: tuple[str, ...] = ("no", "yes"), pooling: Any = "cls", is_pair: bool = True,
    temperature: float = 1.0, **sizes: Any,
) -> Path:  # fmt: skip
    torch.manual_seed(0)
    classifier, _ = classifier_model(replace(SIZES, **sizes), max(1, len(labels)), pooling=pooling)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    kind = "classification" if labels else "regression"
    signature = ModelSignature(
        labels, is_pair, 48, kind, pooling, text_b="sentence2" if is_pair else None,
        metrics=("accuracy",) if labels else ("pearson",), temperature=temperature,
    )  # fmt: skip
    return save(classifier, folder, tokenizer=BertTokenizer(SMALL_VOCAB, do_lower_case=False), signature=signature)


def batches() -> list[dict[str, np.ndarray]]:
    """One row, one token, all positions, padding on either side and in the middle."""
    source = np.random.default_rng(0)
    made = []
    for rows, columns in ((1, 1), (1, 64), (3, 17), (40, 30)):
        mask = np.ones((rows, columns), dtype=np.int32)
        if rows > 1:
            mask[0, columns // 2 :] = 0
            mask[1, :5] = 0
            mask[2, 3:6] = 0
        ids, types = source.integers(1008, size=mask.shape), source.integers(2, size=mask.shape)
        made.append(dict(zip(INPUTS, (ids.astype(np.int32), mask, types.astype(np.int32)), strict=True)))
    return made


KINDS: dict[str, dict[str, Any]] = {
    "pairs, [CLS], exact gelu": {},
    "one text, mean pooling, relu": {"pooling": "mean", "is_pair": False, "hidden_act": "relu"},
    "regression, tanh gelu": {"labels": (), "hidden_act": "gelu_new"},
    "four labels, wide norm": {
        "labels": ("a", "b", "c", "d"),
        "hidden_act": "gelu_tanh",
        "layer_norm_eps": 1e-5,
        "temperature": 0.4,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_tensorflow_serves_the_model_without_bertune(kind: str, tmp_path: Path) -> None:
    folder, out = write_model(tmp_path / "model", **KINDS[kind]), tmp_path / "new" / "out"
    done = in_peer("-m", "bertune", "export", str(folder), str(out), "--format", "saved_model", "--json")
    assert done.returncode == 0, done.stderr
    agreement = json.loads(done.stdout)
    assert agreement["rows"] >= 1000
    assert agreement["max_difference"] <= 1e-4
    assert "tensorflow" in agreement["versions"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    stored = {f"{number}|{name}": array for number, batch in enumerate(batches()) for name, array in batch.items()}
    np.savez(tmp_path / "inputs.npz", **stored, batches=len(batches()), max_positions=64)
    files = [str(tmp_path / name) for name in ("inputs.npz", "outputs.npz")]
    served = in_peer(str(SCRIPT), str(out), *files, own_sources=False)
    assert served.returncode == 0, served.stderr[-2000:]
    seen = json.loads(served.stdout.splitlines()[-1])
    model = load(folder)
    outputs = model.classifier.num_labels
    assert seen["inputs"] == {name: ["int32", [None, None]] for name in INPUTS}
    names = ["logits"] if model.signature.kind == "regression" else ["logits", "probabilities"]
    assert seen["outputs"] == {name: ["float32", [None, outputs]] for name in names}
    # That TensorFlow alone serves it shows that every operation is its own; these call back into Python.
    assert not {"PyFunc", "PyFuncStateless", "EagerPyFunc"} & set(seen["operations"])
    assert b"keras" not in (out / "saved_model.pb").read_bytes().lower()
    assert seen["empty"] == [0, outputs]
    assert seen["assets"] == ["contract.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert seen["modules"] == []
    for what, words in {
        "id": "input_word_ids must lie in 0..1007", "negative id": "input_word_ids must lie in 0..1007",
        "type": "input_type_ids must lie in 0..1", "mask": "input_mask must hold 0 and 1",
        "empty row": "at least one 1 a row", "length": "at most 64 columns",
    }.items():  # fmt: skip
        assert words in seen["refused"][what]
    answers = np.load(tmp_path / "outputs.npz")
    for number, batch in enumerate(batches()):
        with torch.no_grad():
            # The temperature is folded into the head.
            logits = model.classifier(batch) / model.signature.temperature
        np.testing.assert_allclose(answers[f"{number}|logits"], logits.numpy(), rtol=0, atol=1e-5)
        if model.signature.labels:
            probabilities = torch.softmax(logits, dim=-1).numpy()
            np.testing.assert_allclose(answers[f"{number}|probabilities"], probabilities, rtol=0, atol=1e-5)


def test_a_saved_model_is_read_again_without_tensorflow(tmp_path: Path) -> None:
    folder, out = write_model(tmp_path / "model"), tmp_path / "out"
    done = in_peer("-m", "bertune", "export", str(folder), str(out), "--format", "saved_model", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    original = load(folder)
    encoder = Encoder.from_config(BertConfig.from_json_file(out / "bert_config.json"))
    restore(encoder, out).assert_consumed()
    pairs = zip(encoder.parameters(), original.classifier.encoder.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert BertTokenizer.from_directory(out / "assets").digest == original.tokenizer.digest


def test_two_saved_models_are_the_same_bytes_and_are_proved_again(tmp_path: Path) -> None:
    folder, one, two = write_model(tmp_path / "model", temperature=0.5), tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        done = in_peer("-m", "bertune", "export", str(folder), str(out), "--format", "saved_model", "--quiet")
        assert done.returncode == 0, done.stderr
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert names == {path.relative_to(two) for path in two.rglob("*") if path.is_file()}
    assert {str(name) for name in names if (one / name).read_bytes() != (two / name).read_bytes()} <= {"proof.json"}
    done = in_peer("-m", "bertune", "verify", str(one), "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["format"], found["rows"], found["equal_labels"]) == ("saved_model", 256, 1.0)


def test_a_saved_model_that_differs_is_not_kept(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    code = (
        "import sys, bertune\nfrom bertune.exports import saved_model\n"
        "right = saved_model._tensors\n"
        "def wrong(model):\n"
        "    tensors = right(model)\n"
        "    tensors['encoder/layer_1/output/dense/kernel'][0, 0] += 0.5\n"
        "    return tensors\n"
        "saved_model._tensors = wrong\n"
        "bertune.export(sys.argv[1], sys.argv[2], format='saved_model')\n"
    )
    done = in_peer("-c", code, str(folder), str(tmp_path / "out"))
    assert done.returncode == 1
    assert "BertuneError: the export does not equal the model: logits differ by up to" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_real_encoder_is_equal_on_a_thousand_real_rows(tmp_path: Path) -> None:
    encoder_folder = resolve_model("sentence-transformers/all-MiniLM-L6-v2")
    config = BertConfig.from_json_file(encoder_folder / "config.json")
    classifier, encoder = classifier_model(config, 2, seed=0)
    restore(encoder, encoder_folder)
    with torch.no_grad():
        # A head of the size that training gives it: its first weights would make all logits nearly equal.
        classifier.classifier.weight.mul_(10)
    signature = ModelSignature(("not_equivalent", "equivalent"), True, 128, task="mrpc")
    tokenizer = BertTokenizer.from_directory(encoder_folder)
    folder = save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=signature)
    data = ["--data", str(MRPC), "--split", "test"] if MRPC.is_dir() else []
    done = in_peer(
        "-m", "bertune", "export", str(folder), str(tmp_path / "out"), "--format", "saved_model", "--json", *data
    )
    assert done.returncode == 0, done.stderr
    agreement = json.loads(done.stdout)
    print({name: agreement[name] for name in ("rows", "text_rows", "max_difference", "tied_rows", "versions")})
    assert agreement["text_rows"] == (1725 if data else 912)
    assert agreement["rows"] >= 1000
    assert 0 < agreement["max_difference"] <= 1e-4
    assert agreement["tied_rows"] == 0
