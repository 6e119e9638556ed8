"""The paired bootstrap: metrics of several models on the same resampled rows, so that what they share cancels out.

Drawing the rows for each model by itself would take easy and hard samples of rows for a difference of the models.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bertune.data.task_kind import TaskKind
from bertune.evaluation.answer_kinds import ANSWERS, Decisions
from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.intervals import PSEUDO_ROWS, Interval
from bertune.evaluation.metrics import METRICS

# Numbers worked on at a time.
_CHUNK = 1_000_000


def measure_decisions(
    names: Sequence[str], decisions: Decisions, targets: Decisions, *, kind: TaskKind, num_labels: int
) -> dict[str, float]:
    """Computes metrics of one model's answers; for arguments see `paired_samples`."""
    rows = ANSWERS[kind].weighted(decisions, targets, np.ones(len(targets)), num_labels)
    return {name: float(METRICS[name].measures[kind](rows)) for name in names}


def paired_samples(
    names: Sequence[str],
    decisions: Sequence[Decisions],
    targets: Decisions,
    *,
    kind: TaskKind,
    num_labels: int,
    samples: int,
    seed: int,
) -> dict[str, FloatArray]:
    """Draws rows with replacement and computes every model's metrics on each draw.

    Rows with the same target and the same answers of all models are drawn as one cell of a multinomial distribution,
    which is what drawing the rows gives it.

    Args:
        names: metrics.
        decisions: of each model, in the form of `targets`.
        targets: class ids, (rows,); for multi-label 0 and 1, (rows, labels); or values, (rows,).
        kind: of the task.
        num_labels: 1 for values.
        samples: how many draws.
        seed: the same seed gives the same draws.

    Returns:
        By metric, (models, samples).
    """
    columns = [np.asarray(each).reshape(len(targets), -1) for each in (targets, *decisions)]
    _, first_rows, counts = np.unique(np.concatenate(columns, axis=1), axis=0, return_index=True, return_counts=True)
    found: dict[str, list[FloatArray]] = {name: [] for name in names}
    weighted = ANSWERS[kind].weighted
    for weights in _drawn(counts, samples, seed):
        drawn = [weighted(each[first_rows], targets[first_rows], weights, num_labels) for each in decisions]
        for name in names:
            found[name].append(np.stack([METRICS[name].measures[kind](rows) for rows in drawn]))
    return {name: np.concatenate(chunks, axis=1) for name, chunks in found.items()}


def least_intervals(
    names: Sequence[str], first: Decisions, second: Decisions, targets: Decisions, *, kind: TaskKind, num_labels: int
) -> dict[str, Interval]:
    """Returns what the interval of a difference contains at least, however alike two models answer.

    Where they answer alike on every row, they differ on no drawn set of rows either, and yet may on other rows. So each
    end is the difference (second minus first) if z² = 3.84 rows more were there, like the rows on average, that only
    one of the two answers right: what `intervals` does to a share that is 0 or 1.

    Args:
        names: metrics.
        first: answers of a model, in the form of `targets`.
        second: of another.
        targets: as in `paired_samples`.
        kind: of the task.
        num_labels: 1 for values.
    """
    rows, of_kind = len(targets), ANSWERS[kind]
    weights = np.concatenate([np.ones(rows), np.full(rows, PSEUDO_ROWS / rows)])
    doubled = np.concatenate([targets, targets])

    def measured(answers: Decisions, *, is_right: bool) -> list[float]:
        more = of_kind.pseudo_answers(answers, targets, num_labels, is_right=is_right)
        counted = of_kind.weighted(np.concatenate([answers, more]), doubled, weights, num_labels)
        return [float(METRICS[name].measures[kind](counted)) for name in names]

    ends = [
        np.subtract(measured(second, is_right=is_right), measured(first, is_right=not is_right)).tolist()
        for is_right in (False, True)
    ]
    return {name: (min(pair), max(pair)) for name, pair in zip(names, zip(*ends, strict=True), strict=True)}


def _drawn(counts: npt.NDArray[np.int64], samples: int, seed: int) -> Iterator[FloatArray]:
    """How often each cell is drawn, (draws, cells), some draws at a time."""
    generator = np.random.default_rng(seed)
    most = max(1, _CHUNK // len(counts))
    for start in range(0, samples, most):
        size = min(most, samples - start)
        yield generator.multinomial(counts.sum(), counts / counts.sum(), size=size).astype(np.float64)
