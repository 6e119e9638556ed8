"""Heads of fine-tuned models, put under a new run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.checkpoints.test_transformers_classifier import as_transformers_saves

from bertune.checkpoints.kept_head import Head, head_names, head_of_start
from bertune.checkpoints.model_folder import save
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.data.labels import LabelSet
from bertune.data.task import Columns, Task
from bertune.data.task_kind import TaskKind
from bertune.errors import CheckpointError, ConfigError
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder_config import Pooling
from bertune.models.family import Family
from bertune.models.registry import FAMILIES
from bertune.tokenization.tokenizer import BertTokenizer

NEW = {"vocab_size": 1008, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def task_of(*labels: str, kind: str = "classification") -> Task:
    task = Task.for_columns(Columns("text", None, "label"), kind=TaskKind(kind))
    return task.with_labels(LabelSet(labels)) if labels else task


def start(
    folder: Path,
    classifier: Classifier,
    tokenizer: BertTokenizer,
    labels: tuple[str, ...],
    kind: str = "classification",
) -> Path:
    signature = ModelSignature(labels, is_pair=False, max_length=32, kind=TaskKind(kind))
    return save(classifier, folder, tokenizer=tokenizer, signature=signature)


def head_for(classifier: Classifier, folder: Path, task: Task, *, forced: bool = False, digest: str = "any") -> Head:
    return head_of_start(classifier, folder, task, tokenizer_digest=digest, forced=forced)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_head_of_every_family_is_kept_whole_and_in_the_order_of_the_labels(
    family: Family[Any], pooling: Pooling, tmp_path: Path, tokenizer: BertTokenizer
) -> None:
    config = family.config(**NEW, pad_token_id=family.config().pad_token_id % 1000)
    old, _ = classifier_model(config, 3, pooling=pooling, seed=1)
    torch.nn.init.normal_(old.classifier.bias)
    folder = start(tmp_path / "model", old, tokenizer, ("a", "b", "c"))
    new, encoder = classifier_model(config, 3, pooling=pooling, seed=2)
    receipt = restore(encoder, folder)
    head = head_for(new, folder, task_of("c", "a", "b"))
    head.put_into(new)
    assert (head.is_kept, head.account) == (True, "classifier head")
    expected = {name: value for name, value in old.state_dict().items() if not name.startswith("classifier.")}
    assert all(torch.equal(new.state_dict()[name], value) for name, value in expected.items())
    order = [2, 0, 1]
    assert torch.equal(new.classifier.weight, old.classifier.weight[order])
    assert torch.equal(new.classifier.bias, old.classifier.bias[order])
    told = head.in_receipt(receipt)
    assert not told.having("new")
    assert len(told.having("loaded")) == len(list(new.parameters()))
    assert not [record for record in told.having("unused") if "earlier task" in record.reason]
    assert set(head.tensors) == set(head_names(new))


@pytest.mark.parametrize(
    ("before", "kind", "after", "words"),
    [
        (("a", "b"), "classification", task_of("a", "c"), "labels a, b; --keep-head keeps it"),
        (("a", "b"), "multi-label", task_of("a", "b"), "multi-label labels a, b; --keep-head keeps it"),
        (("a", "b"), "classification", task_of(kind="regression"), "labels a, b"),
        ((), "regression", task_of("a", "b"), "a value"),
        (tuple("abcde"), "classification", task_of("a", "b"), "labels a, b, c, d, … (5 in all)"),
    ],
)
def test_a_head_that_answers_something_else_is_not_kept(
    before: tuple[str, ...],
    kind: str,
    after: Task,
    words: str,
    tmp_path: Path,
    sizes: BertConfig,
    tokenizer: BertTokenizer,
) -> None:
    outputs = TaskKind(kind).outputs(len(before))
    folder = start(tmp_path / "model", classifier_model(sizes, outputs, seed=1)[0], tokenizer, before, kind)
    new, _ = classifier_model(sizes, 1 if after.labels is None else len(after.labels), seed=2)
    untouched = {name: value.clone() for name, value in new.state_dict().items()}
    head = head_for(new, folder, after)
    head.put_into(new)
    assert not head.is_kept
    assert head.account == f"classifier head (the model's is for {words})"
    assert all(torch.equal(value, untouched[name]) for name, value in new.state_dict().items())


def test_a_regression_goes_on_with_its_head(tmp_path: Path, sizes: BertConfig, tokenizer: BertTokenizer) -> None:
    folder = start(tmp_path / "model", classifier_model(sizes, 1, seed=1)[0], tokenizer, (), "regression")
    assert head_for(classifier_model(sizes, 1, seed=2)[0], folder, task_of(kind="regression")).is_kept


def test_a_head_by_force_takes_the_labels_in_their_order(
    tmp_path: Path, sizes: BertConfig, tokenizer: BertTokenizer
) -> None:
    old, _ = classifier_model(sizes, 3, seed=1)
    names = {str(number): f"LABEL_{number}" for number in range(3)}
    folder = as_transformers_saves(tmp_path / "nli", old.eval(), tokenizer, id2label=names)
    new, _ = classifier_model(sizes, 3, seed=2)
    nli = task_of("contradiction", "entailment", "neutral")
    assert head_for(new, folder, nli).why == "the model's is for labels LABEL_0, LABEL_1, LABEL_2; --keep-head keeps it"
    head = head_for(new, folder, nli, forced=True)
    head.put_into(new)
    assert torch.equal(new.classifier.weight, old.classifier.weight)
    assert head.why.endswith("LABEL_0, LABEL_1, LABEL_2, now labels contradiction, entailment, neutral")
    two, _ = classifier_model(sizes, 2, seed=2)
    with pytest.raises(ConfigError, match="3 outputs against 2") as caught:
        head_for(two, folder, task_of("a", "b"), forced=True)
    assert caught.value.hint == "leave --keep-head out: a new head is made"


def test_a_head_that_cannot_be_read_is_an_error_only_by_force(
    tmp_path: Path, sizes: BertConfig, tokenizer: BertTokenizer
) -> None:
    old, _ = classifier_model(sizes, 3, seed=1)
    names = {"0": "a", "1": "a", "2": "b"}
    folder = as_transformers_saves(tmp_path / "model", old.eval(), tokenizer, id2label=names)
    new, _ = classifier_model(sizes, 3, seed=2)
    assert head_for(new, folder, task_of("a", "b", "c")) == Head({})
    with pytest.raises(CheckpointError, match="two labels of id2label are the same"):
        head_for(new, folder, task_of("a", "b", "c"), forced=True)
    narrow, _ = classifier_model(replace(sizes, hidden_size=16), 3, seed=2)
    folder = start(tmp_path / "other", old, tokenizer, ("a", "b", "c"))
    assert head_for(narrow, folder, task_of("a", "b", "c")) == Head({})
    with pytest.raises(CheckpointError, match=r"classifier\.weight is missing or not \(3, 16\)"):
        head_for(narrow, folder, task_of("a", "b", "c"), forced=True)
