"""One fold of a cross-validation: a run on all other rows, and what it answered to the fold's after each evaluation."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.experiments.fold_directory import FoldDirectory, tidy_fold, write_logits
from bertune.experiments.fold_table import FoldResult
from bertune.training.callback import Callback, Callbacks
from bertune.training.history import Evaluation
from bertune.training.interrupted_run import state_of_interrupted
from bertune.training.prepare import PreparedRun, with_seed
from bertune.training.run import ResumePoint, execute
from bertune.training.run_rows import Describe
from bertune.training.saved_run import PlacedRow


class KeptLogits(Callback):
    """Writes what the fold's rows are answered at each evaluation; at one that is made once more, once more.

    Args:
        folder: of the fold.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_evaluation(self, result: Evaluation) -> None:
        """See `Callback`."""
        assert result.logits is not None, "a fold has validation rows"
        write_logits(self._folder, result.step, result.logits)


class DescribeSome:
    """Describes some of the rows by their numbers among these.

    Args:
        describe: all rows.
        rows: which of them.
    """

    def __init__(self, describe: Describe, rows: NDArray[np.int64]) -> None:
        self._describe, self._rows = describe, rows

    def __call__(self, row: int) -> PlacedRow:
        """Returns where a row stands."""
        return self._describe(int(self._rows[row]))


def run_fold(
    run: PreparedRun, folds: NDArray[np.int64], number: int, directory: FoldDirectory, callback: Callback | None
) -> FoldResult:
    """Trains on all rows but those of a fold, or goes on with that where it was interrupted.

    Args:
        run: on all rows; its encoding is shared.
        folds: (rows,) the fold of each row.
        number: of this one.
        directory: of the whole.
        callback: watches,.

    Raises:
        BertuneError: the training failed.
    """
    started = time.perf_counter()
    own = prepared_fold(run, folds, number, directory)
    state = state_of_interrupted(own)
    watched = Callbacks((KeptLogits(own.settings.out), callback))
    if state is None:
        shutil.rmtree(own.settings.out, ignore_errors=True)  # it may be tidy, and no longer a run
        finished = execute(own, callback=watched)
    else:
        own = replace(own, settings=replace(own.settings, overwrite=False))
        finished = execute(own, callback=watched, resume_point=ResumePoint(state))
    tidy_fold(own.settings.out)
    assert own.validation is not None
    return FoldResult(
        fold=number,
        folder=own.settings.out.name,
        rows=len(own.validation),
        rows_trained=len(own.train),
        evaluated=tuple(each.step for each in finished.history.evaluations),
        best_step=finished.history.best.step,
        steps_planned=own.config.steps(len(own.train)),
        seconds=time.perf_counter() - started,
    )


def prepared_fold(run: PreparedRun, folds: NDArray[np.int64], number: int, directory: FoldDirectory) -> PreparedRun:
    """Makes the run of a fold."""
    own = with_seed(run, run.config.seed, directory.fold(number))
    inside, others = np.flatnonzero(folds == number), np.flatnonzero(folds != number)
    describe = run.describe["train"]
    return replace(
        own,
        # What an interrupted training left there and cannot go on is replaced; the report has one probe, not K.
        settings=replace(
            own.settings, overwrite=True, test=None, skip_probe=True, tensorboard=False, keep_adapter=False
        ),
        train=_rows_of(run.train, others),
        validation=_rows_of(run.train, inside),
        describe={"train": DescribeSome(describe, others), "validation": DescribeSome(describe, inside)},
        also_scored={},
        keeps_model=False,
    )


def steps_for_fold(results: Sequence[FoldResult], number: int) -> int:
    """Returns after how many steps a fold's rows are taken as answered: nearest to the median of the other folds' best.

    By its own best a row would have a part in choosing what it is scored by.

    Args:
        results: of all folds, at least 2.
        number: of the fold.
    """
    wanted = median(result.best_step for result in results if result.fold != number)
    own = next(result for result in results if result.fold == number)
    return min(own.evaluated, key=lambda step: (abs(step - wanted), step))


def _rows_of(data: Dataset, rows: NDArray[np.int64]) -> Dataset:
    targets, soft = data.targets, data.soft
    return Dataset(
        data.encoded.take(rows),
        None if targets is None else targets[rows],
        None if soft is None else soft.take(rows),
    )
