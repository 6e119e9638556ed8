import json
from pathlib import Path
from typing import Any

import pytest

from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.errors import CheckpointError, ConfigError


def write(folder: Path, values: Any) -> Path:
    (folder / SIGNATURE_FILE).write_text(json.dumps(values) if not isinstance(values, str) else values)
    return folder


def test_a_signature_survives_its_file(tmp_path: Path, signature: ModelSignature) -> None:
    assert ModelSignature.read(write(tmp_path, signature.to_dict())) == signature
    value = ModelSignature(
        labels=(), is_pair=False, max_length=9, kind="regression", text_a=0, text_b=None, target_mean=2.5
    )
    assert ModelSignature.read(write(tmp_path, value.to_dict())) == value
    assert (signature.num_outputs, value.num_outputs) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("one",)}, "at least two labels"),
        ({"labels": ("a", "a")}, "not distinct: a, a"),
        ({"kind": "ranking"}, "not known"),
        ({"pooling": "max"}, "not known"),
        ({"kind": "regression"}, "a regressor has no labels"),
        ({"label_counts": (1, 2, 3)}, "3 label counts for 2 labels"),
        ({"max_length": 0}, "max_length must be at least 1"),
    ],
)
def test_entries_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelSignature(**({"labels": ("a", "b"), "is_pair": True, "max_length": 8} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version is not 1"),
        ({"format_version": "1"}, "format_version is not 1"),
        ({"surprise": 1}, "unexpected or missing entries: surprise"),
        ({"labels": "ab"}, "labels is 'ab'"),
        ({"labels": None}, "labels is 'None'"),
        ({"labels": [["a"], "b"]}, "labels is"),
        ({"labels": ["a"]}, "at least two labels"),
        ({"is_pair": 1}, "is_pair is '1'"),
        ({"max_length": "48"}, "max_length is '48'"),
        ({"max_length": True}, "max_length is 'True'"),
        ({"max_length": -3}, "max_length must be at least 1"),
        ({"kind": 3}, "kind is '3'"),
        ({"kind": "ranking"}, "kind is 'ranking'"),
        ({"train_rows": 0}, "train_rows must be at least 1"),
        ({"label_separator": ""}, "label_separator is empty"),
        ({"window_stride": 0, "long_text": "windows"}, "window_stride must be at least 1"),
        ({"target_range": [0.0, 1.0, 2.0]}, "target_range is"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"quoting": "sometimes"}, "quoting is 'sometimes'"),
        ({"pooling": []}, "pooling is"),
        ({"text_a": None}, "text_a is 'None'"),
        ({"text_b": 1.5}, r"text_b is '1\.5'"),
        ({"label_counts": [1.5, 2]}, "label_counts is"),
        ({"target_mean": "x"}, "target_mean is 'x'"),
        ({"tokenizer_digest": None}, "tokenizer_digest is"),
    ],
)
def test_a_file_with_wrong_entries_is_refused_by_name(
    tmp_path: Path, signature: ModelSignature, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        ModelSignature.read(write(tmp_path, signature.to_dict() | changes))
    assert str(tmp_path / SIGNATURE_FILE) in caught.value.message


def test_a_missing_entry_is_named(tmp_path: Path, signature: ModelSignature) -> None:
    values = signature.to_dict()
    del values["max_length"]
    with pytest.raises(CheckpointError, match="missing entries: max_length"):
        ModelSignature.read(write(tmp_path, values))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"target_mean": NaN}', "[" * 100_000])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=SIGNATURE_FILE):
        ModelSignature.read(write(tmp_path, text))


def test_a_folder_without_a_signature_is_no_fine_tuned_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a model that bertune fine-tuned"):
        ModelSignature.read(tmp_path)


def test_pairs_and_single_texts_are_not_confused(signature: ModelSignature) -> None:
    signature.check_texts(given_pair=True, where="dev.tsv")
    with pytest.raises(ConfigError, match=r"dev\.tsv holds one text a row; this model was trained on two") as caught:
        signature.check_texts(given_pair=False, where="dev.tsv")
    assert caught.value.hint is not None
    assert "--text-b" in caught.value.hint
    single = ModelSignature(labels=("a", "b"), is_pair=False, max_length=8)
    with pytest.raises(ConfigError, match=r"holds two texts a row; this model was trained on one"):
        single.check_texts(given_pair=True, where="dev.tsv")
