"""`bertune evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def evaluate(
    run: Path,
    *,
    data: str,
    split: str | None = None,
    text_a: str | None = None,
    text_b: str | None = None,
    label: str | None = None,
    quoting: Literal["auto", "csv", "none"] = "auto",
    on_bad_row: Literal["error", "skip"] = "error",
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a fine-tuned model on labelled texts.

    Args:
        run: a run or model folder.
        data: a table, a folder with splits, or hf://datasets/….
        split: which split of a folder; validation by default.
        text_a: column of the first text, if not the one of training.
        text_b: column of the second text, if not the one of training.
        label: column of the label, if not the one of training.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on.
        json: print one JSON document.
        quiet: print nothing but the result and errors.
    """
    from bertune.checkpoints.model_directory import load
    from bertune.cli.model_data import columns_from, read_for
    from bertune.cli.progress import RowsProgress
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.evaluation.evaluate import evaluate as evaluate_model
    from bertune.training.run_directory import find_model_folder

    tell = keep_quiet if quiet else say
    model = load(find_model_folder(run))
    examples = read_for(
        model.contract,
        data,
        split=split,
        columns=columns_from(model.contract, text_a, text_b, label),
        quoting=quoting,
        on_bad_row=on_bad_row,
        require_label=True,
    )
    tell(examples.report.summary())
    with RowsProgress("evaluating", len(examples), enabled=not quiet) as progress:
        scores, predictions = evaluate_model(model, examples, on_batch=progress.advance)
    tell(f"{predictions.truncated_fraction:.2%} truncated at {model.contract.max_length} tokens")
    if json:
        values = {
            "data": examples.report.to_dict(),
            "truncated_fraction": predictions.truncated_fraction,
            "scores": scores.to_dict(),
        }
        show_json(values)
    else:
        show(scores.lines())
