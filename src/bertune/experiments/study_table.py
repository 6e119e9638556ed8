"""What `seeds.json` and `sweep.json` hold: studies and sweeps write what is read here."""

from dataclasses import dataclass, field
from typing import Literal

from bertune.evaluation.metrics import METRICS
from bertune.system.hinted_values import LEFT_OUT
from bertune.training.advice import Advice
from bertune.training.named_paths import Settings


@dataclass(frozen=True)
class SeedResult:
    """What one seed came to.

    Args:
        seed: its number.
        folder: of its run, inside that of the study.
        status: `diverged` where the loss was not finite, whatever an earlier epoch had reached.
        seconds: of the whole run, evaluations included.
        best_epoch: how many were behind the best evaluation, a whole number at an epoch's end; None where it diverged,
            as for the next three.
        metrics: on the validation data, in the order asked for.
        loss: mean, on the validation data.
        collapsed: whether it gives every row the same answer.
        reason: why it diverged.
        advice: on its run.
    """

    seed: int
    folder: str
    status: Literal["finished", "diverged"]
    seconds: float
    best_epoch: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    collapsed: bool = False
    reason: str | None = None
    advice: tuple[Advice, ...] = ()

    @property
    def chosen_value(self) -> float:
        """The first metric as a number that is higher when better."""
        name, value = next(iter(self.metrics.items()))
        return value if METRICS[name].higher_is_better else -value


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over seeds.

    Args:
        mean: of the seeds.
        std: standard deviation with n - 1; None of one seed, as are the next two.
        low: where the 95 % interval of the mean begins, by Student's t with n - 1 degrees of freedom. None also where
            all seeds agree: their spread is then below what the validation rows can tell, and not zero.
        high: where it ends.
        minimum: the least of the seeds.
        maximum: the greatest.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    minimum: float
    maximum: float


@dataclass(frozen=True)
class SavedSummary:
    """All seeds together; see `Summary`.

    Args:
        metrics: each metric's spread over the seeds that finished.
        best: the seed with the best first metric; None where none finished.
        collapsed: the seeds that give every row the same answer.
        diverged: the seeds whose loss was not finite.
        advice: on all seeds.
    """

    metrics: dict[str, Spread]
    best: int | None
    collapsed: tuple[int, ...]
    diverged: tuple[int, ...]
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True)
class KeptModel:
    """Which model a study keeps.

    Args:
        seeds: whose weights it is made of.
        recipe: how: `best seed`, or as in `Average`.
    """

    seeds: tuple[int, ...]
    recipe: str


@dataclass(frozen=True)
class SavedAverage:
    """An average of weights that was tried, as far as the file says what it is; see `Average`.

    Args:
        recipe: how it was made.
        seeds: whose weights it is the mean of.
        metrics: on the validation data.
        loss: on the validation data.
    """

    recipe: str | None = field(default=None, metadata=LEFT_OUT)
    seeds: tuple[int, ...] | None = field(default=None, metadata=LEFT_OUT)
    metrics: dict[str, float] | None = field(default=None, metadata=LEFT_OUT)
    loss: float | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class StudyTable:
    """What `seeds.json` holds of a study, whether it has ended or not.

    Args:
        results: of the seeds that are done.
        settings: that all runs have in common.
        data: digest of the data; None where it was not kept.
    """

    results: tuple[SeedResult, ...]
    settings: Settings
    data: str | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class EndedStudy:
    """What `seeds.json` holds of a study that has ended.

    Args:
        chosen_by: split and metric.
        test: what was done with the test rows.
        model: which one is kept.
        summary: all seeds together.
        averages: those that were tried.
        results: as in `StudyTable`, like the next two.
        settings: that all runs have in common.
        data: digest of the data.
    """

    chosen_by: str
    test: str
    model: KeptModel
    summary: SavedSummary
    averages: tuple[SavedAverage, ...]
    results: tuple[SeedResult, ...]
    settings: Settings
    data: str | None = field(default=None, metadata=LEFT_OUT)

    @property
    def is_average(self) -> bool:
        """Whether the model is made of the weights of several seeds."""
        return len(self.model.seeds) > 1
