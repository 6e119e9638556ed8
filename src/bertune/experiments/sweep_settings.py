"""What a sweep searches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bertune.errors import ConfigError
from bertune.training.config import TrainingConfig

if TYPE_CHECKING:  # it imports torch, which `bertune sweep --help` must not
    from bertune.training.plan import TrainingPlan

#: The settings that can be searched.
SEARCHABLE = ("learning_rate", "batch_size", "epochs", "seed")
Drawn = dict[str, float]
"""Of each searched setting, by its name in `TrainingConfig`, the value for one trial."""
Space = dict[str, tuple[float, ...]]
"""Of each searched setting all values; of the learning rate lowest and highest."""

# Where nothing is named, rates from a fifth of --learning-rate to five times as much.
_USUAL_FACTOR = 5.0


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Which settings are searched, and how far; all others are those of `bertune train`, the same for every trial.

    Args:
        trials: runs in all; those that are stopped early count. The same command with more of them resumes.
        search_learning_rate: lowest and highest rate; drawn evenly over their logarithm. If nothing at all is searched,
            it is this, from a fifth of --learning-rate to five times as much.
        search_batch_size: the batch sizes to choose from.
        search_epochs: the numbers of epochs to choose from.
        search_seed: the seeds to choose from.
        reduction: at each rung (after 1 epoch, then after so many times as many), of all trials that came so far only
            the best one in so many goes on.
        draw_seed: of the draws of the settings.

    Raises:
        ConfigError: a range that is reversed, or a value that no run could have.
    """

    trials: int = 16
    search_learning_rate: tuple[float, float] | None = None
    search_batch_size: tuple[int, ...] = ()
    search_epochs: tuple[int, ...] = ()
    search_seed: tuple[int, ...] = ()
    reduction: int = 2
    draw_seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1, not {self.trials}")
        if self.reduction < 2:
            raise ConfigError(f"reduction must be at least 2, not {self.reduction}")
        if not 0 <= self.draw_seed < 2**31:
            raise ConfigError(f"draw_seed must lie between 0 and 2^31, not {self.draw_seed}")
        if self.search_learning_rate is not None and self.search_learning_rate[0] >= self.search_learning_rate[1]:
            low, high = self.search_learning_rate
            raise ConfigError(
                f"search_learning_rate goes from {low:g} to {high:g}: the lowest rate comes first, then a higher one"
            )
        for name in SEARCHABLE:
            values = getattr(self, f"search_{name}") or ()
            if len(set(values)) != len(values):
                raise ConfigError(f"search_{name} names a value twice: {', '.join(map(str, values))}")
            for value in values:
                TrainingConfig(**{name: value})  # refuses what no run could have

    def check(self, config: TrainingConfig) -> None:
        """Refuses values for settings that are searched.

        Args:
            config: the settings that are not searched, as the user gave them.

        Raises:
            ConfigError: it has a value for a setting that is searched.
        """
        usual = TrainingConfig()
        for name in self._named():
            if getattr(config, name) != getattr(usual, name):
                flag = name.replace("_", "-")
                raise ConfigError(
                    f"--search-{flag} is searched, so --{flag} has no effect", hint="leave one of the two out"
                )

    def space(self, learning_rate: float) -> Space:
        """Returns the searched settings: of the learning rate lowest and highest, of the others all values.

        Args:
            learning_rate: of a run that is not searched.
        """
        usual = (learning_rate / _USUAL_FACTOR, min(learning_rate * _USUAL_FACTOR, 0.5))
        return self._named() or {"learning_rate": usual}

    def _named(self) -> Space:
        named = {name: tuple(getattr(self, f"search_{name}") or ()) for name in SEARCHABLE}
        return {name: values for name, values in named.items() if values}


def plan_with(plan: TrainingPlan, drawn: Drawn) -> TrainingPlan:
    """Returns the plan of a trial."""
    given: Any = drawn
    return replace(plan, **given)
