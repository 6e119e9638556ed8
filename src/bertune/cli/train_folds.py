"""`bertune train --folds K`: cross-validation, and what it prints."""

from dataclasses import replace
from typing import TYPE_CHECKING

from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.cli.train_output import TrainOutput
from bertune.experiments.fold_settings import FoldSettings
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings
from bertune.wording.aligned import aligned
from bertune.wording.counts import counted
from bertune.wording.metric_text import metric_name, metric_text

if TYPE_CHECKING:
    from bertune.experiments.cross_validation import FinishedFolds


def train_folds(
    settings: RunSettings,
    config: TrainingConfig,
    folds: FoldSettings,
    checkpoints: CheckpointSettings,
    output: TrainOutput,
) -> None:
    """Trains the folds and the model of all rows, and prints what they came to."""
    from bertune.cli.progress import FetchingProgress, SeedsProgress
    from bertune.experiments.cross_validation import execute_folds, prepare_folds
    from bertune.reports.run_report import write_report

    quiet, tell = output.quiet, keep_quiet if output.quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        prepared = prepare_folds(settings, config, folds, say=tell, verbose=output.verbose, on_fetch=fetching.show)
    prepared = replace(prepared, run=replace(prepared.run, checkpoints=checkpoints))
    with SeedsProgress(prepared.count, enabled=not quiet) as progress:
        finished = execute_folds(prepared, say=tell, callback_of=progress.callback_named)
    report = write_report(finished.directory.path)
    if output.json:
        show_json(_values(finished) | {"report": str(report)})
    else:
        show([*_lines(finished, verbose=output.verbose), f"report: {report}"])


def _lines(finished: "FinishedFolds", *, verbose: bool) -> list[str]:
    """Returns what a cross-validation came to, for people."""
    scores, count = finished.scores, len(finished.folds)
    lines = [f"cross-validation, {count} folds (each row answered by a model that did not learn from it):"]
    lines += scores.lines(verbose=verbose)
    names = list(scores.metrics)
    rows = [("fold", "rows", "step", *(metric_name(name, scores.label_names) for name in names))]
    rows += [
        (f"{fold.fold}", f"{fold.rows:,}", f"{fold.step:,}", *(metric_text(name, fold.metrics[name]) for name in names))
        for fold in finished.folds
    ]
    lines += ["", *aligned(rows), ""]
    if finished.calibration is not None:
        lines += [*finished.calibration.lines(), ""]
    for name, also in finished.also.items():
        lines += [f"{name} (nothing was chosen by these rows):", *also.lines(verbose=verbose)]
    lines.append(
        f"model: {finished.directory.model}, trained on all rows, {counted(finished.steps, 'step')}; "
        "the score is that of models of fewer rows"
    )
    return lines


def _values(finished: "FinishedFolds") -> JsonObject:
    """Returns what a cross-validation came to, for programs."""
    return {
        "run": str(finished.directory.path),
        "model": str(finished.directory.model),
        "cross_validation": finished.scores.to_dict(),
        "folds": [to_json(fold) for fold in finished.folds],
        "calibration": None if finished.calibration is None else finished.calibration.to_dict(),
        **{name: scores.to_dict() for name, scores in finished.also.items()},
        "steps": finished.steps,
    }
