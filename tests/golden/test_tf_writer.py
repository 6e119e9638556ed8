"""What bertune writes as a TF2 checkpoint is what the original writes; hub encoders under a classifier.

Golden files: tests/golden/make_tf_checkpoints.py, from tf-models-official 2.20.0.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.tf_checkpoints_folder import outputs, unpack

from bertune import classifier_model
from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
from bertune.errors import CheckpointError, ConfigError
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def test_a_restored_encoder_is_written_as_the_original_wrote_it(tmp_path: Path) -> None:
    folder = unpack("functional", tmp_path)
    encoder = Encoder.from_config(BertConfig.from_json_file(folder / "bert_config.json"))
    restore(encoder, folder)
    original = TensorBundle(folder / "bert_model.ckpt")
    written = TensorBundle(write_tf_checkpoint(encoder, tmp_path / "ours"))
    assert set(written.tensors) - set(original.tensors) == {"save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    assert set(original.tensors) <= set(written.tensors)
    for name, entry in original.tensors.items():
        assert (written.tensors[name].dtype, written.tensors[name].shape) == (entry.dtype, entry.shape)
        if entry.dtype != "STRING":
            np.testing.assert_array_equal(written.read(name), original.read(name))


def test_a_classifier_is_written_under_the_names_of_the_original(tmp_path: Path) -> None:
    folder = unpack("classifier", tmp_path)
    config = BertConfig.from_json_file(folder / "bert_config.json")
    classifier, encoder = classifier_model(config, 3)
    restore(encoder, folder)
    original = TensorBundle(folder / "ckpt-1")
    written = TensorBundle(write_tf_checkpoint(classifier, tmp_path / "ours"))
    kept = {name for name in original.tensors if "OPTIMIZER" not in name and not name.startswith("optimizer/")}
    assert set(written.tensors) == kept
    other = Encoder.from_config(config)
    restore(other, tmp_path / "ours").assert_consumed()
    assert all(torch.equal(one, two) for one, two in zip(encoder.parameters(), other.parameters(), strict=True))


def test_an_encoder_without_pooler_is_not_written(tmp_path: Path) -> None:
    encoder = Encoder(vocab_size=9, hidden_size=4, num_attention_heads=2, num_hidden_layers=1, pooler=False)
    with pytest.raises(ConfigError, match="without pooler"):
        write_tf_checkpoint(encoder, tmp_path / "ours")


@pytest.mark.parametrize("kind", ["hub", "hub_legacy"])
def test_a_classifier_builds_on_a_hub_encoder_that_stays_open(kind: str, tmp_path: Path) -> None:
    folder, golden = unpack(kind, tmp_path), outputs()
    config = BertConfig.from_json_file(folder / "bert_config.json")
    classifier, encoder = classifier_model(config, 2, hub_module=folder)
    assert classifier.encoder is encoder
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    inputs = {name: golden[name] for name in INPUTS}
    classifier.eval()
    with torch.no_grad():
        expected = classifier.classifier(torch.from_numpy(golden[f"{kind}|pooled_output"]))
        assert torch.allclose(classifier(inputs), expected, rtol=0, atol=1e-5)


def test_a_hub_encoder_of_other_sizes_is_refused(tmp_path: Path) -> None:
    folder = unpack("hub", tmp_path)
    config = BertConfig.from_dict(
        BertConfig.from_json_file(folder / "bert_config.json").to_dict() | {"num_hidden_layers": 1}
    )
    with pytest.raises(CheckpointError, match="16 tensors do not match the model"):
        classifier_model(config, 2, hub_module=folder)
