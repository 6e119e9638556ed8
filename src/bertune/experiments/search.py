"""A sweep: many runs with settings drawn from a space, poor ones stopped early, the best by validation kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from bertune.errors import ConfigError, DivergedError
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.scores import Scores
from bertune.experiments.data_digest import digest_of_data
from bertune.experiments.halving import Halving, StoppedAtRungError, Trial, TrialState, load_optuna, untried_settings
from bertune.experiments.sweep_directory import SweepDirectory
from bertune.experiments.sweep_settings import Drawn, Space, SweepSettings, plan_with
from bertune.fetch.download import Report
from bertune.training.also_scored import score_kept_model
from bertune.training.callback import Callback, Callbacks
from bertune.training.checkpoint_names import remove_checkpoints
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.history import Evaluation
from bertune.training.interrupted_run import state_of_interrupted
from bertune.training.named_paths import Settings
from bertune.training.plan import TrainingPlan
from bertune.training.prepare import PreparedRun, Say, prepare
from bertune.training.resolved_settings import resolved_settings
from bertune.training.run import ResumePoint, execute
from bertune.training.run_directory import RunDirectory
from bertune.training.run_settings import RunSettings
from bertune.wording.metric_text import metric_name, metric_text

#: Gives what watches a trial while it runs: its number, and the settings that were drawn for it.
Watch = Callable[[int, Drawn], AbstractContextManager[Callback | None]]


@dataclass(frozen=True)
class FinishedSweep:
    """What a sweep came to.

    Args:
        directory: where everything is.
        metric: by which trials were compared.
        trials: in the order in which they ran.
        best: the one whose model was kept.
        reduction: of the halving.
        test: scores of the model that was kept on the test rows; None without such.
    """

    directory: SweepDirectory
    metric: str
    trials: tuple[Trial, ...]
    best: Trial
    reduction: int
    test: Scores | None = None


def run_sweep(
    settings: RunSettings,
    config: TrainingConfig,
    sweep: SweepSettings,
    *,
    say: Say,
    watch: Watch,
    verbose: bool = False,
    on_fetch: Report | None = None,
) -> FinishedSweep:
    """Runs the trials that are not done yet, one after another.

    The test split of a folder is not even opened; rows that --test names are scored once, at the end.

    Args:
        settings: of all trials; `out` is the folder of the sweep.
        config: of all trials, but for what is searched; what it leaves open is chosen once for all of them.
        sweep: what is searched.
        say: told each fact as a line.
        watch: watches each trial.
        verbose: tell more of the data and the encoder, as `prepare`.
        on_fetch: told how far the download of a model from an address is.

    Raises:
        ConfigError: optuna is missing, there are no validation data, or the folder holds something else.
        DivergedError: every trial diverged.
    """
    load_optuna()
    sweep.check(config)
    directory = SweepDirectory(settings.out)
    directory.check(overwrite=settings.overwrite)
    # Reads and checks all that a trial needs before anything is written; told once, since it is the same for all.
    own = replace(settings, out=directory.run_of(0))
    first = prepare(own, config, say=say, verbose=verbose, on_fetch=on_fetch)
    if first.validation is None:
        raise ConfigError(
            "a sweep compares its trials on validation data",
            hint="name some with --validation FILE, or hold training rows back: --validation 0.1",
        )
    space = sweep.space(first.config.learning_rate)
    metric, common = first.signature.metrics[0], _common(first, sweep, space)
    plan = first.config
    data = digest_of_data(first)
    resumes = not settings.overwrite and directory.earlier() is not None
    with directory.started(overwrite=settings.overwrite, resumes=resumes):
        earlier = directory.earlier()
        if earlier is not None:
            earlier.check_same(common, data, directory.path)
        done = [] if earlier is None else list(earlier.trials)
        directory.write_settings(_shown(settings, common, max(sweep.trials, len(done))))
        directory.write_table(common, data, metric, done)
        if done:
            say(f"trials done before: {len(done)}")
        _keep_best(directory, done)
        for number in range(len(done) + 1, sweep.trials + 1):
            if untried_settings(space, done) == []:
                say(f"all {len(done)} settings were tried, so there are no more than {len(done)} trials")
                break
            halving = Halving(space, done, sweep.reduction, sweep.draw_seed)
            trial = _run_trial(number, settings, plan_with(plan, halving.drawn), halving, directory, watch)
            done.append(trial)
            directory.write_table(common, data, metric, done)
            say(_story(trial, metric))
            _keep_best(directory, done)
        best = best_of(done)
        if best is None:
            raise DivergedError(f"all {len(done)} trials diverged", hint="search lower learning rates")
        test = score_kept_model(first, directory.path)
    return FinishedSweep(directory, metric, tuple(done), best, sweep.reduction, test)


def shown_value(trial: Trial, metric: str) -> float:
    """Returns the metric of a trial's best epoch as the metric gives it."""
    return trial.value if METRICS[metric].higher_is_better else -trial.value


def best_of(trials: list[Trial]) -> Trial | None:
    """Returns the trial with the best metric, of equal ones that with the lowest loss, then the earliest.

    A trial that diverged is not kept, whatever an earlier epoch of it had reached. None where all did.
    """
    sound = (trial for trial in trials if trial.values and trial.state != "diverged")
    return max(sound, key=lambda trial: trial.rank, default=None)


def _keep_best(directory: SweepDirectory, trials: list[Trial]) -> None:
    """Makes the best trial's model the sweep's, where it is not: it may be that of a trial done before."""
    best = best_of(trials)
    if best is not None:
        if not directory.keeps(best):
            directory.keep(best)
        directory.forget_earlier_run(ended=False)


def _run_trial(
    number: int,
    settings: RunSettings,
    plan: TrainingPlan,
    halving: Halving,
    directory: SweepDirectory,
    watch: Watch,
) -> Trial:
    # The test rows are for the model that is kept, and for no other; frozen features would be the same for every trial.
    own = replace(settings, out=directory.run_of(number), overwrite=True, test=None, skip_probe=True)
    if not (own.out / "run.toml").is_file():
        # Killed before it was a run: there is nothing in it to resume.
        directory.forget_trial(number)
    prepared = prepare(own, plan, say=_say_nothing)
    prepared = replace(prepared, settings=replace(prepared.settings, overwrite=False), checkpoints=CheckpointSettings())
    if prepared.teaching is not None:  # it answers once for all trials
        prepared = replace(prepared, teaching=replace(prepared.teaching, cache=directory.path))
    earlier = state_of_interrupted(prepared)
    if earlier is None:
        directory.forget_trial(number)
    for past in () if earlier is None else earlier.fitting.history.in_order():  # none has stopped the trial there
        if isinstance(past, Evaluation):
            halving.on_evaluation(past)
        else:
            halving.on_epoch(past)
    state: TrialState = "complete"
    with watch(number, halving.drawn) as callback:
        try:
            # The one that may stop the trial comes last: the terminal has told of the epoch by then.
            told = Callbacks((callback, halving))
            execute(prepared, callback=told, resume_point=None if earlier is None else ResumePoint(earlier))
        except StoppedAtRungError:
            state = "stopped"
        except DivergedError:
            state = "diverged"
    remove_checkpoints(RunDirectory(own.out).checkpoints)
    return halving.outcome(number, state, plan.epochs)


def _say_nothing(line: str) -> None:
    """What was read is the same for every trial, and was said once."""
    del line


def _common(run: PreparedRun, sweep: SweepSettings, space: Space) -> Settings:
    """What decides the trials: an interrupted sweep goes on only with the same."""
    settings = resolved_settings(run)
    for name in ("out", *(searched.replace("_", "-") for searched in space)):
        settings.pop(name, None)
    searched: Settings = {f"search-{name.replace('_', '-')}": list(values) for name, values in space.items()}
    return settings | searched | {"reduction": sweep.reduction, "draw-seed": sweep.draw_seed}


def _shown(settings: RunSettings, common: Settings, trials: int) -> Settings:
    return common | {"out": str(settings.out), "trials": trials}


def _story(trial: Trial, metric: str) -> str:
    if not trial.values:
        return f"trial {trial.number}: diverged in its first epoch"
    ends = {
        "complete": f"all {trial.epochs} epochs" if trial.epochs > 1 else "its one epoch",
        "stopped": f"stopped after epoch {len(trial.values)} of {trial.epochs}",
        "diverged": f"diverged after epoch {len(trial.values)} of {trial.epochs}",
    }
    value = f"{metric_name(metric)} {metric_text(metric, shown_value(trial, metric))} at epoch {trial.best_epoch}"
    return f"trial {trial.number}: {value}, {ends[trial.state]}"
