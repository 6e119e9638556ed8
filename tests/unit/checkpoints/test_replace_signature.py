from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertune.checkpoints.model_folder import load, replace_signature, save
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import CheckpointError, ConfigError
from bertune.models.classifier import Classifier
from bertune.tokenization.tokenizer import BertTokenizer


@pytest.fixture
def folder(tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature) -> Path:
    return save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=signature)


def test_only_the_signature_the_card_and_the_digests_change(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    chosen = replace(load(folder).signature, temperature=1.5, thresholds=(0.4,))
    replace_signature(folder, chosen)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"bertune.json", "README.md", "SHA256SUMS"}
    assert before.keys() == after.keys()
    assert load(folder).signature == chosen
    assert b"temperature 1.5" in after["README.md"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_damaged_folder_is_not_signed_anew(folder: Path) -> None:
    signature = load(folder).signature
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the file was changed"):
        replace_signature(folder, signature)


def test_files_of_the_users_own_are_not_lost(folder: Path) -> None:
    signature = load(folder).signature
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt would be lost"):
        replace_signature(folder, signature)


def test_an_error_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(folder)
    monkeypatch.setattr("bertune.checkpoints.model_folder.write_digests", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        replace_signature(folder, replace(loaded.signature, temperature=2.0))
    again = load(folder)
    assert again.signature == loaded.signature
    assert torch.equal(again.classifier.classifier.weight, loaded.classifier.classifier.weight)


def test_a_folder_without_a_card_gets_none(folder: Path) -> None:
    (folder / "README.md").unlink()
    replace_signature(folder, replace(load(folder).signature, temperature=2.0))
    assert not (folder / "README.md").exists()
    assert load(folder).signature.temperature == 2.0
