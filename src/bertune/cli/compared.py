"""A model's answers to labelled rows, to be compared with another's."""

from collections.abc import Callable
from pathlib import Path

from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import load
from bertune.cli.model_data import read_for
from bertune.cli.options import ComputeOptions, DataOptions
from bertune.cli.progress import RowsProgress
from bertune.data.examples import Examples
from bertune.evaluation.answers import kept_of
from bertune.evaluation.encoded_folder import ReencodedExamples
from bertune.evaluation.predictions import predict, targets_for
from bertune.nn.device import choose_device
from bertune.reports.compared_runs import ComparedRun
from bertune.training.saved_run import LabelledRow, Target


def answered_by(
    run: Path,
    options: DataOptions,
    *,
    label: str | None,
    compute: ComputeOptions,
    tell: Callable[[str], None],
    quiet: bool,
) -> ComparedRun:
    """Lets a model answer rows.

    Args:
        run: a run or model folder.
        options: which rows.
        label: their column of the label, if not the one of training.
        compute: where and how the layers compute.
        tell: told what is done.
        quiet: show no progress.

    Raises:
        BertuneError: rows or model that cannot be used.
    """
    model = load(find_model_folder(run))
    model.classifier.to(choose_device(compute.device))
    examples, _ = read_for(model, options, require_label=True, label=label)
    for line in examples.report.lines():
        tell(f"{run}: {line}")
    targets = targets_for(model.signature, examples)
    with RowsProgress(f"evaluating {run.name}", len(examples), enabled=not quiet) as progress:
        predictions = predict(model, examples, precision=compute.precision, on_batch=progress.advance)
    rows = [_row(examples, number, kept_of(target, model.signature)) for number, target in enumerate(targets)]
    return ComparedRun(str(run), model.signature, rows, predictions.logits)


def _row(examples: Examples | ReencodedExamples, number: int, target: Target) -> LabelledRow:
    if isinstance(examples, ReencodedExamples):
        return LabelledRow(where=f"{examples.folder}: example {examples.example_ids[number]}", target=target)
    return LabelledRow(
        where=examples.where(number),
        text_a=examples.texts_a[number],
        text_b=None if examples.texts_b is None else examples.texts_b[number],
        target=target,
    )
