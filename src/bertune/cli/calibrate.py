"""`bertune calibrate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertune.cli.data_options import DataOptions
from bertune.errors import ConfigError, DataError


def calibrate(
    run: Path,
    options: Annotated[DataOptions, Parameter(name="*")] = DataOptions(),  # noqa: B008 (frozen)
    *,
    label: str | None = None,
    threshold: Literal["default", "auto"] = "default",
    threshold_for: str | None = None,
    plot: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Fit temperature and thresholds of a fine-tuned model anew, on rows it was not trained on.

    `bertune train` does so by itself with its validation data. What the model had is replaced; its weights stay.

    Args:
        run: a run or model folder.
        options: labelled rows; of a folder the validation split unless another is named.
        label: column of the label, if not the one of training.
        threshold: default gives the most probable label (each label from 0.5 on), auto chooses from which probability
            on a label is given, and keeps what also helps on rows that were not chosen on.
        threshold_for: the metric to choose thresholds for; the model's first by default.
        plot: an .svg or .png file for the reliability diagram.
        json: print one JSON document.
        quiet: print nothing but the result and errors.
    """
    from bertune.checkpoints.model_directory import load, replace_contract
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.cli.model_data import read_for
    from bertune.cli.progress import RowsProgress
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.evaluation.calibrate import calibrate as fit
    from bertune.evaluation.predictions import predict, targets_for
    from bertune.evaluation.thresholds import require_threshold
    from bertune.folder_lock import only_run_in
    from bertune.reports.run_files import read_scores
    from bertune.training.run_directory import RunDirectory

    tell = keep_quiet if quiet else say
    if options.data is None:
        raise ConfigError("the data are not named", hint="use --data FILE")
    if threshold_for is not None and threshold == "default":
        raise ConfigError("--threshold-for has no effect without --threshold auto", hint="add --threshold auto")
    folder = find_model_folder(run)
    scores = read_scores(run)
    model = load(folder)
    contract = model.contract
    if contract.kind == "regression":
        raise ConfigError(f"{run} answers with values, which have no probabilities to calibrate")
    wanted = None if threshold == "default" else threshold_for or contract.metrics[0]
    if wanted is not None:
        require_threshold(contract.kind, contract.labels, wanted)
    examples, split = read_for(model, options, require_label=True, label=label)
    tell(examples.report.summary())
    if split == "train":
        tell("train: a model is surer on rows it was trained on than on new ones, so what is fitted here misleads")
    targets = targets_for(contract, examples)
    with RowsProgress("evaluating", len(examples), enabled=not quiet) as progress:
        predictions = predict(model, examples, on_batch=progress.advance)
    found = fit(predictions.logits, targets, contract.labels, threshold_for=wanted)
    if found.after is None:
        raise DataError(f"{examples.report.path}: {found.why_none}", hint="the model stays as it was")
    with only_run_in(run):
        replace_contract(folder, found.applied_to(contract))
        if folder != run:
            RunDirectory(run).write_json("calibration.json", found.to_dict())
            if scores is not None:  # they stay those of the validation rows by what the run had found
                RunDirectory(run).write_json("scores.json", scores | {"calibrated_since": True})
    if plot is not None:
        from bertune.pictures.reliability import plot_reliability

        after = None if found.after is None else found.after.reliability
        plot_reliability(found.before.reliability, after, plot, title=f"Reliability on {len(examples):,} rows")
        tell(f"picture: {plot}")
    if json:
        show_json({"data": examples.report.to_dict(), "split": split, "model": str(folder), **found.to_dict()})
    else:
        show([*found.lines(), f"model: {folder}"])
