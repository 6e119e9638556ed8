"""Cross-validation: every row answered by a model that did not learn from it, then one model of all rows."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.batches.sampler import steps_in_epoch
from bertune.checkpoints.model_folder import save
from bertune.data.folds import folds_of
from bertune.errors import ConfigError
from bertune.evaluation.calibration import Calibration
from bertune.evaluation.cross_validated import widened
from bertune.evaluation.evaluate_model import score_logits
from bertune.evaluation.saved_scores import FoldScore
from bertune.evaluation.scores import Scores
from bertune.experiments.data_digest import digest_of_data
from bertune.experiments.fold_directory import FoldDirectory
from bertune.experiments.fold_run import run_fold, steps_for_fold
from bertune.experiments.fold_settings import FoldSettings
from bertune.experiments.fold_table import FoldResult, FoldTable
from bertune.experiments.interrupted import ANOTHER
from bertune.fetch.download import Report
from bertune.shards.manifest import find_reencoded
from bertune.training.calibrated import calibrated
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.history import History
from bertune.training.interrupted_run import state_of_interrupted
from bertune.training.named_paths import Settings
from bertune.training.out_of_fold import OutOfFold, features_of
from bertune.training.plan import StepLimit
from bertune.training.prepare import PreparedRun, Say, prepare, with_seed
from bertune.training.resolved_settings import resolved_settings
from bertune.training.run import FinishedRun, ResumePoint, execute
from bertune.training.run_rows import DescribeExamples
from bertune.training.run_settings import RunSettings
from bertune.training.saved_run import RunScores
from bertune.wording.counts import counted

_NOT_OF_THE_RUNS = ("out",)


@dataclass(frozen=True)
class PreparedFolds:
    """Everything that is known before the first step.

    Args:
        run: on all rows; its encoding is shared.
        folds: (rows,) the fold of each row, from 1.
        count: of the folds.
        runs: the settings that all trainings have in common, as `run.toml` has them.
        data: digest of the rows and of how they were divided.
    """

    run: PreparedRun
    folds: NDArray[np.int64]
    count: int
    runs: Settings
    data: str


@dataclass(frozen=True)
class FinishedFolds:
    """What a cross-validation came to.

    Args:
        directory: where everything is.
        scores: over all rows, each answered by a model that did not learn from it.
        folds: the same, fold by fold.
        calibration: how temperature and thresholds were found from the out-of-fold answers; None for values.
        also: scores of the model that is kept on the test rows, where some were named.
        history: of its training on all rows.
        steps: of that training.
    """

    directory: FoldDirectory
    scores: Scores
    folds: tuple[FoldScore, ...]
    calibration: Calibration | None
    also: dict[str, Scores]
    history: History
    steps: int


def prepare_folds(
    settings: RunSettings,
    config: TrainingConfig,
    folds: FoldSettings,
    *,
    say: Say,
    verbose: bool = False,
    on_fetch: Report | None = None,
    frames: Mapping[str, Any] | None = None,
) -> PreparedFolds:
    """Reads, checks, divides and encodes once for all folds; writes nothing.

    Args:
        settings: what to read and where to start from; `out` is the folder of the whole.
        config: how to train.
        folds: how many.
        say: told each fact as a line.
        verbose: tell more of the data and the encoder, as `prepare`.
        on_fetch: told how far the download of a model is.
        frames: tables in memory, as for `prepare`.

    Raises:
        BertuneError: any part that cannot work; nothing has been written.
    """
    count = folds.folds
    assert count is not None, "folds were asked for"
    if not frames and find_reencoded(settings.data) is not None:
        raise ConfigError(
            f"{settings.data} was encoded before, and near-duplicates are found by texts: --folds has none to go by",
            hint="name the table that was encoded with --data",
        )
    directory = FoldDirectory(settings.out)
    earlier = None if settings.overwrite else directory.earlier()
    told = replace(settings, overwrite=settings.overwrite or earlier is not None)
    run = prepare(told, config, say=say, verbose=verbose, on_fetch=on_fetch, frames=frames, in_folds=True)
    run = replace(run, settings=replace(run.settings, overwrite=settings.overwrite))
    described = run.describe["train"]
    assert isinstance(described, DescribeExamples)
    numbers = folds_of(described.examples, run.signature.kind, count, group=settings.group)
    sizes = np.bincount(numbers)[1:]
    together = "" if settings.group is None else f", rows of one {settings.group} together"
    say(f"{count} folds of {_range(sizes.min(), sizes.max())} rows, each answered by a model of the others{together}")
    prepared = PreparedFolds(run, numbers, count, _settings_of_runs(run), digest_of_data(run, numbers))
    if earlier is not None:
        earlier.check_same(prepared.runs, prepared.data, settings.out)
    return prepared


def execute_folds(
    prepared: PreparedFolds, *, say: Say, callback_of: Callable[[str], Callback | None] | None = None
) -> FinishedFolds:
    """Trains the folds that are not done yet, then the model of all rows, and writes the folder.

    A fold that is done is on disk at once: after an interruption the same command goes on with the others.

    Args:
        prepared: what was prepared.
        say: told what is found.
        callback_of: makes what watches a training, from what it is called.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: a fold, or the training on all rows, diverged.
    """
    run = prepared.run
    directory = FoldDirectory(run.settings.out)
    overwrite = run.settings.overwrite
    resumes = not overwrite and directory.earlier() is not None
    watched = callback_of or (lambda _name: None)
    with directory.started(overwrite=overwrite, resumes=resumes):
        earlier = directory.earlier()
        if earlier is not None:
            earlier.check_same(prepared.runs, prepared.data, directory.path)
        results = [] if earlier is None else list(earlier.results)
        if len({result.fold for result in results} - set(range(1, prepared.count + 1))):
            raise ConfigError(f"{directory.path} holds other folds", hint=ANOTHER)
        directory.write_settings(_settings_of(prepared))
        directory.write_table(_table(prepared, results))
        if results:
            done = ", ".join(str(result.fold) for result in results)
            say(f"resuming the cross-validation in {run.settings.out}: folds {done} are done")
        for number in sorted(set(range(1, prepared.count + 1)) - {result.fold for result in results}):
            name = f"fold {number} of {prepared.count}"
            results.append(run_fold(run, prepared.folds, number, directory, watched(name)))
            directory.write_table(_table(prepared, results))
            directory.forget_earlier_run(ended=False)
        return _conclude(prepared, directory, sorted(results, key=lambda each: each.fold), watched, say)


def _conclude(
    prepared: PreparedFolds,
    directory: FoldDirectory,
    results: list[FoldResult],
    watched: Callable[[str], Callback | None],
    say: Say,
) -> FinishedFolds:
    """Scores the out-of-fold answers, trains on all rows, and writes what all came to."""
    run, targets = prepared.run, prepared.run.train.targets
    assert targets is not None
    chosen = {result.fold: steps_for_fold(results, result.fold) for result in results}
    logits = np.empty((len(run.train), run.signature.num_outputs), np.float32)
    for result in results:
        logits[prepared.folds == result.fold] = directory.logits(result, chosen[result.fold])
    signature, scores, calibration = calibrated(run.signature, logits, targets, run.settings)
    scores = widened(scores, prepared.count)
    by_fold = []
    for result in results:
        own = prepared.folds == result.fold
        metrics = score_logits(logits[own], targets[own], signature).values
        place = (result.rows, result.rows_trained, chosen[result.fold], result.best_step)
        by_fold.append(FoldScore(result.fold, *place, metrics, result.seconds))
    limit = StepLimit(
        last=max(round(median(result.best_step for result in results)), 1),
        schedule=round(median(result.steps_planned for result in results)),
    )
    say(f"training on all {len(run.train):,} rows, {counted(limit.last, 'step')}: the median of the folds' best")
    last = _prepared_last(replace(run, signature=signature), limit, directory)
    finished = _train(last, watched("all rows"))
    kept = RunScores(
        epoch=finished.best.epoch,
        step=finished.best.step,
        cross_validation=scores.saved(),
        folds=tuple(by_fold),
        also={name: split.saved() for name, split in finished.also.items()},
    )
    for_card = {"of": "cross-validation (models of fewer rows)", "metrics": scores.values, "rows": scores.rows}
    save(last.classifier, directory.model, tokenizer=run.tokenizer, signature=signature, scores=for_card)
    directory.keep_of_last_training()
    out_of_fold = OutOfFold(run.train, run.describe["train"], prepared.folds, logits, signature, features_of(run))
    out_of_fold.write_rows(directory.path)
    out_of_fold.write_doubtful(directory.path)
    if calibration is not None:
        directory.write_calibration(calibration.saved())
    directory.write_scores(kept)
    directory.write_table(replace(_table(prepared, results), steps=limit.last))
    directory.forget_last_training()
    return FinishedFolds(directory, scores, tuple(by_fold), calibration, finished.also, finished.history, limit.last)


def _prepared_last(run: PreparedRun, limit: StepLimit, directory: FoldDirectory) -> PreparedRun:
    """Makes the run on all rows: so many steps of a schedule that is as long as the folds'."""
    own = with_seed(run, run.config.seed, directory.on_all_rows)
    epochs = math.ceil(limit.last / steps_in_epoch(len(run.train), run.config.batch_size))
    # There is nothing to evaluate, and so nothing to be patient about.
    config = replace(own.config, limit=limit, epochs=epochs, patience=0, evaluate_every=None)
    return replace(own, config=config, settings=replace(own.settings, overwrite=True))


def _train(run: PreparedRun, callback: Callback | None) -> FinishedRun:
    state = state_of_interrupted(run)
    if state is None:
        shutil.rmtree(run.settings.out, ignore_errors=True)
        return execute(run, callback=callback)
    run = replace(run, settings=replace(run.settings, overwrite=False))
    return execute(run, callback=callback, resume_point=ResumePoint(state))


def _table(prepared: PreparedFolds, results: list[FoldResult]) -> FoldTable:
    return FoldTable(tuple(results), prepared.runs, prepared.data)


def _settings_of_runs(run: PreparedRun) -> Settings:
    """What all trainings have in common."""
    values: Settings = {**resolved_settings(run), "metric": run.signature.metrics[0]}
    return {name: value for name, value in values.items() if name not in _NOT_OF_THE_RUNS}


def _settings_of(prepared: PreparedFolds) -> Settings:
    return {
        **resolved_settings(prepared.run),
        "metric": prepared.run.signature.metrics[0],
        "folds": prepared.count,
    }


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
