"""`bertune sweep`: how the trials are shown while they run, and what the sweep came to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import refuse_both
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.experiments.sweep_settings import Drawn, SweepSettings
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings
from bertune.wording.aligned import aligned
from bertune.wording.counts import counted
from bertune.wording.metric_text import metric_name, metric_text

if TYPE_CHECKING:
    from bertune.experiments.halving import Trial
    from bertune.experiments.search import FinishedSweep


def sweep(
    settings: Annotated[RunSettings, Parameter(name="*", consume_multiple=True)],
    search: Annotated[SweepSettings, Parameter(name="*", consume_multiple=True)] = SweepSettings(),  # noqa: B008 (frozen)
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    *,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Search settings of training: many runs, poor ones stopped early, the best model by validation kept.

    Every trial has the schedule of its whole length; a rung is the end of an epoch at which trials are compared. The
    test split is not even opened. The same command resumes where it was interrupted, and with more --trials it runs
    more. Needs optuna: pip install "bertune[sweep]".

    Args:
        settings: what to read and write, for all trials.
        search: what is searched.
        config: how to train, for all trials, but for what is searched.
        json: print one JSON document with all trials.
        quiet: print nothing but the result and errors.
        verbose: print more of the data and the encoder.
    """
    from bertune.cli.progress import FetchingProgress
    from bertune.experiments.search import run_sweep
    from bertune.experiments.sweep_picture import draw_sweep

    refuse_both(quiet=quiet, verbose=verbose)
    tell = keep_quiet if quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        watch = _TrialProgress(search, enabled=not quiet)
        finished = run_sweep(settings, config, search, say=tell, watch=watch, verbose=verbose, on_fetch=fetching.show)
    draw_sweep(finished)
    if json:
        show_json(_sweep_values(finished))
    else:
        show(sweep_lines(finished))


class _TrialProgress:
    """Says of each trial what its settings are, and shows how it trains.

    Args:
        search: what is searched.
        enabled: False shows nothing.
    """

    def __init__(self, search: SweepSettings, *, enabled: bool) -> None:
        self._search, self._enabled = search, enabled

    @contextmanager
    def __call__(self, number: int, drawn: Drawn) -> Iterator[Callback | None]:
        """Gives the callback of one trial."""
        from bertune.training.training_progress import TrainingProgress

        if not self._enabled:
            yield None
            return
        parts = (f"{name.replace('_', ' ')} {_text(value)}" for name, value in drawn.items())
        say(f"trial {number} of {self._search.trials}: {', '.join(parts)}")
        with TrainingProgress() as progress:
            yield progress


def sweep_lines(finished: "FinishedSweep") -> list[str]:
    """Returns what a sweep came to, for people: one line a trial, the best first."""
    lines = _collapsed_lines(finished)
    ranked = sorted(finished.trials, key=_place, reverse=True)
    searched = list(finished.best.drawn)
    rows = [
        ["trial", *(name.replace("_", " ") for name in searched), metric_name(finished.metric), "best epoch", "trained"]
    ]
    rows += [_row(trial, searched, finished.metric) for trial in ranked]
    lines += aligned(rows, left=[len(rows[0]) - 1])
    stopped = sum(trial.state == "stopped" for trial in finished.trials)
    lines += [
        "",
        f"{len(finished.trials)} trials, {stopped} stopped early: at each rung one in {finished.reduction} goes on",
        f"best: trial {finished.best.number}; of {len(finished.trials)} on the same validation rows the best one looks "
        "better than it is, so score it on rows that chose nothing; "
        f"test was {'not opened' if finished.test is None else 'scored once, at the end'}",
        f"model: {finished.directory.model}",
        f"picture: {finished.directory.picture}",
    ]
    if finished.test is not None:
        lines += ["", "test (nothing was chosen by these rows):", *finished.test.lines()]
    return lines


def _sweep_values(finished: "FinishedSweep") -> JsonObject:
    """Returns what a sweep came to, for programs."""
    trials = [
        to_json(trial)
        | {"run": str(finished.directory.run_of(trial.number))}
        | {"best_epoch": trial.best_epoch if trial.values else None}
        for trial in finished.trials
    ]
    return {
        "sweep": str(finished.directory.path),
        "model": str(finished.directory.model),
        "metric": finished.metric,
        "best": finished.best.number,
        "collapsed": [trial.number for trial in finished.trials if trial.collapsed],
        "trials": trials,
        **({} if finished.test is None else {"test": finished.test.to_dict()}),
    }


def _place(trial: "Trial") -> tuple[bool, tuple[float, float]]:
    """Higher is better; trials that diverged come last, whatever they had reached, since none of them is kept."""
    return trial.state != "diverged", trial.rank if trial.values else (-float("inf"), -float("inf"))


def _collapsed_lines(finished: "FinishedSweep") -> list[str]:
    """Says first that all trials collapsed, where they did: the best of them is then no better than one answer."""
    scored = [trial for trial in finished.trials if trial.values]
    if not all(trial.collapsed for trial in scored):
        return []
    rates = sorted(trial.drawn["learning_rate"] for trial in scored if "learning_rate" in trial.drawn)
    ranges = (f"--search-learning-rate {_text(rates[0] / 10)} {_text(rates[-1] * 10)}",) if rates else ()
    commands = (*ranges, "--epochs 10", "--class-weights balanced", "--model bert-base-uncased")
    return [
        f"warning: all {len(scored)} trials collapsed: each model gives every row the same answer",
        *(f"{'try' if number == 0 else ' or'}: {command}" for number, command in enumerate(commands)),
        "",
    ]


def _row(trial: "Trial", searched: list[str], metric: str) -> list[str]:
    from bertune.experiments.search import shown_value

    drawn = [_text(trial.drawn[name]) for name in searched]
    if not trial.values:
        return [str(trial.number), *drawn, "", "", "diverged"]
    trained = f"{len(trial.values)} of {counted(trial.epochs, 'epoch')}" + (
        "" if trial.state == "complete" else f", {trial.state}"
    )
    trained += ", collapsed" if trial.collapsed else ""
    return [str(trial.number), *drawn, metric_text(metric, shown_value(trial, metric)), str(trial.best_epoch), trained]


def _text(value: float) -> str:
    """A setting as people type it."""
    return f"{value:.2e}" if isinstance(value, float) else str(value)
