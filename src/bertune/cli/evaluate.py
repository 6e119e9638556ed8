"""`bertune evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, refuse_both
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import BertuneError, ConfigError
from bertune.system.json_file import JsonObject

if TYPE_CHECKING:
    from bertune.reports.kept_evaluations import KeptEvaluation

# What a model may have seen of a split, if the folder is the one it was trained on.
_SEEN = {
    "train": "if the model was trained on these rows, their score says nothing about new ones",
    "validation": "if these rows chose the best epoch, their score is biased upward; see --split test",
}


@dataclass(frozen=True, kw_only=True)
class ScoredData(DataOptions):
    """Which labelled rows are scored.

    Args:
        data: labelled rows: a table, a folder with splits, one made by `bertune encode`, or hf://datasets/….
        split: which split of a folder, by default validation, for MNLI both.
    """


def evaluate(
    run: Path,
    options: Annotated[ScoredData, Parameter(name="*")] = ScoredData(),
    *,
    label: str | None = None,
    allow_no_label: bool = False,
    compute: Annotated[ComputeOptions, Parameter(name="*")] = ComputeOptions(),  # noqa: B008 (frozen)
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
    verbose: bool = False,
) -> None:
    """Score a fine-tuned model on labelled texts; of a folder the validation split unless another is named.

    The scores of a run's model are kept in its folder, in `evaluations.json`, and shown in its report.
    MNLI has two validation sets: both are scored unless one is named.

    Args:
        run: a run or model folder.
        options: which data.
        label: column of the label, if not the one of training; for multi-label as for `bertune train`.
        allow_no_label: for multi-label: rows without any label are meant; otherwise an empty list or cell is refused.
        compute: where and how.
        output: what is printed.
        verbose: print how scores were computed and intervals found, and the score of every label.
    """
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import load
    from bertune.cli.model_data import also_scored, read_for
    from bertune.cli.progress import RowsProgress
    from bertune.evaluation.evaluate_model import evaluate as evaluate_model
    from bertune.nn.device import choose_device
    from bertune.reports.kept_evaluations import KeptEvaluation, kept_entry

    if options.data is None:
        raise ConfigError("--data is required", hint="use --data FILE")
    refuse_both(quiet=output.quiet, verbose=verbose)
    tell = keep_quiet if output.quiet else say
    folder = find_model_folder(run)
    model = load(folder)
    # What is to be kept: the folder of a model alone is not one of a run.
    entries: list[KeptEvaluation] = []
    is_run = folder != run and (run / "run.toml").is_file()
    model.classifier.to(choose_device(compute.device))

    def evaluate_split(chosen: DataOptions) -> tuple[JsonObject, list[str]]:
        rows, split = read_for(model, chosen, require_label=True, label=label, allow_no_label=allow_no_label)
        for line in rows.report.lines():
            tell(line)
        if split in _SEEN:
            tell(f"{split}: {_SEEN[split]}")
        with RowsProgress("evaluating", len(rows), enabled=not output.quiet) as progress:
            scores, predictions = evaluate_model(model, rows, precision=compute.precision, on_batch=progress.advance)
        if verbose or predictions.long_texts.over_length:
            tell(f"computed in {predictions.computed_by}; {predictions.long_texts.summary()}")
        values = {
            "data": rows.report.to_dict(),
            "split": split,
            "long_texts": predictions.long_texts.to_dict(),
            "scores": scores.to_dict(),
        }
        if is_run and chosen.data is not None:
            entries.append(kept_entry(run, chosen.data, split, rows, scores, compute.precision))
        return values, scores.lines(verbose=verbose)

    values, lines = evaluate_split(options)
    if second := also_scored(model, options, values["split"]):
        values[second], more = evaluate_split(replace(options, split=second))
        lines += ["", f"{second}:", *more]
    if entries:
        _keep(run, entries, tell)
    if output.json:
        show_json(values)
    else:
        show(lines)


def _keep(run: Path, entries: Sequence["KeptEvaluation"], tell: Callable[[str], None]) -> None:
    """Keeps scores in the run's folder, and shows them in its report; that this fails is no reason to fail."""
    from bertune.reports.kept_evaluations import EVALUATIONS, keep_evaluations
    from bertune.reports.run_report import REPORT, write_report

    problem = keep_evaluations(run, entries)
    if problem is not None:
        tell(f"not kept in {run / EVALUATIONS}: {problem}")
        return
    if (run / REPORT).is_file():
        try:
            write_report(run)
        except (BertuneError, OSError) as error:
            tell(f"the report was not written again: {error}")
