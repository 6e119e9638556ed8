"""Scores as people read them: a sentence, and lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertune.data.task_kind import TaskKind
from bertune.wording.aligned import aligned, cells, output_width
from bertune.wording.metric_text import interval_methods, loss_text, metric_interval, metric_name, metric_text, percent
from bertune.wording.nearest import shorten, shown_label

if TYPE_CHECKING:
    from bertune.evaluation.scores import Scores

# Of so many labels each has its line.
_FEW_LABELS = 6
_LOWEST = 3
_SOURCE = {"training data": "the training data", "these rows": "these rows"}
_LOSS = {
    TaskKind.CLASSIFICATION: "mean cross entropy",
    TaskKind.MULTI_LABEL: "mean binary cross entropy of a label",
    TaskKind.REGRESSION: "mean squared error",
}
_AGAINST = {
    "better": "better than the baseline",
    "unclear": "no clear difference from the baseline",
    "worse": "worse than the baseline",
}


def verdict(scores: Scores) -> str:
    """Returns one sentence on the first metric."""
    name, first = next(iter(scores.metrics.items()))
    sentence = (
        f"{metric_name(name, scores.label_names)} {metric_text(name, first.value)} "
        f"({metric_interval(name, first.low, first.high)}), {scores.baseline.kind} baseline "
        f"{metric_text(name, first.baseline)}: {_AGAINST[first.against_baseline]}"
    )
    return f"{sentence}; {_collapse(scores)}" if scores.is_majority else sentence


def lines(scores: Scores, *, verbose: bool = True, width: int | None = None) -> list[str]:
    """Returns what is worth reading, line by line.

    Args:
        scores: of one split.
        verbose: with how intervals were made, and the scores of each label however many there are.
        width: columns for the tables; None asks the terminal.
    """
    width = output_width() if width is None else width
    text = [verdict(scores), "", *aligned(metric_rows(scores), width=width), "", *_about(scores, verbose=verbose)]
    if scores.confusion:
        text += ["", *_matrix(scores, width)]
    # Of two labels the matrix says the same.
    few = len(scores.labels) <= _FEW_LABELS and not (len(scores.labels) == 2 and scores.confusion)
    if scores.labels and (verbose or few):
        text += ["", *_by_label(scores, width)]
    elif len(scores.labels) > _FEW_LABELS:
        text += ["", _lowest(scores)]
    return text


def metric_rows(scores: Scores) -> list[tuple[str, ...]]:
    """Returns the table of the metrics: headings, then a row for each."""
    rows: list[tuple[str, ...]] = [("metric", "value", "95 % interval", "baseline", "")]
    for name, metric in scores.metrics.items():
        interval = metric_interval(name, metric.low, metric.high)
        numbers = (metric_text(name, metric.value), interval, metric_text(name, metric.baseline))
        rows.append((metric_name(name, scores.label_names), *numbers, metric.against_baseline))
    return rows


def _about(scores: Scores, *, verbose: bool) -> list[str]:
    baseline = scores.baseline
    answers = {
        "majority": f"{baseline.answer!r}, the majority",
        "mean": f"{baseline.answer:.4g}, the mean" if isinstance(baseline.answer, float) else "",
        "constant": f"{baseline.answer}, by the label counts",
    }
    of_baseline = "" if baseline.loss is None else f" (baseline {loss_text(baseline.loss)})"
    error = scores.calibration_error
    calibration = "" if error is None else f", expected calibration error {percent(error)}"
    about = [
        f"{scores.rows:,} rows, {_LOSS[scores.task_kind]} {loss_text(scores.mean_loss)}{of_baseline}{calibration}",
        f"baseline: always {answers[baseline.kind]} of {_SOURCE[baseline.source]}",
        *([] if baseline.caution is None else [baseline.caution]),
    ]
    if verbose:
        methods = {name: metric.method or "" for name, metric in scores.metrics.items()}
        about.append(f"intervals: {interval_methods(methods, scores.bootstrap_samples, labels=scores.label_names)}")
    return about


def _matrix(scores: Scores, width: int) -> list[str]:
    if 2 * len(scores.label_names) > width:  # a digit and a space for each
        return [f"confusion matrix of {len(scores.label_names)} labels: too wide to show here"]
    names = [shown_label(name) for name in scores.label_names]
    rows = [("true \\ predicted", *names)]
    rows += [(name, *map(str, counts)) for name, counts in zip(names, scores.confusion, strict=True)]
    table = aligned(rows, width=width, names_above=True)
    if max(map(cells, table)) > width:
        return [f"confusion matrix of {len(names)} labels: {max(map(cells, table))} columns, too wide to show here"]
    return ["confusion matrix", *table]


def _by_label(scores: Scores, width: int) -> list[str]:
    rows: list[tuple[str, ...]] = [("label", "precision", "recall", "F1", "rows")]
    for label in scores.labels:
        shares = (percent(share) for share in (label.precision, label.recall, label.f1))
        rows.append((shown_label(label.label), *shares, f"{label.support:,}"))
    return aligned(rows, width=width)


def _lowest(scores: Scores) -> str:
    """Names the labels that are recognised worst."""
    lowest = sorted(scores.labels, key=lambda label: label.f1)[:_LOWEST]
    named = (f"'{shorten(label.label)}' {percent(label.f1)}" for label in lowest)
    return f"lowest F1 of {len(scores.labels)} labels: {', '.join(named)}; --verbose shows all"


def _collapse(scores: Scores) -> str:
    if not scores.task_kind.has_labels:
        return "predictions hardly vary: this run collapsed"
    if scores.task_kind.has_label_sets:
        return "every row is given the same labels: this run collapsed"
    only = next(
        name for index, name in enumerate(scores.label_names) if any(counts[index] for counts in scores.confusion)
    )
    return f"every prediction is {only!r}: this run collapsed"
