"""Scores of several labels a row."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.answers import sigmoid
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.bootstrap import label_intervals
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.label_metrics import LabelCounts, f1_by_label, label_counts, per_row
from bertune.evaluation.metrics import METRICS, compute_metrics
from bertune.evaluation.score_parts import Baseline, Judgement, LabelScore, metric_scores

_NAMES_SHOWN = 4


def judge_labels(
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
    """Judges given labels, (rows, labels) of 0 and 1, beside always the same labels; `logits` give the loss.

    Two constant answers are known to be hard to beat, by different metrics: each label as the majority of the training
    rows has it (often none at all), and the most frequent labels, as many as give the best micro F1 there. Each metric
    is held against the better of the two.
    """
    known = targets if train is None or not len(train) else train
    majority, frequent = (known.mean(axis=0) > 0.5).astype(np.int64), _best_constant(known)
    by_answer = [
        compute_metrics(metrics, np.broadcast_to(answer, targets.shape), targets) for answer in (majority, frequent)
    ]
    best = {
        name: (max if METRICS[name].higher_is_better else min)(values[name] for values in by_answer) for name in metrics
    }
    return Judgement(
        metrics=metric_scores(
            compute_metrics(metrics, predictions, targets),
            label_intervals(metrics, predictions, targets, samples=samples, seed=seed),
            best,
        ),
        mean_loss=_binary_cross_entropy(logits, targets),
        baseline=Baseline(
            "constant",
            _named(majority, frequent, names),
            "these rows" if known is targets else "training data",
            None,
        ),
        is_majority=bool((predictions == predictions[0]).all() and (targets != targets[0]).any()),
        labels=_label_scores(label_counts(per_row(predictions, targets).sum(axis=0).astype(np.float64)), names),
        calibration_error=calibration_error(sigmoid(logits), targets),
    )


def _best_constant(targets: IntArray) -> IntArray:
    """Returns the constant answer with the best micro F1: so many of the most frequent labels, at least one."""
    counts = targets.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    # Twice the right decisions, over the labels given and those there.
    scores = 2 * np.cumsum(counts[order]) / (len(targets) * np.arange(1, len(counts) + 1) + counts.sum())
    answer = np.zeros(len(counts), np.int64)
    answer[order[: int(scores.argmax()) + 1]] = 1
    return answer


def _named(majority: IntArray, frequent: IntArray, names: tuple[str, ...]) -> str:
    words = [_words(answer, names) for answer in (majority, frequent)]
    return words[0] if words[0] == words[1] else f"{words[0]}, or always {words[1]}"


def _words(answer: IntArray, names: tuple[str, ...]) -> str:
    given = [repr(name) for name, is_given in zip(names, answer, strict=True) if is_given]
    more = f" and {len(given) - _NAMES_SHOWN} more" if len(given) > _NAMES_SHOWN else ""
    return " + ".join(given[:_NAMES_SHOWN]) + more if given else "no label"


def _label_scores(counts: LabelCounts, names: tuple[str, ...]) -> tuple[LabelScore, ...]:
    precision = counts.correct / np.maximum(counts.predicted, 1)
    recall = counts.correct / np.maximum(counts.target, 1)
    columns = (precision.tolist(), recall.tolist(), f1_by_label(counts).tolist(), counts.target.astype(int).tolist())
    return tuple(LabelScore(*row) for row in zip(names, *columns, strict=True))


def _binary_cross_entropy(logits: FloatArray, targets: IntArray) -> float:
    """Returns the mean over rows and labels, in nats."""
    losses = np.logaddexp(0.0, logits) - logits * targets
    return float(losses.mean())
