"""Scores of several labels a row."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.against_baseline import PairedRows, by_differences, by_rows
from bertune.evaluation.answer_kinds import sigmoid
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.evaluation.bootstrap import Estimates, label_estimates
from bertune.evaluation.calibration_error import calibration_error
from bertune.evaluation.intervals import possible, share_interval
from bertune.evaluation.label_metrics import LabelCounts, f1_by_label, label_counts, per_row
from bertune.evaluation.metrics import METRICS, compute_metrics
from bertune.evaluation.score_parts import Baseline, Drawing, JudgedRows, Judgement, LabelScore, MetricScore

_NAMES_SHOWN = 4


def judge_labels(
    rows: JudgedRows[IntArray], metrics: Sequence[str], names: tuple[str, ...], drawing: Drawing
) -> Judgement:
    """Judges given labels, (rows, labels) of 0 and 1, beside always the same labels; the logits give the loss.

    Two constant answers are known to be hard to beat, by different metrics: each label as the majority of the training
    rows has it (often none at all), and the most frequent labels, as many as give the best micro F1 there. Each metric
    is held against both; beside it stands the better of the two.
    """
    predictions, targets, known = rows.decisions, rows.targets, rows.known
    majority, frequent = (known.mean(axis=0) > 0.5).astype(np.int64), _best_constant(known)
    constants = [majority] if (majority == frequent).all() else [majority, frequent]
    return Judgement(
        metrics=_metric_scores(
            compute_metrics(metrics, predictions, targets),
            [compute_metrics(metrics, np.broadcast_to(answer, targets.shape), targets) for answer in constants],
            [_paired(predictions, targets, answer) for answer in constants],
            len(targets),
            label_estimates(
                [name for name in metrics if name != "subset_accuracy"],
                predictions,
                targets,
                constants,
                drawing,
            ),
        ),
        mean_loss=_binary_cross_entropy(rows.outputs, targets),
        baseline=Baseline(
            "constant",
            _named(majority, frequent, names),
            rows.known_from,
            None,
        ),
        is_majority=bool((predictions == predictions[0]).all() and (targets != targets[0]).any()),
        labels=_label_scores(label_counts(per_row(predictions, targets).sum(axis=0).astype(np.float64)), names),
        calibration_error=calibration_error(sigmoid(rows.outputs), targets),
    )


def _paired(predictions: IntArray, targets: IntArray, answer: IntArray) -> PairedRows:
    model, constant = (predictions == targets).all(axis=1), (targets == answer).all(axis=1)
    different = (predictions != answer).any(axis=1)
    return PairedRows(int((model & ~constant).sum()), int((constant & ~model).sum()), int(different.sum()))


def _metric_scores(
    values: dict[str, float],
    baselines: Sequence[dict[str, float]],
    pairs: Sequence[PairedRows],
    rows: int,
    estimates: dict[str, Estimates],
) -> dict[str, MetricScore]:
    """Holds each metric against every constant answer; subset accuracy needs no estimate."""
    scores = {}
    for name, value in values.items():
        higher = METRICS[name].higher_is_better
        of_constants = [baseline[name] for baseline in baselines]
        best = (max if higher else min)(of_constants)
        if name == "subset_accuracy":
            low, high = share_interval(value, rows)
            scores[name] = MetricScore(value, low, high, best, by_rows(pairs), "Agresti-Coull")
            continue
        low, high = possible(estimates[name].own.interval(), value, (0.0, 1.0))
        differences = [value - other for other in of_constants]
        side = by_differences(differences, estimates[name].differences, pairs, rows=rows, higher_is_better=higher)
        scores[name] = MetricScore(value, low, high, best, side, "bootstrap with pseudo-rows")
    return scores


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
