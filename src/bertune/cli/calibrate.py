"""`bertune calibrate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, refuse_flags
from bertune.errors import ConfigError, DataError


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
    from bertune.checkpoints.model_folder import read_signature, replace_signature
    from bertune.cli.calibrating import refuse_link_out, rows_answered_now, rows_of_run, run_with
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.evaluation.calibration import calibrate as fit
    from bertune.evaluation.thresholds import require_threshold
    from bertune.system.folder_lock import only_run_in
    from bertune.training.run_directory import RunDirectory

    tell = keep_quiet if output.quiet else say
    if options.data is None:
        refuse_flags("without --data the model is not asked again", compute.flags())
    folder = find_model_folder(run)
    run = run_with(folder) if run == folder else run
    refuse_link_out(run, folder)
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
            rows = rows_of_run(run, signature, options, label=label, tell=tell)
        else:
            rows = rows_answered_now(folder, options, label=label, compute=compute, tell=tell, quiet=output.quiet)
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
