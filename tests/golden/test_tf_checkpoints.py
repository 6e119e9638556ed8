"""Encoders restored from the original's checkpoints compute what the original computes.

Golden values: tests/golden/make_tf_checkpoints.py, from tf-models-official 2.20.0.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.tf_checkpoints_folder import KINDS, outputs, unpack

from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import find_prefix
from bertune.errors import CheckpointError
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder

TOLERANCE = 1e-5
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# What else is in each file, by the reason why an encoder does not want it.
GRAPH = "the object graph, read for the names"
OPTIMIZER = "state of the optimizer"
HEAD = "head of an earlier task or of pre-training"
SAVES, STEPS, SETTING = "a counter of saves", "a counter of steps", "a setting of the tokenizer"
UNUSED = {
    "functional": {GRAPH: 1},
    "dense_einsum": {GRAPH: 1, SAVES: 1},
    "class_based": {GRAPH: 1, SAVES: 1},
    # 41 variables with two slots each; iter, beta_1, beta_2 and decay.
    "classifier": {GRAPH: 1, SAVES: 1, HEAD: 2, OPTIMIZER: 86},
    # 46 variables with two slots each.
    "tf1": {HEAD: 7, OPTIMIZER: 92, STEPS: 1},
    "pretrainer": {GRAPH: 1, SAVES: 1, HEAD: 5},
    "hub": {GRAPH: 1, SETTING: 1, HEAD: 5},
    "hub_legacy": {GRAPH: 1, SETTING: 1},
}


def config_of(folder: Path) -> BertConfig:
    return BertConfig.from_json_file(folder / "bert_config.json")


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_equal_the_originals(kind: str, tmp_path: Path) -> None:
    folder, golden = unpack(kind, tmp_path), outputs()
    encoder = Encoder.from_config(config_of(folder)).eval()
    restore(encoder, folder).assert_consumed()
    with torch.no_grad():
        output = encoder({name: golden[name] for name in INPUTS})
    assert output.pooled is not None
    real = golden["input_mask"].astype(bool)
    sequence = output.last_hidden_state.numpy()[real] - golden[f"{kind}|sequence_output"][real]
    assert np.abs(sequence).max() <= TOLERANCE
    assert np.abs(output.pooled.numpy() - golden[f"{kind}|pooled_output"]).max() <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_receipt_names_every_tensor_of_the_file(kind: str, tmp_path: Path) -> None:
    folder = unpack(kind, tmp_path)
    encoder = Encoder.from_config(config_of(folder))
    receipt = restore(encoder, folder)
    prefix = find_prefix(folder)
    assert prefix is not None
    sources = [source for record in receipt.having("loaded") for source in record.sources]
    unused = [record.name for record in receipt.having("unused")]
    assert sorted(sources + unused) == sorted(TensorBundle(prefix).tensors)
    assert [record.name for record in receipt.having("loaded")] == [name for name, _ in encoder.named_parameters()]
    reasons = [record.reason for record in receipt.having("unused")]
    assert {reason: reasons.count(reason) for reason in reasons} == UNUSED[kind]


@pytest.mark.parametrize("kind", ["functional", "class_based", "tf1", "hub"])
def test_an_encoder_without_pooler_leaves_the_files_pooler(kind: str, tmp_path: Path) -> None:
    folder = unpack(kind, tmp_path)
    receipt = restore(Encoder.from_config(config_of(folder), pooler=False), folder).assert_consumed()
    reasons = [record.reason for record in receipt.having("unused")]
    assert reasons.count("pooler, which mean pooling does not have") == 2


def test_another_number_of_heads_is_seen_where_the_file_has_the_heads(tmp_path: Path) -> None:
    folder = unpack("functional", tmp_path)
    encoder = Encoder(**(config_of(folder).to_dict() | {"num_attention_heads": 16}))
    with pytest.raises(CheckpointError, match="checkpoint 32 x 4 x 8, encoder 32 x 16 x 2 or 32 x 32"):
        restore(encoder, folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value", "pattern"),
    [
        ("vocab_size", 121, "embeddings.token.weight   checkpoint 120 x 32, encoder 121 x 32"),
        ("num_hidden_layers", 3, r"missing  layers\.2\."),
        ("intermediate_size", 32, "checkpoint 32 x 64, encoder 32 x 32"),
        ("hidden_size", 64, "embeddings.token.weight   checkpoint 120 x 32, encoder 120 x 64"),
    ],
)
def test_other_sizes_are_refused_and_change_nothing(
    kind: str, field: str, value: int, pattern: str, tmp_path: Path
) -> None:
    folder = unpack(kind, tmp_path)
    encoder = Encoder(**(config_of(folder).to_dict() | {field: value}))
    before = {name: parameter.clone() for name, parameter in encoder.named_parameters()}
    with pytest.raises(CheckpointError, match=pattern):
        restore(encoder, folder)
    assert all(torch.equal(before[name], parameter) for name, parameter in encoder.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_too_much_in_the_file_fails_assert_consumed(kind: str, tmp_path: Path) -> None:
    folder = unpack(kind, tmp_path)
    encoder = Encoder(**(config_of(folder).to_dict() | {"num_hidden_layers": 1}))
    receipt = restore(encoder, folder)
    assert sum(not record.expected for record in receipt) == 16
    with pytest.raises(CheckpointError, match="16 tensors do not match the model"):
        receipt.assert_consumed()


@pytest.mark.parametrize(
    "name", ["", "bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"]
)
def test_a_checkpoint_may_be_named_by_folder_prefix_index_or_data(name: str, tmp_path: Path) -> None:
    folder = unpack("functional", tmp_path)
    receipt = restore(Encoder.from_config(config_of(folder)), folder / name).assert_consumed()
    assert receipt.path == str(folder / "bert_model.ckpt")


def test_the_reader_knows_every_dtype_shards_and_slices(tmp_path: Path) -> None:
    bundle = TensorBundle(unpack("dtypes", tmp_path) / "dtypes")
    numbers = np.array([[0, 1, 2], [3, -4, 5]])
    for name, dtype in {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}.items():
        assert bundle.tensors[name].dtype == dtype
        np.testing.assert_array_equal(bundle.read_float(name), numbers)
    for name, dtype in {"int32": "I32", "int64": "I64"}.items():
        assert bundle.tensors[name].dtype == dtype
        np.testing.assert_array_equal(bundle.read(name), numbers)
    np.testing.assert_array_equal(bundle.read("bool"), numbers != 0)
    np.testing.assert_array_equal(bundle.read("sliced"), np.arange(24).reshape(4, 6))
    assert bundle.read("empty").shape == (0, 3)
    assert bundle.read("scalar") == 7.5
    assert bundle.read_strings("text") == [b"one", b"", "thrée".encode() * 50]
    assert {entry.shard for entry in bundle.tensors.values() if not entry.slices} == {0, 1}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = unpack("dtypes", tmp_path)
    (folder / "dtypes.data-00001-of-00002").unlink()
    with pytest.raises(CheckpointError, match=r"dtypes\.data-00001-of-00002: no such file, but the index names it"):
        TensorBundle(folder / "dtypes")
