import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.golden.tf_checkpoints_folder import unpack
from torch import Tensor

from bertune.checkpoints.stored_sizes import fitted_config
from bertune.errors import CheckpointError
from bertune.models.bert import BertConfig
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.resolved_settings import resolved_settings
from bertune.training.run_settings import RunSettings

Write = Callable[..., Path]


def settings_for(model: Path, folder: Path) -> RunSettings:
    """Writes a small table into the folder, to be trained on from a model."""
    (folder / "rows.csv").write_text("text,label\n" + "".join(f"the run,{label}\n" for label in "ab" * 40))
    return RunSettings(
        data=str(folder / "rows.csv"),
        out=folder / "out",
        model=str(model),
        text_a="text",
        label="label",
        validation="none",
        max_length=8,
    )


@pytest.fixture
def folder(tensors: dict[str, Tensor], write: Write) -> Path:
    return write(tensors)


def test_sizes_that_the_weights_have_are_left_as_they_are(sizes: BertConfig, folder: Path) -> None:
    assert fitted_config(sizes, folder) == sizes


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("num_hidden_layers", 1_000_000, "2"),
        ("vocab_size", 100_000_000, "1,008"),
        ("max_position_embeddings", 100_000_000, "64"),
        ("type_vocab_size", 100_000_000, "2"),
        ("intermediate_size", 1_000_000, "64"),
        ("hidden_size", 10_000, "32"),
    ],
)
def test_more_than_the_weights_have_is_refused_from_their_header(
    sizes: BertConfig, folder: Path, field: str, value: int, stored: str
) -> None:
    config = replace(sizes, **{field: value})
    with pytest.raises(CheckpointError, match=f"{field} is {value:,} there, the weights have {stored}"):
        fitted_config(config, folder)


@pytest.mark.parametrize("kind", ["functional", "tf1", "hub"])
def test_a_tensorflow_checkpoint_tells_its_sizes_too(kind: str, tmp_path: Path) -> None:
    prefix = next(unpack(kind, tmp_path).rglob("*.index")).with_suffix("")
    config = BertConfig.from_json_file(unpack("functional", tmp_path) / "bert_config.json")
    assert fitted_config(config, prefix) == config
    for field in ("num_hidden_layers", "vocab_size", "max_position_embeddings", "type_vocab_size", "intermediate_size"):
        with pytest.raises(CheckpointError, match=f"{field} is 99,999 there"):
            fitted_config(replace(config, **{field: 99_999}), prefix)


@pytest.mark.parametrize(("rows", "fitted"), [(1024, 1024), (1520, 1520), (1521, 1008)])
def test_spare_rows_of_the_word_table_become_part_of_the_sizes(
    sizes: BertConfig, tensors: dict[str, Tensor], write: Write, rows: int, fitted: int
) -> None:
    tensors["embeddings.word_embeddings.weight"] = torch.zeros(rows, 32)
    assert fitted_config(sizes, write(tensors)).vocab_size == fitted


def test_training_starts_from_a_table_with_spare_rows(
    sizes: BertConfig, tensors: dict[str, Tensor], write: Write, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    words = tensors["embeddings.word_embeddings.weight"]
    tensors["embeddings.word_embeddings.weight"] = torch.cat([words, torch.ones(16, 32)])
    folder = write(tensors)
    tokenizer.save(folder)
    (folder / "config.json").write_text(json.dumps(sizes.to_dict() | {"model_type": "bert"}))
    run = prepare(settings_for(folder, tmp_path), TrainingConfig(epochs=1), say=lambda line: None)
    assert run.classifier.encoder.config.vocab_size == 1024
    assert torch.equal(run.classifier.encoder.embeddings.token.weight[1008:], torch.ones(16, 32))


def test_the_vocabulary_may_lie_in_another_folder(
    sizes: BertConfig, tensors: dict[str, Tensor], write: Write, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    folder = write(tensors)
    (folder / "config.json").write_text(json.dumps(sizes.to_dict() | {"model_type": "bert"}))
    tokenizer.save(tmp_path / "words")
    settings = settings_for(folder, tmp_path)
    with pytest.raises(CheckpointError, match=r"neither vocab\.txt nor tokenizer\.json is there") as caught:
        prepare(settings, TrainingConfig(epochs=1), say=lambda line: None)
    assert "--tokenizer FOLDER" in str(caught.value.hint)
    run = prepare(replace(settings, tokenizer=str(tmp_path / "words")), TrainingConfig(epochs=1), say=lambda line: None)
    assert run.tokenizer.digest == tokenizer.digest
    assert resolved_settings(run)["tokenizer"] == str(tmp_path / "words")
