"""Scores of values."""

from collections.abc import Sequence

import numpy as np

from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.bootstrap import value_intervals
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Baseline, Judgement, metric_scores

# Predicted values that vary this much less than the targets say the same for every row.
_COLLAPSED_SPREAD = 0.01


def judge_values(
    values: FloatArray,
    targets: FloatArray,
    train: FloatArray | None,
    metrics: Sequence[str],
    *,
    samples: int,
    seed: int,
) -> Judgement:
    """Judges values, (rows,), beside always the mean of the training targets."""
    known = targets if train is None or not len(train) else train
    mean = float(known.mean())
    return Judgement(
        metrics=metric_scores(
            compute_metrics(metrics, values, targets),
            value_intervals(metrics, values, targets, samples=samples, seed=seed),
            compute_metrics(metrics, np.full_like(targets, mean), targets),
        ),
        mean_loss=float(np.mean((values - targets) ** 2)),
        baseline=Baseline(
            "mean", mean, "these rows" if known is targets else "training data", float(np.mean((mean - targets) ** 2))
        ),
        is_majority=bool(targets.std() > 0 and values.std() <= _COLLAPSED_SPREAD * targets.std()),
    )
