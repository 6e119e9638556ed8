"""Several models on the same rows: whose metrics differ by more than the choice of the rows explains, and where.

Two tests have to agree before a difference is called shown: the paired bootstrap of the first metric, and McNemar's
exact test of the rows that only one of the two answers right (for values the bootstrap alone). The p-value of a pair is
the larger of both, corrected by Holm where there are more than two models. Both answer for the choice of the rows;
neither for the seed of training.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation.answer_kinds import ANSWERS, Decisions
from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.intervals import Interval
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.paired_bootstrap import least_intervals, measure_decisions, paired_samples
from bertune.evaluation.significance import holm, mcnemar, two_sided
from bertune.system.json_file import JsonObject

LEVEL = 0.05
SAMPLES = 2000
_OUTSIDE = (2.5, 97.5)


@dataclass(frozen=True)
class Difference:
    """How a metric of the second model differs from that of the first.

    Args:
        value: second minus first.
        low: lower end of the 95 % interval, which has a width also where both answer alike (`least_intervals`).
        high: upper end.
        p: of the bootstrap, two-sided.
    """

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Pair:
    """Two of the models.

    Args:
        first: place of the first model.
        second: place of the second model.
        metrics: differences by metric.
        only_first: rows that only the first answers right (multi-label: with every label right); for values, rows where
            it is nearer.
        only_second: the same of the second.
        mcnemar_p: None for values.
        p: the larger of McNemar's and that of the first metric.
        corrected_p: p after Holm's correction for the number of pairs.
    """

    first: int
    second: int
    metrics: dict[str, Difference]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    mcnemar_p: float | None
    p: float
    corrected_p: float

    @property
    def is_shown(self) -> bool:
        """Whether the difference is more than the choice of the rows explains."""
        return self.corrected_p < LEVEL

    @property
    def better(self) -> int | None:
        """The place of the better model; None where no difference is shown."""
        if not self.is_shown:
            return None
        name, difference = next(iter(self.metrics.items()))
        return self.second if (difference.value > 0) == METRICS[name].higher_is_better else self.first


@dataclass(frozen=True)
class Comparison:
    """Models compared on the same rows.

    Args:
        kind: of the task.
        rows: how many.
        scores: of each model, its metrics by name.
        pairs: every two models.
        samples: of the bootstrap.
        seed: of the bootstrap.
    """

    kind: TaskKind
    rows: int
    scores: tuple[dict[str, float], ...]
    pairs: tuple[Pair, ...]
    samples: int
    seed: int

    def to_dict(self) -> JsonObject:
        """Returns everything as JSON-ready values."""
        pairs = [asdict(pair) | {"is_shown": pair.is_shown, "better": pair.better} for pair in self.pairs]
        return {
            "kind": self.kind,
            "rows": self.rows,
            "scores": list(self.scores),
            "pairs": pairs,
            "bootstrap_samples": self.samples,
            "seed": self.seed,
        }


def compare_decisions(
    decisions: Sequence[Decisions],
    targets: Decisions,
    *,
    kind: TaskKind,
    metrics: Sequence[str],
    num_labels: int,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compares models by their answers to the same rows.

    Args:
        decisions: of each model, in the form of `targets`.
        targets: class ids, (rows,); for multi-label 0 and 1, (rows, labels); or values, (rows,).
        kind: of the task.
        metrics: the first decides.
        num_labels: 1 for values.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ConfigError: fewer than two models.
    """
    kind = TaskKind(kind)
    if len(decisions) < 2:
        raise ConfigError("a comparison needs two models or more")
    scores = [measure_decisions(metrics, each, targets, kind=kind, num_labels=num_labels) for each in decisions]
    drawn = paired_samples(metrics, decisions, targets, kind=kind, num_labels=num_labels, samples=samples, seed=seed)
    pairs = []
    for first, second in itertools.combinations(range(len(decisions)), 2):
        answers = decisions[first], decisions[second]
        least = least_intervals(metrics, *answers, targets, kind=kind, num_labels=num_labels)
        differences = {
            name: _difference(scores[second][name] - scores[first][name], values[second] - values[first], least[name])
            for name, values in drawn.items()
        }
        pairs.append({"first": first, "second": second, "metrics": differences, **_told_apart(*answers, targets, kind)})
    for pair in pairs:
        of_metric = next(iter(pair["metrics"].values())).p
        pair["p"] = of_metric if pair["mcnemar_p"] is None else max(of_metric, pair["mcnemar_p"])
    corrected = holm([pair["p"] for pair in pairs])
    return Comparison(
        kind,
        len(targets),
        tuple(scores),
        tuple(Pair(**pair, corrected_p=p) for pair, p in zip(pairs, corrected, strict=True)),
        samples,
        seed,
    )


def _difference(value: float, drawn: FloatArray, least: Interval) -> Difference:
    """Makes a metric's difference of what it is, what it was on drawn rows, and what its interval contains at least."""
    outside = np.percentile(drawn, _OUTSIDE)
    low, high = min(float(outside[0]), least[0], value), max(float(outside[1]), least[1], value)
    # Metrics that are undefined on rows of one class, or for constant values, tell nothing at all.
    low, high = (low, high) if low < high else (-1.0, 1.0)
    return Difference(value, low, high, two_sided(drawn))


def _told_apart(first: Decisions, second: Decisions, targets: Decisions, kind: TaskKind) -> dict[str, Any]:
    """Rows that only one of two models answers right, and McNemar's test of them, which values have not."""
    only_first, only_second = ANSWERS[kind].only_one_right(first, second, targets)
    return {
        "only_first": tuple(only_first.tolist()),
        "only_second": tuple(only_second.tolist()),
        "mcnemar_p": mcnemar(len(only_first), len(only_second)) if kind.has_labels else None,
    }
