"""A family with names of its own goes through the same files as BERT."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.checkpoints.conftest import randomized
from tests.unit.models.toy_family import ToyConfig, know_toy

from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
from bertune.errors import CheckpointError
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder
from bertune.tokenization.tokenizer import BertTokenizer


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Classifier:
    know_toy(monkeypatch)
    torch.manual_seed(3)
    classifier, encoder = classifier_model(ToyConfig(), 2, pooling="mean")
    randomized(encoder)
    return classifier.eval()


@pytest.fixture
def folder(toy: Classifier, tmp_path: Path, tokenizer: BertTokenizer, signature: ModelSignature) -> Path:
    return save(toy, tmp_path / "model", tokenizer=tokenizer, signature=signature)


def test_a_model_folder_has_the_familys_names_and_gives_every_bit_back(toy: Classifier, folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    names = {"toy.embeddings.word_embeddings.weight", "toy.blocks.1.attention.self.key.bias", "out.weight"}
    assert names <= set(stored)
    assert not [name for name in stored if "token_type" in name or name.startswith(("bert.", "classifier."))]
    values = json.loads((folder / "config.json").read_text())
    assert values["model_type"] == "toy_mean"
    assert "position_embedding_type" not in values
    loaded = load(folder).classifier
    assert loaded.encoder.config == toy.encoder.config
    assert loaded.state_dict().keys() == toy.state_dict().keys()
    assert all(torch.equal(value, toy.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_body_without_prefix_is_restored_and_leftovers_are_told(toy: Classifier, tmp_path: Path) -> None:
    table = toy.encoder.family.names
    tensors = {"lm_head.bias": torch.zeros(3), "pooler.dense.bias": torch.zeros(3)}
    for name, parameter in toy.encoder.named_parameters():
        targets = table.stored_names(name)
        tensors |= {
            target: part.clone() for target, part in zip(targets, parameter.detach().chunk(len(targets)), strict=True)
        }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    fresh = Encoder.from_config(fitted_config(ToyConfig(), tmp_path), pooler=False)
    receipt = restore(fresh, tmp_path)
    assert all(torch.equal(value, toy.encoder.state_dict()[name]) for name, value in fresh.state_dict().items())
    unused = {record.name: record.expected for record in receipt.having("unused")}
    assert unused == {"lm_head.bias": True, "pooler.dense.bias": False}  # this family has no pooler to leave out


def test_more_layers_than_the_weights_have_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"num_hidden_layers is 3 there, the weights have 2"):
        fitted_config(ToyConfig(num_hidden_layers=3), folder)


def test_a_tensorflow_checkpoint_is_for_bert_alone(toy: Classifier, encoder: Encoder, tmp_path: Path) -> None:
    checkpoint = write_tf_checkpoint(encoder, tmp_path / "bert_model.ckpt")
    with pytest.raises(CheckpointError, match="holds BERT, this encoder is Toy"):
        restore(toy.encoder, checkpoint)


def test_the_weights_of_another_family_are_refused_by_name(toy: Classifier, folder: Path) -> None:
    bert = Encoder(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=1008)
    with pytest.raises(CheckpointError, match="does not fit this encoder"):
        restore(bert, folder)
