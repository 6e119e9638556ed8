"""`bertune calibrate`, on the rows of a run's own validation, or on others that its model predicts."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, refuse_flags
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import ConfigError, DataError
from bertune.system.json_file import JsonObject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bertune.checkpoints.signature import ModelSignature

_SETTINGS, _VALIDATION = "run.toml", "validation.jsonl"


@dataclass(frozen=True, kw_only=True)
class CalibrationData(DataOptions):
    """Which labelled rows are fitted to.

    Args:
        data: labelled rows to fit to, as for `bertune evaluate`; by default the run's own validation rows.
        split: which split of a folder, by default validation.
    """


@dataclass(frozen=True, kw_only=True)
class ThresholdOptions:
    """Whether thresholds are chosen.

    Args:
        threshold: default gives the most probable label (each label from 0.5 on), auto chooses from which probability
            on a label is given, and keeps what also helps on rows that were not chosen on.
        threshold_for: the metric to choose thresholds for; the model's first by default.

    Raises:
        ConfigError: a metric without a choice.
    """

    threshold: Literal["default", "auto"] = "default"
    threshold_for: str | None = None

    def __post_init__(self) -> None:
        if self.threshold_for is not None and self.threshold == "default":
            raise ConfigError("--threshold-for has no effect without --threshold auto", hint="add --threshold auto")


def calibrate(
    run: Path,
    options: Annotated[CalibrationData, Parameter(name="*")] = CalibrationData(),
    *,
    label: str | None = None,
    thresholds: Annotated[ThresholdOptions, Parameter(name="*")] = ThresholdOptions(),
    plot: Path | None = None,
    compute: Annotated[ComputeOptions, Parameter(name="*")] = ComputeOptions(),  # noqa: B008 (frozen)
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Refit temperature and thresholds of a fine-tuned model, on rows it was not trained on.

    `bertune train` does so by itself with its validation data. What the model had is replaced; its weights stay.
    Without --data the run's own validation rows are taken, as its model answered them in training.

    Args:
        run: a run folder; with --data a model folder, too.
        options: labelled rows, if not the run's own; of a folder the validation split unless another is named.
        label: column of the label, if not the one of training.
        thresholds: whether thresholds are chosen, too.
        plot: an .svg or .png file for the reliability diagram.
        compute: where and how the model answers.
        output: what is printed.
    """
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import replace_signature
    from bertune.checkpoints.read_signature import read_signature
    from bertune.evaluation.calibration import calibrate as fit
    from bertune.evaluation.thresholds import require_threshold
    from bertune.system.folder_lock import only_run_in
    from bertune.training.run_directory import RunDirectory

    tell = keep_quiet if output.quiet else say
    if options.data is None:
        refuse_flags("without --data the model is not asked again", compute.flags())
    folder = find_model_folder(run)
    run = _run_with(folder) if run == folder else run
    _refuse_link_out(run, folder)
    # Before anything is read: another run could put other weights there while this model answers.
    with only_run_in(run):
        signature = read_signature(folder)
        if not signature.kind.has_labels:
            raise ConfigError(f"{run} answers with values, which have no probabilities to calibrate")
        if signature.folded_temperature != 1:
            raise ConfigError(
                f"{run} is an export, into whose head a temperature is folded",
                hint="calibrate its run, and export that again",
            )
        wanted = None if thresholds.threshold == "default" else thresholds.threshold_for or signature.metrics[0]
        if wanted is not None:
            require_threshold(signature.kind, signature.labels, wanted)
        if options.data is None:
            rows = _rows_of_run(run, signature, options, label=label, tell=tell)
        else:
            rows = _rows_predicted_now(folder, options, label=label, compute=compute, tell=tell, quiet=output.quiet)
        found = fit(rows.logits, rows.targets, signature.labels, threshold_for=wanted)
        if found.after is None:
            raise DataError(f"{rows.source}: {found.why_none}", hint="the model stays as it was")
        calibrated = found.applied_to(signature)
        replace_signature(folder, calibrated)
        if folder != run:
            # The run's scores stay: those of its validation rows by what it had found, which their digests tell.
            RunDirectory(run).write_calibration(found.saved())
    if plot is not None:
        from bertune.plots.reliability_plot import plot_reliability

        title = f"Reliability on {found.rows:,} rows"
        plot_reliability(found.before.reliability, found.after.reliability, plot, title=title)
        tell(f"picture: {plot}")
    if output.json:
        show_json({"data": rows.data, "split": rows.split, "model": str(folder), **found.to_dict()})
    else:
        show([*found.lines(), f"model: {folder}"])


@dataclass(frozen=True, eq=False)
class _FittedRows:
    """Rows to fit to, with the logits of the model.

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
    logits: "NDArray[Any]"
    targets: "NDArray[Any]"


def _run_with(folder: Path) -> Path:
    """Returns the run that a model folder belongs to, or the folder itself where it belongs to none."""
    above = folder.absolute().parent
    return above if folder.absolute() == above / "model" and (above / _SETTINGS).is_file() else folder


def _refuse_link_out(run: Path, folder: Path) -> None:
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


def _rows_of_run(
    run: Path, signature: "ModelSignature", options: DataOptions, *, label: str | None, tell: Callable[[str], None]
) -> _FittedRows:
    """Reads the validation rows of a run as the model that was kept answered them in training.

    Raises:
        ConfigError: a folder that has none; flags about data that are not read.
        DataError: the file is damaged.
    """
    from bertune.reports.compared_runs import read_compared_run, targets_of

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
    return _FittedRows(str(path), data, None, kept.logits, targets_of(kept.rows, kept.signature))


def _rows_predicted_now(
    folder: Path,
    options: DataOptions,
    *,
    label: str | None,
    compute: ComputeOptions,
    tell: Callable[[str], None],
    quiet: bool,
) -> _FittedRows:
    """Lets the model of a folder predict labelled rows.

    Raises:
        BertuneError: rows or model that cannot be used.
    """
    from bertune.checkpoints.model_folder import load
    from bertune.cli.model_data import read_for
    from bertune.cli.progress import RowsProgress
    from bertune.evaluation.predict_texts import predict
    from bertune.nn.device import choose_device

    model = load(folder)
    model.classifier.to(choose_device(compute.device))
    rows, split = read_for(model, options, require_label=True, label=label)
    for line in rows.report.lines():
        tell(line)
    if split == "train":
        tell("train: a model is surer on rows it was trained on than on new ones, so what is fitted here misleads")
    targets = rows.targets_for(model.signature)
    with RowsProgress("evaluating", len(rows), enabled=not quiet) as progress:
        logits = predict(model, rows, precision=compute.precision, on_batch=progress.advance).logits
    return _FittedRows(str(rows.report.path), rows.report.to_dict(), split, logits, targets)
