"""The rows that `bertune calibrate` fits on: those of a run's own validation, or others that its model answers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.model_folder import load
from bertune.checkpoints.signature import ModelSignature
from bertune.cli.model_data import read_for
from bertune.cli.options import ComputeOptions, DataOptions, refuse_flags
from bertune.cli.progress import RowsProgress
from bertune.errors import ConfigError
from bertune.evaluation.predictions import predict, targets_for
from bertune.nn.device import choose_device
from bertune.reports.compared_runs import read_compared_run, targets_of
from bertune.system.json_file import JsonObject

_SETTINGS, _VALIDATION = "run.toml", "validation.jsonl"


@dataclass(frozen=True, eq=False)
class AnsweredRows:
    """Rows with what a model answered.

    Args:
        source: where they are from, for messages.
        data: the same for `--json`.
        split: which one of a folder's, where there was a choice.
        logits: (rows, labels).
        targets: class ids, (rows,); for multi-label which labels each row has, (rows, labels).
    """

    source: str
    data: JsonObject
    split: str | None
    logits: NDArray[Any]
    targets: NDArray[Any]


def run_with(folder: Path) -> Path:
    """Returns the run that a model folder belongs to, or the folder itself where it belongs to none."""
    above = folder.absolute().parent
    return above if folder.absolute() == above / "model" and (above / _SETTINGS).is_file() else folder


def refuse_link_out(run: Path, folder: Path) -> None:
    """Refuses a model folder that is a link out of its run: a run may be somebody else's, and the link lead anywhere.

    Raises:
        ConfigError: names where it leads.
    """
    place = Path(os.path.realpath(folder))
    if folder != run and not place.is_relative_to(os.path.realpath(run)):
        raise ConfigError(
            f"{folder} is a link out of the run, to {place}, and nothing outside a run is changed",
            hint=f"if that model is meant: bertune calibrate {place} --data FILE",
        )


def rows_of_run(
    run: Path, signature: ModelSignature, options: DataOptions, *, label: str | None, tell: Callable[[str], None]
) -> AnsweredRows:
    """Reads the validation rows of a run as the model that was kept answered them in training.

    Raises:
        ConfigError: a folder that has none; flags about data that are not read.
        DataError: the file is damaged.
    """
    refuse_flags(
        "without --data the run's own validation rows are taken",
        {"split": options.split is not None, **options.table_flags(), "label": label is not None},
        hint="add --data FILE",
    )
    if not (run / _SETTINGS).is_file():
        raise ConfigError(
            f"{run} is a model without its run, so there are no validation rows in it",
            hint="name labelled rows with --data FILE, or the folder of the run",
        )
    kept = read_compared_run(run)
    if kept.signature.labels != signature.labels:
        raise ConfigError(f"{run}: its validation rows were answered by another model", hint="use --data FILE")
    path = run / _VALIDATION
    tell(f"{len(kept.rows):,} validation rows of {run}, as its model answered them in training")
    data = {"path": str(path), "rows": len(kept.rows)}
    return AnsweredRows(str(path), data, None, kept.logits, targets_of(kept.rows, kept.signature))


def rows_answered_now(
    folder: Path,
    options: DataOptions,
    *,
    label: str | None,
    compute: ComputeOptions,
    tell: Callable[[str], None],
    quiet: bool,
) -> AnsweredRows:
    """Lets the model of a folder answer labelled rows.

    Raises:
        BertuneError: rows or model that cannot be used.
    """
    model = load(folder)
    model.classifier.to(choose_device(compute.device))
    examples, split = read_for(model, options, require_label=True, label=label)
    for line in examples.report.lines():
        tell(line)
    if split == "train":
        tell("train: a model is surer on rows it was trained on than on new ones, so what is fitted here misleads")
    targets = targets_for(model.signature, examples)
    with RowsProgress("evaluating", len(examples), enabled=not quiet) as progress:
        logits = predict(model, examples, precision=compute.precision, on_batch=progress.advance).logits
    return AnsweredRows(str(examples.report.path), examples.report.to_dict(), split, logits, targets)
