"""The numbers of a run that went well, for tests that change one of them."""

from dataclasses import replace
from typing import Any

from bertune.data.task_kind import TaskKind
from bertune.evaluation.saved_scores import SavedScores
from bertune.evaluation.score_parts import Baseline, MetricScore
from bertune.reports.run_metrics import RunMetrics

SCORES = SavedScores(
    verdict="accuracy 70 %",
    task_kind=TaskKind.CLASSIFICATION,
    rows=400,
    metrics={"accuracy": MetricScore(0.7, 0.65, 0.75, 0.5, "better", "Agresti-Coull")},
    mean_loss=0.6,
    baseline=Baseline("majority", "ham", "training data", None),
    is_majority=False,
    label_names=("ham", "spam"),
    confusion=(),
    labels=(),
    bootstrap_samples=1000,
    seed=0,
)

RUN = RunMetrics(
    run="run",
    reported_by="0",
    made_with={},
    settings={},
    command="bertune train",
    model=None,
    ended=True,
    of_the_model=True,
    best_epoch=3,
    validation=SCORES,
    calibrated_since=False,
    also_scored={},
    evaluations=(),
    frozen_features=None,
    advice=(),
    seeds=None,
    curves=(),
    answers=None,
    calibration=None,
    doubtful=None,
    receipt=None,
    data=None,
)


def with_accuracy(**changes: Any) -> RunMetrics:
    """The run with another score."""
    return replace(RUN, validation=replace(SCORES, metrics={"accuracy": replace(SCORES.first[1], **changes)}))
