"""`bertune predict`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertune.cli.data_options import DataOptions, refuse_flags
from bertune.encoder.device import DeviceName

ExplainBy = Literal["integrated-gradients", "occlusion"]


def predict(
    run: Path,
    options: Annotated[DataOptions, Parameter(name="*")] = DataOptions(),  # noqa: B008 (frozen)
    *,
    glue_submission: Path | None = None,
    precision: Literal["auto", "bf16", "fp32"] = "fp32",
    explain: bool = False,
    explain_by: ExplainBy | None = None,
    limit: int | None = None,
    device: DeviceName = "auto",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Predict texts with a fine-tuned model: of a file, a folder (its test split unless another is named), or of lines.

    Without --data, each line of standard input is a text, or the two texts of a pair with a tab between them. Prints
    tab-separated columns: label and its probability (for multi-label, those given with semicolons between them; for
    regression the value), then the text or texts, in which
    tabs and line ends are written as spaces. For data made by `bertune encode`, which hold no texts, the position of
    each row in the data set stands first instead.

    Args:
        run: a run or model folder.
        options: which data.
        glue_submission: of a model of a GLUE task: write what is predicted for its test sets into this folder (or file)
            as the leaderboard takes it.
        precision: in which the layers compute; bf16 is faster where the processor multiplies it natively.
        explain: say of each word how much it spoke for the answer or against it, in the place of the columns.
        explain_by: how; integrated-gradients by default, whose numbers add up to the answer.
        limit: explain only so many rows, the first; more than 1,000 are not explained without.
        device: where to compute; auto takes the GPU where torch finds one.
        json: print one JSON object a line, with the probability of every label.
        quiet: print nothing but the result and errors.
    """
    from bertune.checkpoints.model_directory import load
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.cli.explaining import explain_rows
    from bertune.cli.model_data import read_for
    from bertune.cli.progress import RowsProgress
    from bertune.cli.results import prediction_lines
    from bertune.cli.terminal import keep_quiet, say, show, show_data, show_json
    from bertune.encoder.device import choose_device
    from bertune.evaluation.predictions import predict as predict_texts

    tell = keep_quiet if quiet else say
    if not explain:
        refuse_flags(
            "without --explain nothing is explained", {"explain_by": explain_by is not None, "limit": limit is not None}
        )
    elif glue_submission is not None:
        refuse_flags("a submission holds labels alone", {"explain": True})
    model = load(find_model_folder(run))
    model.classifier.to(choose_device(device))
    if glue_submission is not None:
        from bertune.cli.submission import write_submission

        files = write_submission(
            model, options, glue_submission, precision=precision, tell=tell, show_progress=not quiet
        )
        show_json({"files": [str(file) for file in files]}) if json else show(map(str, files))
        return
    examples, _ = read_for(model, options, require_label=False)
    tell(examples.report.summary())
    if explain:
        refuse_flags("explanations are computed in fp32", {"precision": precision != "fp32"})
        explain_rows(model, examples, explain_by or "integrated-gradients", limit, as_json=json, quiet=quiet)
        return
    with RowsProgress("predicting", len(examples), enabled=not quiet) as progress:
        predictions = predict_texts(model, examples, precision=precision, on_batch=progress.advance)
    tell(f"computed in {predictions.computed_by}; {predictions.long_texts.summary()}")
    write = show_data if json else show
    write(prediction_lines(examples, predictions, as_json=json))
