"""Which settings to try next, and which trials to stop early: optuna, asked through one narrow place.

The study is made again of the trials that are done before each trial, and the draws of each trial have a seed of their
own. So an interrupted sweep goes on exactly as one that was not.
"""

import importlib
import itertools
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bertune.errors import ConfigError
from bertune.evaluation.scores import Scores
from bertune.experiments.sweep_settings import Drawn, Space
from bertune.training.callback import Callback
from bertune.training.history import EpochResult, Evaluation

TrialState = Literal["complete", "stopped", "diverged"]
# Random draws before the sampler learns from what it saw.
_RANDOM_TRIALS = 8


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Args:
        number: from 1.
        drawn: the searched settings.
        state: `complete` ran all its epochs, `stopped` was ended at a rung, `diverged` had no finite loss.
        epochs: of its schedule.
        values: of each epoch that it trained, the metric of the best evaluation in it, higher when better.
        rungs: what it had at each rung that it came to, by the name under which optuna keeps it.
        losses: of each epoch that it trained, the mean loss on the validation data at that evaluation; empty in tables
            of sweeps from before they were kept.
        collapsed: whether the model of its best epoch gives every row the same answer.
    """

    number: int
    drawn: Drawn
    state: TrialState
    epochs: int
    values: tuple[float, ...]
    rungs: dict[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    collapsed: bool = False

    @property
    def best_epoch(self) -> int:
        """From 1; on an equal metric that with the lower loss, whose model a run keeps."""
        return best_epoch_of(self.values, self.losses)

    @property
    def rank(self) -> tuple[float, float]:
        """What trials are compared by, higher when better: the metric at the best epoch, then the lower loss there."""
        return self.value, -self.losses[self.best_epoch - 1] if self.losses else -float("inf")

    @property
    def value(self) -> float:
        """The metric at the best epoch."""
        return max(self.values)


def best_epoch_of(values: Sequence[float], losses: Sequence[float]) -> int:
    """Returns the epoch, from 1, with the best metric; of equal ones that with the lowest loss, then the earliest.

    Args:
        values: of each epoch, the metric, higher when better.
        losses: of each epoch; empty where they are not known.
    """
    ranks = list(zip(values, (-loss for loss in losses), strict=True)) if losses else [(value, 0.0) for value in values]
    return ranks.index(max(ranks)) + 1


def untried_settings(space: Space, done: Sequence[Trial]) -> list[Drawn] | None:
    """Returns the settings that no trial had yet; None where a learning rate is searched, of which there is no end."""
    if "learning_rate" in space:
        return None
    tried = [trial.drawn for trial in done]
    every = (dict(zip(space, values, strict=True)) for values in itertools.product(*space.values()))
    return [settings for settings in every if settings not in tried]


class StoppedAtRungError(Exception):
    """A trial is not among those that go on."""


class Halving(Callback):
    """Draws the settings of one trial, and watches it: a `Callback` of `fit` that stops it at a rung.

    Where the settings are finitely many none is drawn twice.

    Args:
        space: of each searched setting, the values; of the learning rate lowest and highest.
        done: the trials before this one.
        reduction: one in so many goes on.
        draw_seed: of the draws.

    Raises:
        ConfigError: optuna is not installed.

    Source: Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning", section 3.2, successive halving
    without waiting (https://arxiv.org/abs/1810.05934), as optuna's `SuccessiveHalvingPruner` does it.
    """

    def __init__(self, space: Space, done: Sequence[Trial], reduction: int, draw_seed: int) -> None:
        optuna = load_optuna()
        distributions = {
            name: optuna.distributions.FloatDistribution(*values, log=True)
            if name == "learning_rate"
            else optuna.distributions.CategoricalDistribution(values)
            for name, values in space.items()
        }
        states = optuna.trial.TrialState
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=draw_seed + len(done), n_startup_trials=_RANDOM_TRIALS),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction),
        )
        for trial in done:
            state = {"complete": states.COMPLETE, "stopped": states.PRUNED, "diverged": states.FAIL}[trial.state]
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=trial.value if trial.state == "complete" else None,
                    params=trial.drawn,
                    distributions=distributions,
                    intermediate_values=dict(enumerate(trial.values, start=1)),
                    system_attrs=trial.rungs,
                )
            )
        untried = untried_settings(space, done)
        if untried:
            self._study.enqueue_trial(random.Random(draw_seed + len(done)).choice(untried))
        self._trial = self._study.ask(distributions)
        self.drawn: Drawn = dict(self._trial.params)
        self.values: list[float] = []
        self.losses: list[float] = []
        self._collapsed: list[bool] = []
        self._within: list[Scores] = []
        self.epochs = 0

    @property
    def rungs(self) -> dict[str, float]:
        """What the trial had at the rungs that it came to."""
        attributes = self._study.get_trials(deepcopy=False)[-1].system_attrs
        return {name: value for name, value in attributes.items() if isinstance(value, float)}

    def outcome(self, number: int, state: TrialState, epochs: int) -> Trial:
        """Returns the trial that was watched.

        Args:
            number: from 1.
            state: how it ended.
            epochs: of its schedule.
        """
        collapsed = bool(self.values) and self._collapsed[best_epoch_of(self.values, self.losses) - 1]
        values, losses = tuple(self.values), tuple(self.losses)
        return Trial(number, self.drawn, state, epochs, values, self.rungs, losses, collapsed)

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:  # noqa: ARG002 (a callback's)
        """Notes how many epochs the schedule has."""
        self.epochs = total_steps // steps_per_epoch

    def on_evaluation(self, result: Evaluation) -> None:
        """Takes note of an evaluation within an epoch; its model may be the one that is kept."""
        if result.is_within_epoch and result.scores is not None:
            self._within.append(result.scores)

    def on_epoch(self, result: EpochResult) -> None:
        """Stops the trial if the epoch is a rung's and the trial is not good enough there.

        Raises:
            StoppedAtRungError: it is to stop.
        """
        assert result.scores is not None
        best = max([*self._within, result.scores], key=lambda scores: scores.rank)
        self._within = []
        self.values.append(best.chosen_value)
        self.losses.append(best.mean_loss)
        self._collapsed.append(best.is_majority)
        self._trial.report(best.chosen_value, result.epoch)
        # Asked at the last epoch as well: what a trial had at a rung is what later ones are measured by.
        if self._trial.should_prune() and result.epoch < self.epochs:
            raise StoppedAtRungError


def load_optuna() -> Any:
    """Returns the package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its dependencies
            optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigError("a sweep needs optuna", hint='pip install "bertune[sweep]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
