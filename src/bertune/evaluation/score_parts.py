"""What scores are made of: metrics with their intervals, the baseline, and each label's own scores."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation.arrays import FloatArray, IntArray
from bertune.system.hinted_values import LEFT_OUT

Array = TypeVar("Array", FloatArray, IntArray)


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the answers of a task are scored.

    Args:
        kind: of the task.
        metrics: names of `METRICS` for this kind; the first one gives the verdict.
        label_names: in the order of the logits; None names them by their numbers. None for values.
    """

    kind: TaskKind
    metrics: tuple[str, ...]
    label_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", TaskKind.of(self.kind))


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a bootstrap draws.

    Args:
        samples: sets of rows, at least 1; a few hundred do for standard errors.
        seed: equal seeds draw the same.

    Raises:
        ConfigError: no samples.
    """

    samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"bootstrap_samples must be at least 1, not {self.samples}")


@dataclass(frozen=True, slots=True)
class JudgedRows(Generic[Array]):
    """A model's answers beside the truth.

    Args:
        outputs: logits, (rows, labels), or values, (rows,).
        decisions: what was answered, in the form of the targets; of values the values themselves.
        targets: class ids, (rows,); 0 and 1, (rows, labels); or values, (rows,).
        train_targets: what the baseline learns from, any number of rows; None where it is not known.
    """

    outputs: FloatArray
    decisions: Array
    targets: Array
    train_targets: Array | None = None

    @property
    def known(self) -> Array:
        """What the baseline learns from: training targets, or where there are none the targets themselves."""
        return self.targets if self.train_targets is None or not len(self.train_targets) else self.train_targets

    @property
    def known_from(self) -> Literal["training data", "these rows"]:
        """Where that is from."""
        return "these rows" if self.known is self.targets else "training data"


Method = Literal[
    "Agresti-Coull",
    "bootstrap with pseudo-rows",
    "Fisher's z",
    "Agresti-Coull, widened for folds",
    "bootstrap with pseudo-rows, widened for folds",
    "Fisher's z, widened for folds",
]


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A metric's value, its 95 % interval, and the baseline's value on the same rows.

    Args:
        value: as the metric gives it (a fraction, a correlation), like the next three.
        low: lower end of the interval, which is never as high as the upper end.
        high: upper end.
        baseline: of what always gives the same answer; of two such answers, the better one.
        against_baseline: which of the two is better on rows like these, by a paired test (see `against_baseline`) and
            not by the interval, which knows nothing of how uncertain the baseline is.
        method: how the interval was found (see `intervals`, `bootstrap` and `cross_validated`); None in files of older
            runs, which do not say.
    """

    value: float
    low: float
    high: float
    baseline: float
    against_baseline: Literal["better", "unclear", "worse"]
    method: Method | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always gives the same answer.

    Args:
        kind: "majority" answers the most frequent class, "mean" the mean value, "constant" always the same labels.
        answer: the label's name, the value, or for several labels a row a sentence that names the answers.
        source: where frequency or mean were taken from: "training data", or "these rows" where that is not known, which
            flatters the baseline.
        loss: its mean squared error for values; None for classes, where it gives no probabilities.
        caution: a sentence, where another class is more frequent in the rows that are scored; None where not.
    """

    kind: Literal["majority", "mean", "constant"]
    answer: str | float
    source: Literal["training data", "these rows"]
    loss: float | None
    caution: str | None = None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label fares.

    Args:
        label: its name.
        precision: share of the rows that were given it that have it; 0.0 where there are none.
        recall: share of the rows that have it that were given it; 0.0 where there are none.
        f1: harmonic mean of the two; 0.0 where it is undefined.
        support: rows that truly have it.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Judgement:
    """What depends on the kind of task in `Scores`; see there."""

    metrics: dict[str, MetricScore]
    mean_loss: float
    baseline: Baseline
    is_majority: bool
    confusion: tuple[tuple[int, ...], ...] = ()
    labels: tuple[LabelScore, ...] = ()
    calibration_error: float | None = None
