"""One seed of a study: an ordinary run, and what it came to."""

import time
from dataclasses import replace

from bertune.errors import DivergedError
from bertune.experiments.study_table import SeedResult
from bertune.training.callback import Callback
from bertune.training.checkpoint_names import remove_checkpoints
from bertune.training.interrupted_run import state_of_interrupted
from bertune.training.prepare import PreparedRun
from bertune.training.run import ResumePoint, execute
from bertune.training.run_directory import RunDirectory


def folder_name(seed: int) -> str:
    """Returns the name of a seed's run folder."""
    return f"seed-{seed}"


def run_seed(run: PreparedRun, callback: Callback | None) -> SeedResult:
    """Trains one seed, or goes on with it where it was interrupted; that it diverges is a result.

    Raises:
        BertuneError: anything else that went wrong.
    """
    seed, started = run.config.seed, time.perf_counter()
    folder = run.settings.out.name
    state = state_of_interrupted(run)
    try:
        if state is None:
            finished = execute(run, callback=callback)
        else:
            run = replace(run, settings=replace(run.settings, overwrite=False))
            finished = execute(run, callback=callback, resume_point=ResumePoint(state))
    except DivergedError as error:
        remove_checkpoints(RunDirectory(run.settings.out).checkpoints)
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
