"""Folders as Google publishes them, through the command line."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run
from tests.golden.tf_checkpoints_folder import unpack

ONE_EPOCH = ["--epochs", "1", "--max-length", "32"]


@pytest.mark.parametrize("kind", ["functional", "tf1", "hub"])
def test_training_starts_from_a_folder_of_tensorflow_files(kind: str, run: Run, tables: Path, tmp_path: Path) -> None:
    folder, out = unpack(kind, tmp_path), tmp_path / "out"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(folder), "--out", str(out), *ONE_EPOCH)
    assert done.returncode == 0, done.stderr
    assert ": 23,136 parameters; new: " in done.stderr
    receipt = json.loads((out / "receipt.json").read_text())
    assert sum(len(tensor["sources"]) for tensor in receipt["tensors"]) == 39
    # Google's gelu is the tanh approximation; transformers' name for it is in the model folder.
    assert json.loads((out / "model" / "config.json").read_text())["hidden_act"] == "gelu_pytorch_tanh"


@pytest.mark.parametrize("name", ["", "bert_model.ckpt", "bert_model.ckpt.index"])
def test_inspect_shows_every_tensor_of_a_checkpoint(name: str, run: Run, tmp_path: Path) -> None:
    done = run("inspect", str(unpack("tf1", tmp_path) / name), "--json")
    assert done.returncode == 0, done.stderr
    tensors = json.loads(done.stdout)["receipt"]["tensors"]
    assert sum(max(1, len(tensor["sources"])) for tensor in tensors) == 139


def test_inspect_lists_a_checkpoint_without_configuration(run: Run, tmp_path: Path) -> None:
    folder = unpack("functional", tmp_path)
    (folder / "bert_config.json").unlink()
    done = run("inspect", str(folder))
    assert done.returncode == 0, done.stderr
    assert "model/layer_with_weights-0/embeddings/.ATTRIBUTES/VARIABLE_VALUE" in done.stdout
    assert "40 tensors, 23,137 numbers" in done.stdout


def test_a_damaged_checkpoint_exits_3_with_one_line_and_a_hint(run: Run, tables: Path, tmp_path: Path) -> None:
    folder, out = unpack("functional", tmp_path), tmp_path / "out"
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[30_000] ^= 4
    data.write_bytes(content)
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(folder), "--out", str(out), *ONE_EPOCH)
    assert done.returncode == 3
    assert "damaged: the CRC32C of tensor model/layer_with_weights-" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
