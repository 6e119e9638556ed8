"""A sweep: many runs with settings drawn from a space, poor ones stopped early, the best by validation kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from bertune.checkpoints.download import Report
from bertune.errors import ConfigError, DivergedError
from bertune.evaluation.metrics import METRICS
from bertune.studies.halving import Halving, StoppedAtRungError, Trial, TrialState, load_optuna, untried_settings
from bertune.studies.sweep_directory import SweepDirectory
from bertune.studies.sweep_settings import SweepSettings, config_of
from bertune.training.config import TrainingConfig
from bertune.training.loop import Observer
from bertune.training.observers import Observers
from bertune.training.prepare import PreparedRun, Say, prepare
from bertune.training.run import execute, resolved_settings
from bertune.training.run_settings import RunSettings

#: Gives what watches a trial while it runs: its number, and its configuration.
Watch = Callable[[int, TrainingConfig], AbstractContextManager[Observer | None]]


@dataclass(frozen=True)
class FinishedSweep:
    """What a sweep came to.

    Args:
        directory: where everything is.
        metric: by which trials were compared.
        trials: in the order in which they ran.
        best: the one whose model was kept.
        reduction: of the halving.
    """

    directory: SweepDirectory
    metric: str
    trials: tuple[Trial, ...]
    best: Trial
    reduction: int


def run_sweep(
    settings: RunSettings,
    config: TrainingConfig,
    sweep: SweepSettings,
    *,
    say: Say,
    watch: Watch,
    on_fetch: Report | None = None,
) -> FinishedSweep:
    """Runs the trials that are not done yet, one after another. The test split is not even opened.

    Args:
        settings: of all trials; `out` is the folder of the sweep.
        config: of all trials, but for what is searched.
        sweep: what is searched.
        say: told each fact as a line.
        watch: watches each trial.
        on_fetch: told how far the download of a model from an address is.

    Raises:
        ConfigError: optuna is missing, there are no validation data, or the folder holds something else.
        DivergedError: every trial diverged.
    """
    load_optuna()
    space = sweep.space(config)
    directory = SweepDirectory(settings.out)
    directory.check(overwrite=settings.overwrite)
    # Reads and checks all that a trial needs before anything is written; told once, since it is the same for all.
    first = prepare(replace(settings, out=directory.run_of(0)), config, say=say, on_fetch=on_fetch)
    if first.validation is None:
        raise ConfigError("a sweep compares its trials on validation data", hint="name some with --validation")
    metric, common = first.contract.metrics[0], _common(first, sweep, space)
    del first
    with directory.started(common, overwrite=settings.overwrite) as done:
        directory.write_settings(_shown(settings, common, max(sweep.trials, len(done))))
        directory.write_table(common, metric, done)
        if done:
            say(f"trials done before: {len(done)}")
        for number in range(len(done) + 1, sweep.trials + 1):
            if untried_settings(space, done) == []:
                say(f"all {len(done)} settings were tried, so there are no more than {len(done)} trials")
                break
            halving = Halving(space, done, sweep.reduction, sweep.draw_seed)
            trial = _run_trial(number, settings, config_of(config, halving.drawn), halving, directory, watch)
            done.append(trial)
            directory.write_table(common, metric, done)
            say(_story(trial, metric))
            if best_of(done) is trial:
                directory.keep(trial)
    best = best_of(done)
    if best is None:
        raise DivergedError(f"all {len(done)} trials diverged", hint="search lower learning rates")
    return FinishedSweep(directory, metric, tuple(done), best, sweep.reduction)


def shown_value(trial: Trial, metric: str) -> float:
    """Returns the metric of a trial's best epoch as the metric gives it."""
    return trial.value if METRICS[metric].higher_is_better else -trial.value


def best_of(trials: list[Trial]) -> Trial | None:
    """Returns the trial with the highest value, the earliest of equal ones; None where all diverged at once."""
    return max((trial for trial in trials if trial.values), key=lambda trial: trial.value, default=None)


def _run_trial(
    number: int,
    settings: RunSettings,
    config: TrainingConfig,
    halving: Halving,
    directory: SweepDirectory,
    watch: Watch,
) -> Trial:
    directory.forget_trial(number)
    own = replace(settings, out=directory.run_of(number), overwrite=False)
    prepared = prepare(own, config, say=_say_nothing)
    state: TrialState = "complete"
    with watch(number, config) as observer:
        try:
            # The one that may stop the trial comes last: the terminal has told of the epoch by then.
            execute(prepared, observer=Observers((observer, halving)))
        except StoppedAtRungError:
            state = "stopped"
        except DivergedError:
            state = "diverged"
    return Trial(number, halving.drawn, state, config.epochs, tuple(halving.values), halving.rungs)


def _say_nothing(line: str) -> None:
    """What was read is the same for every trial, and was said once."""
    del line


def _common(run: PreparedRun, sweep: SweepSettings, space: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What decides the trials: an interrupted sweep goes on only with the same."""
    settings = resolved_settings(run)
    for name in ("out", *(searched.replace("_", "-") for searched in space)):
        settings.pop(name, None)
    searched = {f"search-{name.replace('_', '-')}": list(values) for name, values in space.items()}
    return settings | searched | {"reduction": sweep.reduction, "draw-seed": sweep.draw_seed}


def _shown(settings: RunSettings, common: dict[str, Any], trials: int) -> dict[str, Any]:
    return common | {"out": str(settings.out.absolute()), "trials": trials}


def _story(trial: Trial, metric: str) -> str:
    if not trial.values:
        return f"trial {trial.number}: diverged in its first epoch"
    ends = {
        "complete": f"all {trial.epochs} epochs",
        "stopped": f"stopped after epoch {len(trial.values)} of {trial.epochs}",
        "diverged": f"diverged after epoch {len(trial.values)} of {trial.epochs}",
    }
    value = f"{metric} {shown_value(trial, metric):.4f} at epoch {trial.best_epoch}"
    return f"trial {trial.number}: {value}, {ends[trial.state]}"
