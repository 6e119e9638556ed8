"""Scores of a fine-tuned model on labelled examples."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract
from bertune.checkpoints.model_directory import LoadedModel
from bertune.encoder.precision import Precision
from bertune.evaluation.answers import decide, probabilities, scaled, values
from bertune.evaluation.predictions import Predictions, baseline_of, predict, targets_for
from bertune.evaluation.reencoded import ReencodedExamples
from bertune.evaluation.scores import Scores, score
from bertune.text.examples import Examples


def evaluate(
    model: LoadedModel,
    examples: Examples | ReencodedExamples,
    *,
    precision: Precision = "fp32",
    on_batch: Callable[[int], None] | None = None,
) -> tuple[Scores, Predictions]:
    """Scores a model; nothing is trained or chosen.

    Args:
        model: from `load`.
        examples: labelled; labels must be among the model's.
        precision: see `predict`.
        on_batch: called with the number of examples done in each batch.

    Raises:
        ConfigError: single texts for a pair model, or pairs for a single-text model; or examples that were encoded for
            another model.
        DataError: a label the model does not have; names file and line.
    """
    targets = targets_for(model.contract, examples)
    predictions = predict(model, examples, precision=precision, on_batch=on_batch)
    return score_logits(predictions.logits, targets, model.contract), predictions


def score_logits(logits: NDArray[Any], targets: NDArray[Any], contract: Contract) -> Scores:
    """Scores the answers of a model, by its temperature, thresholds and range.

    Args:
        logits: (rows, labels), as the model gives them.
        targets: of the same rows, as `targets_for` gives them.
        contract: of the model.
    """
    is_regression = contract.kind == "regression"
    return score(
        values(logits, contract) if is_regression else scaled(logits, contract),
        targets,
        task_kind=contract.kind,
        metrics=contract.metrics,
        label_names=contract.labels or None,
        train_targets=baseline_of(contract),
        decisions=None if is_regression else decide(probabilities(logits, contract), contract),
    )
