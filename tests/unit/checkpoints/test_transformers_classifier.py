"""Folders as transformers saves a fine-tuned BERT classifier, without a signature."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bertune.batches.batch import pack
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import load, replace_signature, save
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.signature import ModelSignature
from bertune.cli.inspect_model import inspect_model
from bertune.data.examples import Examples
from bertune.errors import CheckpointError, DataError
from bertune.evaluation.predict_texts import predict
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.tokenizer import BertTokenizer

TEXTS = ["the run of the", "un run"]


def as_transformers_saves(folder: Path, classifier: Classifier, tokenizer: BertTokenizer, **config: Any) -> Path:
    """Turns what bertune saves into what transformers would have saved."""
    is_value = classifier.num_labels == 1
    labels = () if is_value else tuple(f"LABEL_{number}" for number in range(classifier.num_labels))
    signature = ModelSignature(labels, is_pair=True, max_length=48, kind="regression" if is_value else "classification")
    save(classifier, folder, tokenizer=tokenizer, signature=signature)
    values = json.loads((folder / "config.json").read_bytes())
    for name in ("bertune.json", "SHA256SUMS", "README.md"):
        (folder / name).unlink()
    del values["bertune_version"], values["problem_type"], values["id2label"], values["label2id"]
    values |= {"transformers_version": "5.23.0", **config}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.fixture
def three(sizes: BertConfig) -> Classifier:
    return classifier_model(sizes, 3, seed=3)[0].eval()


@pytest.fixture
def folder(tmp_path: Path, three: Classifier, tokenizer: BertTokenizer) -> Path:
    names = {"0": "neg", "1": "neu", "2": "pos"}
    return as_transformers_saves(tmp_path / "three", three, tokenizer, id2label=names)


def test_it_answers_with_the_labels_of_its_configuration(
    folder: Path, three: Classifier, tokenizer: BertTokenizer
) -> None:
    loaded = load(folder)
    signature = loaded.signature
    assert (signature.labels, signature.kind, signature.is_pair) == (("neg", "neu", "pos"), "classification", None)
    assert (signature.max_length, signature.metrics, signature.text_a) == (64, ("accuracy", "f1_macro"), "text")
    for texts_b in (None, ["of", "the"]):
        predictions = predict(loaded, Examples.from_lists(TEXTS, texts_b))
        with torch.inference_mode():
            expected = three(pack(encode_examples(TEXTS, texts_b, tokenizer, 64)))
        np.testing.assert_allclose(predictions.logits, expected, atol=1e-6)
        assert {prediction.label for prediction in predictions} <= {"neg", "neu", "pos"}


def test_inspect_shows_its_labels_and_what_takes_it(folder: Path) -> None:
    shown = inspect_model(str(folder))
    assert "fine-tuned by transformers: predict, evaluate, explain and calibrate take this folder" in shown.lines
    assert "task: own table, classification, labels in this order: neg, neu, pos" in shown.lines
    assert any(line.startswith("takes single texts or pairs, at most 64 tokens") for line in shown.lines)
    assert shown.values["signature"]["labels"] == ("neg", "neu", "pos")


@pytest.mark.parametrize(
    ("config", "outputs", "kind", "labels"),
    [
        ({}, 2, "classification", ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, 3, "classification", ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"0": "LABEL_0"}}, 1, "regression", ()),
        ({"problem_type": "regression", "id2label": {"0": "score"}}, 1, "regression", ()),
        ({"problem_type": "multi_label_classification"}, 2, "multi-label", ("LABEL_0", "LABEL_1")),
    ],
)
def test_its_kind_is_what_transformers_would_take_it_for(
    tmp_path: Path,
    sizes: BertConfig,
    tokenizer: BertTokenizer,
    config: dict[str, Any],
    outputs: int,
    kind: str,
    labels: tuple[str, ...],
) -> None:
    model = classifier_model(sizes, outputs, seed=1)[0]
    loaded = load(as_transformers_saves(tmp_path / "model", model, tokenizer, **config))
    assert (loaded.signature.kind, loaded.signature.labels) == (kind, labels)
    assert len(predict(loaded, Examples.from_lists(TEXTS)).logits) == 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "a", "2": "b", "3": "c"}}, "id2label is no list of labels by their numbers from 0"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "two labels of id2label are the same"),
        ({"id2label": {"0": "a", "1": "b"}}, r"classifier\.weight is missing or not \(2, 32\)"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ({"problem_type": "regression"}, "a regression of 3 values"),
    ],
)
def test_a_configuration_that_fits_no_classifier_is_refused(folder: Path, config: dict[str, Any], message: str) -> None:
    values = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(values | config))
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_a_wrapped_classifier_is_unwrapped_whole(folder: Path, three: Classifier) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({f"module.{name}": value for name, value in weights.items()}, folder / "model.safetensors")
    assert torch.equal(load(folder).classifier.classifier.weight, three.classifier.weight)


def test_calibration_adds_a_signature_and_leaves_every_other_file(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    signature = read_signature(folder)
    replace_signature(folder, ModelSignature(**(signature.__dict__ | {"temperature": 2.0})))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "bertune.json"} == before
    assert load(folder).signature.temperature == 2
    assert load(folder).signature.is_pair is None


def test_an_encoder_and_a_model_for_another_task_are_told_from_a_classifier(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_bytes())
    for name in ("BertModel", "BertForTokenClassification"):
        (folder / "config.json").write_text(json.dumps(values | {"architectures": [name]}))
        with pytest.raises(DataError, match="without a classifier of texts") as caught:
            find_model_folder(folder)
        assert "bertune train --model" in str(caught.value.hint)


def test_a_folder_of_bertune_that_lost_its_digests_is_none_of_transformers(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    model = save(classifier, tmp_path / "run" / "model", tokenizer=tokenizer, signature=signature)
    assert load(tmp_path / "run").signature.labels == signature.labels
    (model / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="SHA256SUMS: cannot be read"):
        load(model)


def test_a_folder_one_level_too_high_is_told_which_one_is_meant(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    save(classifier, tmp_path / "runs" / "first" / "model", tokenizer=tokenizer, signature=signature)
    with pytest.raises(DataError, match=r"runs: no model in this folder, but one in .*runs/first$"):
        load(tmp_path / "runs")
    shutil.copytree(tmp_path / "runs" / "first", tmp_path / "runs" / "second")
    with pytest.raises(DataError, match="runs: no model in this folder, but 2 in it") as caught:
        load(tmp_path / "runs")
    assert caught.value.hint == f"name one of them: {tmp_path}/runs/first, {tmp_path}/runs/second"
