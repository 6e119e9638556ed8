"""Scores of answers, with the parts of `Scoring` and `Drawing` as keywords."""

from collections.abc import Sequence
from typing import Any

from bertune.data.task_kind import TaskKind
from bertune.evaluation.scores import Drawing, Scores, Scoring, score


def scored(
    outputs: Any,
    targets: Any,
    *,
    task_kind: TaskKind,
    metrics: Sequence[str],
    label_names: Sequence[str] | None = None,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    **rest: Any,
) -> Scores:
    names = None if label_names is None else tuple(label_names)
    return score(
        outputs, targets, Scoring(task_kind, tuple(metrics), names), drawing=Drawing(bootstrap_samples, seed), **rest
    )
