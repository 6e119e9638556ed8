"""Scores of one label a row."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.against_baseline import PairedRows, by_agreement, by_differences, by_rows
from bertune.evaluation.answer_kinds import softmax
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.bootstrap import Estimates, class_estimates
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.class_metrics import confusion_matrix, count_classes, f1_by_class
from bertune.evaluation.intervals import possible, share_interval
from bertune.evaluation.metrics import METRICS, compute_metrics
from bertune.evaluation.score_parts import Baseline, Drawing, JudgedRows, Judgement, LabelScore, MetricScore
from bertune.wording.metric_text import is_percentage


def judge_classes(
    rows: JudgedRows[IntArray], metrics: Sequence[str], names: tuple[str, ...], drawing: Drawing
) -> Judgement:
    """Judges predicted classes, (rows,), beside always the most frequent one; the logits give the loss."""
    predictions, targets, known = rows.decisions, rows.targets, rows.known
    confusion = confusion_matrix(predictions, targets, len(names))
    majority = int(np.bincount(known).argmax())
    return Judgement(
        metrics=_metric_scores(
            compute_metrics(metrics, predictions, targets),
            compute_metrics(metrics, np.full_like(targets, majority), targets),
            confusion,
            majority,
            class_estimates([name for name in metrics if name != "accuracy"], confusion, majority, drawing),
        ),
        mean_loss=_cross_entropy(rows.outputs, targets),
        baseline=Baseline(
            "majority",
            names[majority],
            rows.known_from,
            None,
            _caution(confusion.sum(axis=1), majority, names),
        ),
        is_majority=bool((predictions == predictions[0]).all() and (targets != targets[0]).any()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        labels=_label_scores(confusion, names),
        calibration_error=calibration_error(softmax(rows.outputs), targets),
    )


def _metric_scores(
    values: dict[str, float],
    baselines: dict[str, float],
    confusion: IntArray,
    majority: int,
    estimates: dict[str, Estimates],
) -> dict[str, MetricScore]:
    """Holds each metric against always answering one class; accuracy needs no estimate."""
    correct, of_majority = confusion.diagonal(), confusion[:, majority]
    rows, right = int(confusion.sum()), int(of_majority[majority])
    pair = PairedRows(int(correct.sum()) - right, int(confusion[majority].sum()) - right, rows - int(of_majority.sum()))
    scores = {}
    for name, value in values.items():
        baseline = baselines[name]
        if name == "accuracy":
            low, high = share_interval(value, rows)
            scores[name] = MetricScore(value, low, high, baseline, by_rows([pair]), "Agresti-Coull")
            continue
        metric, own = METRICS[name], estimates[name].own
        ends = (0.0, 1.0) if is_percentage(name) else (-1.0, 1.0)
        low, high = possible(own.interval(), value, ends)
        if name == "matthews":
            side = by_agreement(confusion, (low, high))
        else:
            side = by_differences(
                [value - baseline],
                estimates[name].differences,
                [pair],
                rows=rows,
                higher_is_better=metric.higher_is_better,
            )
        scores[name] = MetricScore(value, low, high, baseline, side, "bootstrap with pseudo-rows")
    return scores


def _caution(rows: IntArray, majority: int, names: tuple[str, ...]) -> str | None:
    """Says so where the most frequent class of training is not that of the rows, (classes,), that are scored."""
    here = int(rows.argmax())
    if rows[here] <= rows[majority]:
        return None
    shares = 100 * rows / rows.sum()
    return (
        f"{names[majority]!r} is the training majority but {shares[majority]:.1f} % of these rows; "
        f"always {names[here]!r} would have {shares[here]:.1f} %"
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
