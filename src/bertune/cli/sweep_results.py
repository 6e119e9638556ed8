"""How a sweep is shown while it runs, and what it came to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from bertune.cli.progress import TrainingProgress
from bertune.cli.terminal import say
from bertune.studies.halving import Trial
from bertune.studies.sweep import FinishedSweep, shown_value
from bertune.studies.sweep_settings import SweepSettings
from bertune.training.config import TrainingConfig
from bertune.training.loop import Observer


class TrialProgress:
    """Says of each trial what its settings are, and shows how it trains.

    Args:
        search: what is searched.
        config: the settings that are not.
        enabled: False shows nothing.
    """

    def __init__(self, search: SweepSettings, config: TrainingConfig, *, enabled: bool) -> None:
        self._search, self._config, self._enabled = search, config, enabled

    @contextmanager
    def __call__(self, number: int, config: TrainingConfig) -> Iterator[Observer | None]:
        """Gives the observer of one trial."""
        if not self._enabled:
            yield None
            return
        drawn = {name: getattr(config, name) for name in self._search.space(self._config)}
        parts = (f"{name.replace('_', ' ')} {_text(value)}" for name, value in drawn.items())
        say(f"trial {number} of {self._search.trials}: {', '.join(parts)}")
        with TrainingProgress() as progress:
            yield progress


def sweep_lines(finished: FinishedSweep) -> list[str]:
    """Returns what a sweep came to, for people: one line a trial, the best first."""
    ranked = sorted(finished.trials, key=lambda trial: -trial.value if trial.values else float("inf"))
    searched = list(finished.best.drawn)
    rows = [["trial", *(name.replace("_", " ") for name in searched), finished.metric, "best epoch", "trained"]]
    rows += [_row(trial, searched, finished.metric) for trial in ranked]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if column == len(row) - 1 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    stopped = sum(trial.state == "stopped" for trial in finished.trials)
    lines += [
        "",
        f"{len(finished.trials)} trials, {stopped} stopped early: at each rung one in {finished.reduction} goes on",
        f"best: trial {finished.best.number}; of {len(finished.trials)} on the same validation rows the best one looks "
        "better than it is, so score it on rows that chose nothing; test was not opened",
        f"model: {finished.directory.model}",
        f"picture: {finished.directory.picture}",
    ]
    return lines


def sweep_values(finished: FinishedSweep) -> dict[str, Any]:
    """Returns what a sweep came to, for programs."""
    trials = [
        asdict(trial)
        | {"run": str(finished.directory.run_of(trial.number))}
        | {"best_epoch": trial.best_epoch if trial.values else None}
        for trial in finished.trials
    ]
    return {
        "sweep": str(finished.directory.path),
        "model": str(finished.directory.model),
        "metric": finished.metric,
        "best": finished.best.number,
        "trials": trials,
    }


def _row(trial: Trial, searched: list[str], metric: str) -> list[str]:
    drawn = [_text(trial.drawn[name]) for name in searched]
    if not trial.values:
        return [str(trial.number), *drawn, "", "", "diverged"]
    trained = f"{len(trial.values)} of {trial.epochs} epochs" + (
        "" if trial.state == "complete" else f", {trial.state}"
    )
    return [str(trial.number), *drawn, f"{shown_value(trial, metric):.4f}", str(trial.best_epoch), trained]


def _text(value: float) -> str:
    """A setting as people type it."""
    return f"{value:.2e}" if isinstance(value, float) else str(value)
