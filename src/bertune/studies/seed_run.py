"""One seed of a study: an ordinary run, and what it came to."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from bertune.errors import DivergedError
from bertune.evaluation.metrics import METRICS
from bertune.training.advice import Advice
from bertune.training.callback import Callback
from bertune.training.prepare import PreparedRun
from bertune.training.run import execute


@dataclass(frozen=True)
class SeedResult:
    """What one seed came to.

    Args:
        seed: its number.
        folder: of its run, inside that of the study.
        status: `diverged` where the loss was not finite, whatever an earlier epoch had reached.
        seconds: of the whole run, evaluations included.
        best_epoch: from 1; None where it diverged, as for the next three.
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
    best_epoch: int | None = None
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

    def to_dict(self) -> dict[str, Any]:
        """Returns everything in types that JSON knows."""
        return asdict(self) | {"advice": [each.to_dict() for each in self.advice]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Reads what `to_dict` gave."""
        advice = tuple(Advice.from_dict(each) for each in values.get("advice", ()))
        return cls(**values | {"advice": advice})


def folder_name(seed: int) -> str:
    """Returns the name of a seed's run folder."""
    return f"seed-{seed}"


def run_seed(run: PreparedRun, observer: Callback | None) -> SeedResult:
    """Trains one seed; that it diverges is a result.

    Raises:
        BertuneError: anything else that went wrong.
    """
    seed, started = run.config.seed, time.perf_counter()
    folder = run.settings.out.name
    try:
        finished = execute(run, observer=observer)
    except DivergedError as error:
        seconds = time.perf_counter() - started
        return SeedResult(seed, folder, "diverged", seconds, reason=error.message.removeprefix("training diverged: "))
    scores = finished.best.scores
    assert scores is not None, "a study has validation data"
    return SeedResult(
        seed,
        folder,
        "finished",
        time.perf_counter() - started,
        best_epoch=finished.best.epoch,
        metrics=scores.values,
        loss=scores.mean_loss,
        collapsed=scores.is_majority,
        advice=finished.advice,
    )
