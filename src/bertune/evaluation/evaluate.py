"""Scores of a fine-tuned model on labelled examples."""

from collections.abc import Callable

from bertune.checkpoints.model_directory import LoadedModel
from bertune.encoder.precision import Precision
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
    scores = score(
        predictions.logits,
        targets,
        task_kind=model.contract.kind,
        metrics=model.contract.metrics,
        label_names=model.contract.labels or None,
        train_targets=baseline_of(model.contract),
    )
    return scores, predictions
