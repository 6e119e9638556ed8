"""Scores of one label a row."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.answers import softmax
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.bootstrap import class_intervals
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.class_metrics import confusion_matrix, count_classes, f1_by_class
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Baseline, Judgement, LabelScore, metric_scores


def judge_classes(
    logits: FloatArray,
    predictions: IntArray,
    targets: IntArray,
    train: IntArray | None,
    metrics: Sequence[str],
    names: tuple[str, ...],
    *,
    samples: int,
    seed: int,
) -> Judgement:
    """Judges predicted classes, (rows,), beside always the most frequent one; `logits` give the loss."""
    confusion = confusion_matrix(predictions, targets, len(names))
    known = targets if train is None or not len(train) else train
    majority = int(np.bincount(known).argmax())
    return Judgement(
        metrics=metric_scores(
            compute_metrics(metrics, predictions, targets),
            class_intervals(metrics, confusion, samples=samples, seed=seed),
            compute_metrics(metrics, np.full_like(targets, majority), targets),
        ),
        mean_loss=_cross_entropy(logits, targets),
        baseline=Baseline("majority", names[majority], "these rows" if known is targets else "training data", None),
        is_majority=bool((predictions == predictions[0]).all() and (targets != targets[0]).any()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        labels=_label_scores(confusion, names),
        calibration_error=calibration_error(softmax(logits), targets),
    )


def _label_scores(confusion: IntArray, names: tuple[str, ...]) -> tuple[LabelScore, ...]:
    counts = count_classes(confusion)
    precision = counts.correct / np.maximum(counts.predicted, 1)
    recall = counts.correct / np.maximum(counts.target, 1)
    columns = (precision.tolist(), recall.tolist(), f1_by_class(counts).tolist(), counts.target.astype(int).tolist())
    return tuple(LabelScore(*row) for row in zip(names, *columns, strict=True))


def _cross_entropy(logits: FloatArray, targets: IntArray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_total - shifted[np.arange(len(targets)), targets]))
