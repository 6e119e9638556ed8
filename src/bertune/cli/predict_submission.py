"""`bertune predict --glue-submission`: the test sets of a GLUE task as files for the leaderboard."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bertune.cli.model_data import read_texts_for
from bertune.cli.options import DataOptions
from bertune.cli.progress import RowsProgress
from bertune.data.splits import find_splits, glue_task
from bertune.errors import ConfigError, DataError
from bertune.evaluation.glue_submission import other_row_count, submission_lines, submission_name
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.predictions import predictions_by
from bertune.evaluation.predictor import Predictor
from bertune.system.atomic import write_text

_TESTS = ("test", "test_mismatched")


def write_submission(
    model: Predictor,
    options: DataOptions,
    target: Path,
    *,
    tell: Callable[[str], None],
    show_progress: bool,
) -> list[Path]:
    """Predicts the test sets of the model's GLUE task and writes a file for each.

    Args:
        model: trained on a GLUE task by name.
        options: where the task's files are; `split` names one of two test sets.
        target: a folder, in which the files get the names that the leaderboard knows, or one file ending in .tsv.
        tell: told what was read.
        show_progress: whether bars are drawn.

    Returns:
        The files.

    Raises:
        ConfigError: no GLUE model, no test set, or one file for two test sets.
        DataError: a row cannot be used: without it the leaderboard refuses the whole file.
    """
    if not model.signature.task:
        raise ConfigError("--glue-submission is for models of a GLUE task", hint="train one with --task")
    if options.data is None:
        raise ConfigError("--glue-submission needs the files of the task", hint="use --data FOLDER")
    task = glue_task(model.signature.task)
    found = find_splits(options.data, task)
    splits = [name for name in _TESTS if name in found and options.split in (None, name)]
    if not splits and options.split is not None:
        raise ConfigError(f"the leaderboard takes test sets, not --split {options.split}", hint="leave --split out")
    if not splits:
        raise ConfigError(
            f"{options.data}: no test set to predict, only {', '.join(found)}", hint="the leaderboard takes test sets"
        )
    is_file = target.suffix == ".tsv"
    if is_file and len(splits) > 1:
        raise ConfigError(
            f"{target} is one file, and there are {len(splits)} test sets: {', '.join(splits)}",
            hint="name a folder, or one test set with --split",
        )
    files = []
    for split in splits:
        examples = read_texts_for(model, replace(options, split=split if len(found) > 1 else None))
        for line in examples.report.lines():
            tell(line)
        if examples.report.refused:
            raise DataError(
                f"{examples.report.refused[0]}; without this row the leaderboard refuses the whole submission",
                hint="fix the row",
            )
        with RowsProgress("predicting", len(examples), enabled=show_progress) as progress:
            predictions = predictions_by(model, TextRows(examples), on_batch=progress.advance)
        name = submission_name(task, split)
        if warning := other_row_count(name, len(examples)):
            tell(f"warning: {warning}")
        files.append(target if is_file else target / name)
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        write_text(files[-1], "".join(f"{line}\n" for line in submission_lines(task, predictions)))
    return files
