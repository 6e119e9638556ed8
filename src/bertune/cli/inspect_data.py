"""What `bertune inspect` finds out about data; nothing here waits for torch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertune.audit.audit import Audit, audit_sources
from bertune.audit.header_faults import findings_of_header
from bertune.checkpoints.model_files import tokenizer_folder
from bertune.cli.progress import FetchingProgress, RowsProgress
from bertune.data.examples import Columns, Examples, LabelSet, Task
from bertune.data.read_options import ReadOptions
from bertune.data.row_source import RowSource
from bertune.data.sources import check_refused
from bertune.data.splits import find_splits, glue_task
from bertune.data.table_opening import open_table
from bertune.data.task_kind import TaskKind
from bertune.errors import DataError
from bertune.fetch.resolve import resolve_model
from bertune.system.json_file import JsonObject
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.token_scan import TokenScan
from bertune.wording.counts import counted
from bertune.wording.excerpt import excerpt

if TYPE_CHECKING:
    from bertune.models.classifier import Classifier
    from bertune.models.encoder import Encoder

_LONGEST_NAME = 200
_REFUSED_SHOWN = 100


@dataclass(frozen=True)
class Inspection:
    """What was found, for people and for programs.

    Args:
        lines: for people.
        values: for programs.
        model: what can be drawn.
        audit: of data.
        problem: what training on these data would end with, after all was shown.
    """

    lines: list[str]
    values: JsonObject
    model: "Encoder | Classifier | None" = None
    audit: Audit | None = None
    problem: DataError | None = None


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How `bertune inspect` audits data.

    Args:
        task: a GLUE task; None for columns of one's own.
        columns: of the table; None with a task.
        kind: what is learned from own columns.
        reading: how the data are read.
        model: whose tokenizer counts tokens; None counts characters alone.
        max_length: from which on tokens are cut off.
        quiet: shows no progress.
    """

    task: str | None = None
    columns: Columns | None = None
    kind: TaskKind = TaskKind.CLASSIFICATION
    reading: ReadOptions = ReadOptions()  # noqa: RUF009 (frozen)
    model: str | None = None
    max_length: int = 128
    quiet: bool = False


def inspect_data(data: str, options: AuditOptions) -> Inspection:
    """Audits all splits, row by row; without task and columns shows what columns there are.

    Every row that cannot be used is listed: `problem` of the result says whether there are too many.
    """
    task: Task | None = glue_task(options.task) if options.task else None
    if options.columns is not None:
        several = options.columns.several
        labels = LabelSet(tuple(map(str, several.columns))) if several is not None and several.columns else None
        task = Task.for_columns(options.columns, kind=options.kind, labels=labels)
    found = find_splits(data, task)
    if task is None:
        return _show_columns(found[next(iter(found))].paths, options.reading)
    # All bad rows are shown, also where they would stop training.
    reading = replace(options.reading, on_bad_row="skip", max_bad_rows=1.0)
    sources = {name: RowSource(split, task, options.columns, reading) for name, split in found.items()}
    scans = _token_scans(list(sources), options)
    with RowsProgress("reading", None, enabled=not options.quiet) as progress:

        def see(name: str, examples: Examples) -> None:
            if name in scans:
                scans[name].add(examples)
            progress.advance(len(examples))

        audit = audit_sources(sources, on_chunk=see)
    for name, scan in scans.items():
        audit.add_tokens(name, scan.figures())
    lines = [*audit.lines(), *_refused_lines(audit)]
    return Inspection(lines, audit.to_dict(), audit=audit, problem=_refused_problem(audit, options.reading))


def _refused_lines(audit: Audit) -> list[str]:
    refused = [row for report in audit.reports.values() for row in report.refused]
    lines = [f"{counted(len(refused), 'row')} cannot be used:"] if refused else []
    lines += [f"  {row}" for row in refused[:_REFUSED_SHOWN]]
    if len(refused) > _REFUSED_SHOWN:
        lines.append(f"  … {len(refused) - _REFUSED_SHOWN:,} more, all of them with --json")
    return lines


def _refused_problem(audit: Audit, reading: ReadOptions) -> DataError | None:
    """Gives the error that reading the same rows to train on them ends with, if there is one."""
    refused = sum(len(report.refused) for report in audit.reports.values())
    if refused and reading.on_bad_row == "error":
        hint = "fix them, or skip and count them: --on-bad-row skip"
        return DataError(f"{counted(refused, 'row')} cannot be used", hint=hint)
    for report in audit.reports.values():
        try:
            check_refused(report.path, reading, report.refused, report.rows_in)
        except DataError as problem:
            return problem
    return None


def _token_scans(names: list[str], options: AuditOptions) -> dict[str, TokenScan]:
    if options.model is None:
        return {}
    with FetchingProgress(enabled=not options.quiet) as progress:
        folder = resolve_model(options.model, on_progress=progress.show)
    tokenizer = read_tokenizer(tokenizer_folder(folder))
    return {name: TokenScan(tokenizer, options.max_length) for name in names}


def _show_columns(paths: tuple[Path, ...], reading: ReadOptions) -> Inspection:
    if not paths:
        raise DataError("the columns of data on the hub are shown with a task or --text-a only")
    table = open_table(paths[0], reading)
    names = list(table.names) if table.names is not None else [str(number) for number in range(table.width)]
    lines = [
        f"{paths[0]}: {counted(len(names), 'column')}",
        *(f"  {number}  {excerpt(name, _LONGEST_NAME)}" for number, name in enumerate(names)),
    ]
    lines += table.notes
    lines.append("audit it with --text-a NAME [--text-b NAME] --label NAME, or --task for a GLUE task")
    audit = Audit({}, findings_of_header(table))
    values = {"path": str(paths[0]), "columns": names, "notes": table.notes, "findings": audit.to_dict()["findings"]}
    return Inspection([*lines, *audit.lines()], values, audit=audit)
