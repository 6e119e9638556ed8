"""`bertune compare`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, refuse_flags
from bertune.cli.terminal import keep_quiet, say, show, show_json

if TYPE_CHECKING:
    from bertune.evaluation.labelled_rows import LabelledRows
    from bertune.reports.compared_runs import ComparedRun
    from bertune.training.saved_run import LabelledRow, Target


@dataclass(frozen=True, kw_only=True)
class ComparedData(DataOptions):
    """Which labelled rows all models answer.

    Args:
        data: labelled rows that all answer, as for `bertune evaluate`; by default the validation rows of the runs.
        split: which split of a folder, by default validation.
    """


def compare(
    *runs: Path,
    options: Annotated[ComparedData, Parameter(name="*")] = ComparedData(),
    label: str | None = None,
    rows: int = 5,
    html: Path | None = None,
    compute: Annotated[ComputeOptions, Parameter(name="*")] = ComputeOptions(),  # noqa: B008 (frozen)
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Compare two runs or more on the same rows: is one better, or was it luck, and which rows flipped?

    Without --data the answers are compared that the runs kept of their validation rows, which must be the same rows;
    of cross-validated runs those to all training rows, by models that did not learn from them.
    A difference is called shown when the paired bootstrap of the first metric and McNemar's exact test both say so.

    Args:
        runs: run folders; of a study of seeds its best model; with --data model folders too.
        options: labelled rows for all models to answer.
        label: column of the label, if not the one of training.
        rows: how many flipped rows of each direction are shown; --json and --html have more.
        html: writes a page that opens anywhere.
        compute: where and how the models answer.
        output: what is printed.
    """
    from bertune.errors import ConfigError
    from bertune.reports.compared_runs import compare_runs, read_compared_run
    from bertune.reports.comparison_page import comparison_page
    from bertune.reports.comparison_text import comparison_lines, comparison_values
    from bertune.system.atomic import write_text

    tell = keep_quiet if output.quiet else say
    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs or more", hint="bertune compare RUN RUN")
    if rows < 0:
        raise ConfigError(f"--rows must be 0 or more, not {rows}")
    if options.data is None:
        flags = options.table_flags() | {"split": options.split is not None, "label": label is not None}
        refuse_flags("without --data no data are read", flags | compute.flags())
        compared = [read_compared_run(run) for run in runs]
        tell(_rows_of(compared))
    else:
        compared = [
            predicted_by(run, options, label=label, compute=compute, tell=tell, quiet=output.quiet) for run in runs
        ]
    comparison = compare_runs(compared)
    if html is not None:
        write_text(html, comparison_page(comparison, compared))
        tell(f"page: {html}")
    if output.json:
        show_json(comparison_values(comparison, compared))
    else:
        show(comparison_lines(comparison, compared, most_rows=rows))


def _rows_of(runs: "Sequence[ComparedRun]") -> str:
    """Says which rows are compared, and what the runs had to do with them."""
    if all(run.is_out_of_fold for run in runs):
        return (
            "compared on the training rows, each answered by models that did not learn from it; the intervals do not "
            "know that these share training rows"
        )
    return "compared on the validation rows, on which each run chose its best epoch"


def predicted_by(
    run: Path,
    options: DataOptions,
    *,
    label: str | None,
    compute: ComputeOptions,
    tell: Callable[[str], None],
    quiet: bool,
) -> "ComparedRun":
    """Lets a model predict rows, to be compared with another's predictions.

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
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import load
    from bertune.cli.model_data import read_for
    from bertune.cli.progress import RowsProgress
    from bertune.evaluation.answers import kept_of
    from bertune.evaluation.predict_texts import predict
    from bertune.nn.device import choose_device
    from bertune.reports.compared_runs import ComparedRun

    model = load(find_model_folder(run))
    model.classifier.to(choose_device(compute.device))
    rows, _ = read_for(model, options, require_label=True, label=label)
    for line in rows.report.lines():
        tell(f"{run}: {line}")
    targets = rows.targets_for(model.signature)
    with RowsProgress(f"evaluating {run.name}", len(rows), enabled=not quiet) as progress:
        predictions = predict(model, rows, precision=compute.precision, on_batch=progress.advance)
    labelled = [_row(rows, number, kept_of(target, model.signature)) for number, target in enumerate(targets)]
    return ComparedRun(str(run), model.signature, labelled, predictions.logits)


def _row(rows: "LabelledRows", number: int, target: "Target") -> "LabelledRow":
    from bertune.training.saved_run import LabelledRow

    texts, where = rows.texts, rows.where(number)
    if texts is None:
        return LabelledRow(where=where, target=target)
    return LabelledRow(
        where=where,
        text_a=texts.texts_a[number],
        text_b=None if texts.texts_b is None else texts.texts_b[number],
        target=target,
    )
