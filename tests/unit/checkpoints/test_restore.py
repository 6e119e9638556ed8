import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bertune.checkpoints.plain_names import legacy_name
from bertune.checkpoints.receipt import Receipt
from bertune.checkpoints.restore import restore
from bertune.errors import CheckpointError
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder

Write = Callable[..., Path]
Tensors = dict[str, Tensor]


def assert_same(first: Encoder, second: Encoder) -> None:
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def assert_complete(receipt: Receipt, tensors: Tensors, encoder: Encoder) -> None:
    """Every tensor of the file and every parameter of the encoder is in the receipt exactly once."""
    of_file: list[str] = []
    for record in receipt:
        of_file += record.sources if record.status == "loaded" else [record.name] * (record.status == "unused")
    assert Counter(of_file) == Counter(list(tensors))
    parameters = [record.name for record in receipt if record.status in ("loaded", "new")]
    assert Counter(parameters) == Counter(name for name, _ in encoder.named_parameters())


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("rename", [lambda name: name, legacy_name], ids=["today", "gamma and beta"])
def test_each_spelling_of_the_names_restores_every_bit(
    encoder: Encoder, fresh: Encoder, tensors: Tensors, write: Write, prefix: str, rename: Callable[[str], str]
) -> None:
    renamed = {prefix + rename(name): value for name, value in tensors.items()}
    assert any("gamma" in name for name in renamed) == (rename is legacy_name)
    receipt = restore(fresh, write(renamed)).assert_consumed()
    assert_same(fresh, encoder)
    assert_complete(receipt, renamed, fresh)


def test_heads_and_buffers_are_listed_as_unused_with_a_reason(
    encoder: Encoder, fresh: Encoder, tensors: Tensors, write: Write
) -> None:
    extra = {
        "cls.predictions.bias": torch.zeros(1008),
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "classifier.weight": torch.zeros(2, 32),
        "bert.embeddings.position_ids": torch.arange(64)[None],
    }
    stored = {f"bert.{name}": value for name, value in tensors.items()} | extra
    receipt = restore(fresh, write(stored)).assert_consumed()
    assert_same(fresh, encoder)
    assert_complete(receipt, stored, fresh)
    reasons = {record.name: record.reason for record in receipt.having("unused")}
    assert reasons.keys() == extra.keys()
    assert reasons["cls.predictions.bias"] == "pre-training head"
    assert "buffer" in reasons["bert.embeddings.position_ids"]
    assert f"{len(tensors)} tensors loaded" in receipt.summary()
    assert "4 unused" in receipt.summary()


def test_tensors_nobody_knows_make_assert_consumed_fail(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    third = {name.replace("layer.1", "layer.2"): value.clone() for name, value in tensors.items() if "layer.1" in name}
    receipt = restore(fresh, write(tensors | third))
    assert_complete(receipt, tensors | third, fresh)
    with pytest.raises(CheckpointError, match=r"16 tensors do not match the model: encoder\.layer\.2\."):
        receipt.assert_consumed()


def test_several_files_with_an_index_restore_alike(
    encoder: Encoder, fresh: Encoder, tensors: Tensors, tmp_path: Path
) -> None:
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({name: tensors[name] for name in members}, tmp_path / shard)
    index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    receipt = restore(fresh, tmp_path).assert_consumed()
    assert_same(fresh, encoder)
    assert_complete(receipt, tensors, fresh)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors: no such file"):
        restore(fresh, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../model.safetensors"}}',
        '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {"a": "x\\u0000"}}',
        '{"weight_map": {"a": ".."}}',
        '{"weight_map": {"a": "' + "x" * 256 + '"}}',
        '{"weight_map": {"a": "one", "b": 3}}',
        "[" * 100_000,
    ],
    ids=lambda content: content[:40],
)
def test_an_index_that_is_none_is_refused(fresh: Encoder, tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError):
        restore(fresh, tmp_path)


def test_one_tensor_in_two_files_is_refused(fresh: Encoder, tensors: Tensors, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    save_file(tensors, tmp_path / "b.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"b\.safetensors: tensor .* is also in .*a\.safetensors"):
        restore(fresh, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "tolerance"),
    [(torch.float16, "F16", 1e-3), (torch.bfloat16, "BF16", 8e-3), (torch.float64, "F64", 0)],
    ids=str,
)
def test_other_floating_point_files_are_read_as_fp32(
    encoder: Encoder, fresh: Encoder, tensors: Tensors, write: Write, kind: Any, name: str, tolerance: float
) -> None:
    receipt = restore(fresh, write({key: value.to(kind) for key, value in tensors.items()}))
    assert {record.dtype for record in receipt} == {name}
    for parameter, value in fresh.named_parameters():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, encoder.get_parameter(parameter), rtol=tolerance, atol=1e-6)


def without_pooler(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if not name.startswith("pooler")}


def test_a_missing_pooler_is_an_error_that_says_what_to_do(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    with pytest.raises(CheckpointError, match=r"2 of \d+ tensors differ\n  missing  pooler\.dense\.weight") as caught:
        restore(fresh, write(without_pooler(tensors)))
    assert caught.value.hint is not None
    assert "--pooling mean" in caught.value.hint
    assert "--allow-new pooler" in caught.value.hint


def test_what_is_allowed_by_name_stays_new(encoder: Encoder, fresh: Encoder, tensors: Tensors, write: Write) -> None:
    before = fresh.get_parameter("pooler.dense.weight").clone()
    stored = without_pooler(tensors)
    receipt = restore(fresh, write(stored), allow_new=["pooler"]).assert_consumed()
    assert torch.equal(fresh.get_parameter("pooler.dense.weight"), before)
    assert torch.equal(fresh.embeddings.token.weight, encoder.embeddings.token.weight)
    assert [record.name for record in receipt.having("new")] == ["pooler.dense.weight", "pooler.dense.bias"]
    assert_complete(receipt, stored, fresh)


def test_an_allowed_name_is_no_pattern(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    with pytest.raises(CheckpointError, match="missing  pooler"):
        restore(fresh, write(without_pooler(tensors)), allow_new=["pool"])


def test_a_pooler_that_mean_pooling_lacks_is_an_expected_leftover(
    sizes: BertConfig, tensors: Tensors, write: Write
) -> None:
    encoder = Encoder.from_config(sizes, pooler=False)
    receipt = restore(encoder, write(tensors)).assert_consumed()
    assert {record.reason for record in receipt.having("unused")} == {"pooler, which mean pooling does not have"}


def test_a_wrong_shape_is_reported_as_in_the_design(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    tensors["embeddings.word_embeddings.weight"] = torch.zeros(1000, 32)
    folder = write(tensors)
    with pytest.raises(CheckpointError) as caught:
        restore(fresh, folder)
    assert caught.value.message == (
        f"{folder} does not fit this encoder: 1 of {len(tensors)} tensors differs\n"
        "  shape    embeddings.token.weight   checkpoint 1000 x 32, encoder 1008 x 32"
    )
    assert caught.value.hint is not None
    assert "vocabulary sizes differ" in caught.value.hint


def test_an_encoder_of_another_width_is_not_blamed_on_the_vocabulary(
    sizes: BertConfig, tensors: Tensors, write: Write
) -> None:
    wider = Encoder.from_config(BertConfig.from_dict(sizes.to_dict() | {"hidden_size": 64}))
    with pytest.raises(CheckpointError, match=r"… and \d+ more") as caught:
        restore(wider, write(tensors))
    assert caught.value.hint == "use the config.json that came with this checkpoint"


@pytest.mark.parametrize(
    "shapes",
    [
        {"query": (16, 32), "key": (48, 32)},  # their sum is right
        {"key": (32, 16)},
        {"value": ()},
    ],
    ids=str,
)
def test_each_part_of_a_fused_parameter_is_checked(
    fresh: Encoder, tensors: Tensors, write: Write, shapes: dict[str, tuple[int, ...]]
) -> None:
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    for part, shape in shapes.items():
        tensors[f"encoder.layer.0.attention.self.{part}.weight"] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=r"shape    encoder\.layer\.0\.attention\.self\.\w+\.weight   checkpoint"):
        restore(fresh, write(tensors))
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_changes_nothing_in_the_encoder(
    fresh: Encoder, tensors: Tensors, write: Write, value: float
) -> None:
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    tensors["pooler.dense.bias"][3] = value  # the last tensor to be read
    with pytest.raises(CheckpointError, match=r"tensor pooler\.dense\.bias holds NaN or infinite") as refused:
        restore(fresh, write(tensors))
    assert "an earlier checkpoint" in (refused.value.hint or "")
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())


def test_whole_numbers_are_no_weights(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    tensors["pooler.dense.bias"] = torch.zeros(32, dtype=torch.int32)
    with pytest.raises(CheckpointError, match=r"tensor pooler\.dense\.bias is I32, expected a floating-point type"):
        restore(fresh, write(tensors))


def test_another_architecture_says_what_it_found(fresh: Encoder, write: Write) -> None:
    folder = write({"transformer.wte.weight": torch.zeros(3, 2)})
    with pytest.raises(CheckpointError, match=r"no BERT encoder .*found transformer\.wte\.weight"):
        restore(fresh, folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"neither model\.safetensors nor pytorch_model\.bin in this folder"),
        ({"pytorch_model.bin": b"x"}, r"pytorch_model\.bin: only 1 bytes"),
        ({"config.json": b"{}"}, r"neither model\.safetensors nor pytorch_model\.bin in this folder"),
    ],
)
def test_a_folder_without_weights_says_what_is_there(
    fresh: Encoder, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        restore(fresh, tmp_path)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        restore(fresh, tmp_path / "absent")


NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", NAMES)
def test_what_torch_saved_is_restored_as_safetensors_are(
    fresh: Encoder, tensors: Tensors, write: Write, tmp_path: Path, zipped: bool, dtype: torch.dtype
) -> None:
    typed = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    restore(fresh, write(typed)).assert_consumed()
    expected = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    folder = tmp_path / "pickled"
    folder.mkdir()
    torch.save(typed, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    receipt = restore(fresh, folder)
    receipt.assert_consumed()
    assert {record.dtype for record in receipt} == {NAMES[dtype]}
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_shards_that_torch_saved_are_found_by_their_index(
    fresh: Encoder, tensors: Tensors, write: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = list(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for shard, held in shards.items():
        torch.save({name: tensors[name] for name in held}, folder / shard)
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    restore(fresh, folder).assert_consumed()
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match=r"pytorch_model-00002-of-00002\.bin: no such file"):
        restore(fresh, folder)
    index["weight_map"][names[0]] = "../outside.bin"
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="a shard is not a plain file name"):
        restore(fresh, folder)


def test_a_number_that_is_none_is_refused_in_what_torch_saved(fresh: Encoder, tensors: Tensors, tmp_path: Path) -> None:
    name = next(iter(tensors))
    torch.save(tensors | {name: torch.full_like(tensors[name], float("nan"))}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=f"tensor {name} holds NaN"):
        restore(fresh, tmp_path)


def test_a_receipt_is_shown_in_one_line_and_in_a_notebook_as_a_table(
    fresh: Encoder, tensors: Tensors, write: Write
) -> None:
    folder = write(tensors)
    receipt = restore(fresh, folder)
    assert repr(receipt) == f"Receipt({receipt.path}: {receipt.summary()})"
    shown = receipt._repr_html_()
    assert f">{len(tensors)}</td>" in shown
    assert f">{receipt.parameters:,}</td>" in shown
    assert len(shown) < 1500
    hostile = Receipt("<script>", receipt.records)._repr_html_()
    assert "<script>" not in hostile


def test_the_receipt_is_plain_json_and_one_line_a_tensor(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    receipt = restore(fresh, write(without_pooler(tensors) | {"cls.x": torch.zeros(3)}), allow_new=["pooler"])
    values = json.loads(json.dumps(receipt.to_dict(), allow_nan=False))
    assert len(values["tensors"]) == len(receipt) == len(receipt.lines())
    assert all("\n" not in line for line in receipt.lines())
    first = receipt.lines()[0]
    assert first.startswith("loaded  embeddings.token.weight ")
    assert first.endswith("1008 x 32      F32      embeddings.word_embeddings.weight")
    parameters = sum(value.numel() for value in without_pooler(tensors).values())
    assert receipt.summary() == (
        f"{len(tensors) - 2} tensors loaded ({parameters:,} parameters), "
        "2 new (allowed by name; not in the checkpoint), 1 unused (pre-training head)"
    )


@pytest.mark.parametrize(
    ("rename", "wrappers"),
    [
        (lambda name: f"module.{name}", ("module.",)),
        (lambda name: f"module.bert.{name}", ("module.",)),
        (lambda name: f"_orig_mod.module.bert.{name}", ("module.", "_orig_mod.")),
        (lambda name: f"module._orig_mod.{name}", ("module.", "_orig_mod.")),
        (lambda name: f"bert.{name}".replace("layer.1.", "layer.1._orig_mod."), ("_orig_mod.",)),
        (lambda name: f"0.auto_model.{name}", ("0.auto_model.",)),
    ],
    ids=["module", "module.bert", "nested", "the other way round", "one layer", "an attribute"],
)
def test_wrappers_of_the_model_are_taken_off_and_told(
    encoder: Encoder, fresh: Encoder, tensors: Tensors, write: Write, rename: Any, wrappers: tuple[str, ...]
) -> None:
    renamed = {rename(name): value for name, value in tensors.items()}
    head = rename("x").removesuffix("x").removesuffix("bert.") + "classifier.weight"
    receipt = restore(fresh, write(renamed | {head: torch.zeros(2, 32)})).assert_consumed()
    assert_same(fresh, encoder)
    assert_complete(receipt, renamed | {head: torch.zeros(2, 32)}, fresh)
    assert receipt.wrappers == wrappers
    assert receipt.summary().endswith(f"names taken without {' and '.join(wrappers)}")


def test_two_encoders_in_one_file_are_refused(fresh: Encoder, tensors: Tensors, write: Write) -> None:
    both = {f"{side}.{name}": value.clone() for side in ("question", "answer") for name, value in tensors.items()}
    with pytest.raises(CheckpointError, match="it holds 2 encoders"):
        restore(fresh, write(both))
