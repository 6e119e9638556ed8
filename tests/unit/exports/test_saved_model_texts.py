"""What a SavedModel that takes strings is asked before it is written, and held to afterwards; without TensorFlow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertune.checkpoints.model_folder import LoadedModel, load
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.errors import BertuneError, ConfigError
from bertune.evaluation.answers import decisions, probabilities
from bertune.exports.program_description import TEXT_ANSWERS
from bertune.exports.proof_rows import rows_for
from bertune.exports.saved_model import FORMAT
from bertune.exports.saved_model_texts import check_text_answers, describe_texts
from bertune.runtime.fresh_answers import LOGITS_FILE
from bertune.runtime.padded_rows import ProofRows

MakeModel = Callable[..., Path]


def check_of_texts(model: LoadedModel) -> None:
    assert FORMAT.of_texts is not None
    FORMAT.of_texts.check(model)


def test_models_whose_texts_no_graph_can_arrange_are_refused(make_model: MakeModel) -> None:
    check_of_texts(load(make_model()))
    check_of_texts(load(make_model("head-tail", long_text="head-tail")))
    with pytest.raises(ConfigError, match="reads long texts in windows cannot be exported with --inputs text"):
        check_of_texts(load(make_model("windows", long_text="windows")))
    model = load(make_model("either"))
    either = LoadedModel(model.classifier, model.tokenizer, replace(model.signature, is_pair=None))
    with pytest.raises(ConfigError, match="does not say whether it takes one text or two"):
        check_of_texts(either)


def test_the_inputs_are_named_as_the_lesson_does(make_model: MakeModel, tmp_path: Path) -> None:
    model = load(make_model())
    described = describe_texts(model, tmp_path)
    assert described.names == ("sentence1", "sentence2")
    assert (described.max_length, described.labels) == (48, ("different", "same"))
    with np.load(described.tables, allow_pickle=False) as stored:
        assert stored["transitions"].dtype == np.int64
    single = LoadedModel(model.classifier, model.tokenizer, replace(model.signature, is_pair=False))
    assert describe_texts(single, tmp_path).names == ("text",)


@pytest.fixture
def rows(make_model: MakeModel) -> ProofRows:
    return rows_for(load(make_model()), Examples.from_lists(["one", "two"], ["a", "b"]), with_strings=True)


def right_answers(rows: ProofRows, signature: ModelSignature) -> dict[str, Any]:
    """What an export that equals its model writes."""
    texts = rows.encoded.take(np.arange(rows.texts))
    logits = np.random.default_rng(0).normal(size=(rows.texts, max(1, len(signature.labels)))).astype(np.float32)
    found: dict[str, Any] = {
        "token_ids": texts.token_ids, "lengths": texts.lengths, "first_lengths": texts.first_lengths, "logits": logits,
    }  # fmt: skip
    decided = decisions(logits, signature)
    if not signature.labels:
        return found | {"value": decided.astype(np.float32)}
    names = np.array([label.encode() for label in signature.labels])
    found["probabilities"] = probabilities(logits, signature).astype(np.float32)
    found["labels"] = np.tile(names, (rows.texts, 1))
    if signature.kind == "multi-label":
        return found | {"given": decided == 1}
    return found | {"class_id": decided, "class": names[decided]}


SIGNATURES = {
    "classification": ModelSignature(("no", "ja"), True, 48, thresholds=(0.3,)),
    "multi-label": ModelSignature(("a", "b", "c"), True, 48, "multi-label", metrics=("f1_micro",)),
    "regression": ModelSignature((), True, 48, "regression", metrics=("pearson",), target_range=(-0.5, 0.5)),
}
MISTAKES = {
    "classification": ["token_ids", "first_lengths", "probabilities", "labels", "class_id", "class"],
    "multi-label": ["token_ids", "probabilities", "labels", "given"],
    "regression": ["token_ids", "value"],
}


@pytest.mark.parametrize(("kind", "mistake"), [(kind, name) for kind in MISTAKES for name in ["", *MISTAKES[kind]]])
def test_one_other_token_answer_or_name_fails_the_proof(
    kind: str, mistake: str, rows: ProofRows, tmp_path: Path
) -> None:
    signature = SIGNATURES[kind]
    answers = right_answers(rows, signature)
    if mistake:
        wrong = answers[mistake].copy()
        wrong[-1] = {"S": lambda: wrong[-1][::-1] if wrong.ndim > 1 else b"x", "f": lambda: wrong[-1] + 0.01}.get(
            wrong.dtype.kind, lambda: wrong[-1] == 0
        )()
        answers[mistake] = wrong
    np.savez((tmp_path / LOGITS_FILE).with_suffix(TEXT_ANSWERS), **answers)
    if not mistake:
        check_text_answers(tmp_path, rows, signature)
        return
    with pytest.raises(BertuneError, match="the export does not equal the model") as error:
        check_text_answers(tmp_path, rows, signature)
    if mistake in ("token_ids", "first_lengths"):
        assert f": it makes other tokens of 1 of {rows.texts} texts; of '" in error.value.message
