"""`bertune predict`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def predict(
    run: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    text_a: str | None = None,
    text_b: str | None = None,
    quoting: Literal["auto", "csv", "none"] = "auto",
    on_bad_row: Literal["error", "skip"] = "error",
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Predict texts with a fine-tuned model.

    Prints tab-separated columns: label and its probability (or the value, for regression), then the text or texts, in
    which tabs and line ends are written as spaces.

    Args:
        run: a run or model folder.
        data: a table, a folder with splits, or hf://datasets/…; without it, lines on standard input: a text a line,
            the two texts of a pair separated by a tab.
        split: which split of a folder; test by default.
        text_a: column of the first text, if not the one of training.
        text_b: column of the second text, if not the one of training.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on.
        json: print one JSON object a line, with the probability of every label.
        quiet: print nothing but the result and errors.
    """
    from bertune.checkpoints.model_directory import load
    from bertune.cli.model_data import columns_from, read_for
    from bertune.cli.progress import RowsProgress
    from bertune.cli.results import prediction_lines
    from bertune.cli.terminal import keep_quiet, say, show
    from bertune.evaluation.predictions import predict as predict_texts
    from bertune.training.run_directory import find_model_folder

    tell = keep_quiet if quiet else say
    model = load(find_model_folder(run))
    examples = read_for(
        model.contract,
        data,
        split=split,
        columns=columns_from(model.contract, text_a, text_b, None),
        quoting=quoting,
        on_bad_row=on_bad_row,
        require_label=False,
    )
    tell(examples.report.summary())
    with RowsProgress("predicting", len(examples), enabled=not quiet) as progress:
        predictions = predict_texts(model, examples, on_batch=progress.advance)
    tell(f"{predictions.truncated_fraction:.2%} truncated at {model.contract.max_length} tokens")
    show(prediction_lines(examples, predictions, as_json=json))
