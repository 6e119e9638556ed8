"""Scores as people read them: a sentence, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertune.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from bertune.evaluation.scores import MetricScore, Scores

_DASH = "\N{EN DASH}"
# Wider tables wrap on a terminal and can no longer be read.
_MOST_LABELS_IN_MATRIX = 8
_LONGEST_LABEL = 24
_SPOKEN = {
    "f1": "F1",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
}
_SOURCE = {"training data": "the training data", "these rows": "these rows"}
_LOSS = {
    "classification": "mean cross entropy",
    "multi-label": "mean binary cross entropy of a label",
    "regression": "mean squared error",
}
_AGAINST = {
    "better": "better than the baseline",
    "unclear": "no clear difference from the baseline",
    "worse": "worse than the baseline",
}


def verdict(scores: Scores) -> str:
    """Returns one sentence on the first metric."""
    name, first = next(iter(scores.metrics.items()))
    value, interval, baseline = _numbers(name, first)
    sentence = (
        f"{_spoken(name, scores)} {value} ({interval}), {scores.baseline.kind} baseline {baseline}: "
        f"{_AGAINST[first.against_baseline]}"
    )
    return f"{sentence}; {_collapse(scores)}" if scores.is_majority else sentence


def lines(scores: Scores) -> list[str]:
    """Returns everything worth reading, line by line."""
    text = [verdict(scores), ""]
    rows: list[tuple[str, ...]] = [("metric", "value", "95 % interval", "baseline", "")]
    for name, metric in scores.metrics.items():
        rows.append((_spoken(name, scores), *_numbers(name, metric), metric.against_baseline))
    text += [*_table(rows), "", *_about(scores)]
    if scores.confusion:
        text += ["", *_matrix(scores)]
    if scores.labels:
        text += ["", *_by_label(scores)]
    return text


def _about(scores: Scores) -> list[str]:
    baseline = scores.baseline
    answers = {
        "majority": f"{baseline.answer!r}, the majority",
        "mean": f"{baseline.answer:.4g}, the mean" if isinstance(baseline.answer, float) else "",
        "constant": f"{baseline.answer}, by the label counts",
    }
    of_baseline = "" if baseline.loss is None else f" (baseline {baseline.loss:.4f})"
    error = scores.calibration_error
    calibration = "" if error is None else f", expected calibration error {100 * error:.1f} %"
    return [
        f"{scores.rows:,} rows, {_LOSS[scores.task_kind]} {scores.mean_loss:.4f}{of_baseline}{calibration}",
        f"baseline: always {answers[baseline.kind]} of {_SOURCE[baseline.source]}",
        f"intervals: {scores.bootstrap_samples:,} bootstrap samples of the rows, seed {scores.seed}",
    ]


def _matrix(scores: Scores) -> list[str]:
    if len(scores.labels) > _MOST_LABELS_IN_MATRIX:
        return [f"confusion matrix of {len(scores.labels)} labels: too wide to show here"]
    names = [_short(name) for name in scores.label_names]
    rows = [("true \\ predicted", *names)]
    rows += [(name, *map(str, counts)) for name, counts in zip(names, scores.confusion, strict=True)]
    return ["confusion matrix", *_table(rows)]


def _by_label(scores: Scores) -> list[str]:
    rows: list[tuple[str, ...]] = [("label", "precision", "recall", "f1", "rows")]
    for label in scores.labels:
        shares = (f"{100 * share:.1f} %" for share in (label.precision, label.recall, label.f1))
        rows.append((_short(label.label), *shares, str(label.support)))
    return _table(rows)


def _collapse(scores: Scores) -> str:
    if scores.task_kind == "regression":
        return "predictions hardly vary: this run collapsed"
    if scores.task_kind == "multi-label":
        return "every row is given the same labels: this run collapsed"
    only = next(
        name for index, name in enumerate(scores.label_names) if any(counts[index] for counts in scores.confusion)
    )
    return f"every prediction is {only!r}: this run collapsed"


def _numbers(name: str, metric: MetricScore) -> tuple[str, str, str]:
    if METRICS[name].as_percentage:
        value, low, high, baseline = (100 * v for v in (metric.value, metric.low, metric.high, metric.baseline))
        return f"{value:.1f} %", f"{low:.1f}{_DASH}{high:.1f}", f"{baseline:.1f} %"
    between = _DASH if metric.low >= 0 else " to "
    return f"{metric.value:.3f}", f"{metric.low:.3f}{between}{metric.high:.3f}", f"{metric.baseline:.3f}"


def _spoken(name: str, scores: Scores) -> str:
    if name == "f1" and len(scores.label_names) > 1:
        return f"F1 of {_short(scores.label_names[1])!r}"
    return _SPOKEN.get(name, name)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 3] + "..."


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Aligns columns: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
