"""Scores of values."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.against_baseline import by_zero
from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.bootstrap import correlation_errors
from bertune.evaluation.intervals import correlation_interval
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Baseline, Drawing, JudgedRows, Judgement, MetricScore

# Predicted values that vary this much less than the targets say the same for every row.
_COLLAPSED_SPREAD = 0.01


def judge_values(rows: JudgedRows[FloatArray], metrics: Sequence[str], drawing: Drawing) -> Judgement:
    """Judges values, (rows,), beside always the mean of the training targets."""
    values, targets = rows.decisions, rows.targets
    mean = float(rows.known.mean())
    return Judgement(
        metrics=_metric_scores(
            compute_metrics(metrics, values, targets),
            compute_metrics(metrics, np.full_like(targets, mean), targets),
            correlation_errors(metrics, values, targets, drawing),
            len(targets),
        ),
        mean_loss=float(np.mean((values - targets) ** 2)),
        baseline=Baseline("mean", mean, rows.known_from, float(np.mean((mean - targets) ** 2))),
        is_majority=bool(targets.std() > 0 and values.std() <= _COLLAPSED_SPREAD * targets.std()),
    )


def _metric_scores(
    values: dict[str, float], baselines: dict[str, float], errors: dict[str, float], rows: int
) -> dict[str, MetricScore]:
    scores = {}
    for name, value in values.items():
        low, high = correlation_interval(value, rows, errors[name], of_ranks=name == "spearman")
        side = by_zero((low, high), rows)
        scores[name] = MetricScore(value, low, high, baselines[name], side, "Fisher's z")
    return scores
