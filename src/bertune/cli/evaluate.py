"""`bertune evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from bertune.cli.data_options import DataOptions
from bertune.encoder.device import DeviceName
from bertune.errors import ConfigError

# What a model may have seen of a split, if the folder is the one it was trained on.
_SEEN = {
    "train": "if the model was trained on these rows, their score says nothing about new ones",
    "validation": "if the best epoch was chosen on these rows, their score is a little too good; see --split test",
}


def evaluate(
    run: Path,
    options: Annotated[DataOptions, Parameter(name="*")] = DataOptions(),  # noqa: B008 (frozen)
    *,
    label: str | None = None,
    allow_no_label: bool = False,
    precision: Literal["auto", "bf16", "fp32"] = "fp32",
    device: DeviceName = "auto",
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Score a fine-tuned model on labelled texts; of a folder the validation split unless another is named.

    MNLI has two validation sets: both are scored unless one is named.

    Args:
        run: a run or model folder.
        options: which data.
        label: column of the label, if not the one of training; for multi-label as for `bertune train`.
        allow_no_label: for multi-label: rows without any label are meant; otherwise an empty list or cell is refused.
        precision: in which the layers compute; bf16 is faster where the processor multiplies it natively.
        device: where to compute; auto takes the GPU where torch finds one.
        json: print one JSON document.
        quiet: print nothing but the result and errors.
    """
    from bertune.checkpoints.model_directory import load
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.cli.model_data import also_scored, read_for
    from bertune.cli.progress import RowsProgress
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.encoder.device import choose_device
    from bertune.evaluation.evaluate import evaluate as evaluate_model

    if options.data is None:
        raise ConfigError("the data are not named", hint="use --data FILE")
    tell = keep_quiet if quiet else say
    model = load(find_model_folder(run))
    model.classifier.to(choose_device(device))

    def evaluate_split(chosen: DataOptions) -> tuple[dict[str, Any], list[str]]:
        examples, split = read_for(model, chosen, require_label=True, label=label, allow_no_label=allow_no_label)
        tell(examples.report.summary())
        if split in _SEEN:
            tell(f"{split}: {_SEEN[split]}")
        with RowsProgress("evaluating", len(examples), enabled=not quiet) as progress:
            scores, predictions = evaluate_model(model, examples, precision=precision, on_batch=progress.advance)
        tell(f"computed in {predictions.computed_by}; {predictions.long_texts.summary()}")
        values = {
            "data": examples.report.to_dict(),
            "split": split,
            "long_texts": predictions.long_texts.to_dict(),
            "scores": scores.to_dict(),
        }
        return values, scores.lines()

    values, lines = evaluate_split(options)
    if second := also_scored(model, options, values["split"]):
        values[second], more = evaluate_split(replace(options, split=second))
        lines += ["", f"{second}:", *more]
    if json:
        show_json(values)
    else:
        show(lines)
