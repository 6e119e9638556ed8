"""The picture of a sweep."""

from bertune.evaluation.metrics import METRICS
from bertune.experiments.search import FinishedSweep
from bertune.plots.sweep_plot import TrialCurve, plot_sweep


def draw_sweep(finished: FinishedSweep) -> None:
    """Writes `sweep.svg` into the folder of a sweep."""
    sign = 1 if METRICS[finished.metric].higher_is_better else -1
    curves = [
        TrialCurve(
            name=f"trial {trial.number}",
            values=tuple(sign * value for value in trial.values),
            stopped=trial.state != "complete",
            is_best=trial is finished.best,
            learning_rate=trial.drawn.get("learning_rate"),
        )
        for trial in finished.trials
        if trial.values
    ]
    # A folder may come from somebody else, so a link in it is not followed.
    if finished.directory.picture.is_symlink():
        finished.directory.picture.unlink()
    plot_sweep(curves, finished.metric, finished.directory.picture, best_value=max if sign == 1 else min)
