"""`bertune predict`: texts of a table, of the command line, or of standard input, answered."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.cli.answer_files import write_answers
from bertune.cli.answer_options import AnswerOptions
from bertune.cli.answer_output import AnswerOutput, answer_line
from bertune.cli.answer_rows import AnswerColumns, answer_columns, answer_rows, text_names
from bertune.cli.model_data import read_for
from bertune.cli.options import DataOptions, refuse_flags
from bertune.cli.progress import RowsProgress
from bertune.cli.terminal import printable, show, show_json
from bertune.data.examples import Examples
from bertune.data.formats.arriving_lines import arriving_examples, typed_examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.read_report import ReadReport
from bertune.errors import ConfigError
from bertune.evaluation.encoded_folder import ReencodedExamples
from bertune.evaluation.predictions import predict
from bertune.nn.precision import Precision
from bertune.wording.nearest import shorten


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How answers are computed and told.

    Args:
        precision: in which the layers compute.
        as_json: JSON on standard output.
        quiet: no progress.
        tell: told what is going on.
    """

    precision: Precision
    as_json: bool
    quiet: bool
    tell: Callable[[str], None]


def examples_for(
    model: LoadedModel, options: DataOptions, texts: tuple[str, ...], kept: KeptColumns | None
) -> Examples | ReencodedExamples:
    """Reads what is to be answered: texts of the command line, or what the options name.

    Raises:
        ConfigError: both; texts that do not fit the model or are files; or as `read_for`.
        DataError: as `read_for`.
    """
    if not texts:
        return read_for(model, options, require_label=False, kept=kept)[0]
    flags = options.table_flags() | {"data": options.data is not None, "split": options.split is not None}
    refuse_flags("the texts are named", flags, hint="leave out the texts or the flag")
    for text in texts:
        if len(text) < 4096 and "\0" not in text and Path(text).is_file():
            raise ConfigError(f"{text} is a file, not a text", hint=f"to predict its rows: --data {text}")
    if not model.signature.is_pair:
        return Examples.from_lists(texts, name="command line")
    if len(texts) != 2:
        raise ConfigError(
            f"this model takes pairs, got {len(texts)} text{'s' if len(texts) > 1 else ''}",
            hint='name two texts: bertune predict RUN "first text" "second text"',
        )
    return Examples.from_lists(texts[:1], texts[1:], name="command line")


def tell_reading(
    examples: Examples | ReencodedExamples, options: DataOptions, signature: ModelSignature, tell: Callable[[str], None]
) -> None:
    """Tells how many rows were read, and what looks wrong about them."""
    report = examples.report
    tell(report.summary())
    for warning in report.warnings:
        tell(f"warning: {warning}")
    column = signature.text_a if options.text_a is None else options.text_a
    if isinstance(examples, Examples) and report.header and str(column).isdecimal() and str(column) != report.header[0]:
        first = ", ".join(f"'{shorten(name)}'" for name in report.header)
        tell(f"warning: {report.path}: the first row was taken as the names of columns and is not answered: {first}")


def answer_examples(
    model: LoadedModel,
    examples: Examples | ReencodedExamples,
    kept: KeptColumns | None,
    options: DataOptions,
    answers: AnswerOptions,
    how: Answering,
) -> None:
    """Answers what was read, and writes or shows all answers."""
    columns = answer_columns(
        model.signature,
        examples,
        kept,
        top_k=answers.top_k,
        has_not_read=options.on_bad_row == "skip",
        has_lines=options.data is not None,
    )
    _tell_renamed(columns, how.tell)
    with RowsProgress("predicting", len(examples), enabled=not how.quiet) as progress:
        predictions = predict(model, examples, precision=how.precision, on_batch=progress.advance)
    how.tell(f"computed in {predictions.computed_by}; {predictions.long_texts.summary()}")
    rows = answer_rows(columns, examples, predictions, kept)
    if answers.out is None:
        AnswerOutput(columns, as_json=how.as_json).show(rows)
        return
    assert answers.format is not None
    write_answers(answers.out, answers.format, columns, rows, formula_safe=answers.formula_safe)
    if how.as_json:
        show_json({"file": str(answers.out), "rows": examples.report.rows_in, "answers": len(predictions)})
    else:
        show([str(answers.out)])


def answer_lines(model: LoadedModel, answers: AnswerOptions, how: Answering) -> None:
    """Answers lines of standard input as they come, and flushes the answers; on a terminal it asks for texts.

    Raises:
        DataError: a line that cannot be used; those before are answered.
    """
    stream = sys.stdin.buffer
    names = text_names(model.signature)
    columns = AnswerColumns(("row",), names, model.signature, answers.top_k)
    output = AnswerOutput(columns, as_json=how.as_json)
    is_typed = sys.stdin.isatty()
    if is_typed:
        how.tell("type a text and Enter; Ctrl-D ends")
        batches = typed_examples(stream, _ask, names)
    else:
        batches = arriving_examples(stream, pair=model.signature.is_pair is True)
    rows = blank = 0
    long_texts = None
    computed_by = ""
    for examples in batches:
        predictions = predict(model, examples, precision=how.precision)
        if is_typed and sys.stdout.isatty() and not how.as_json:
            (prediction,) = predictions
            show([answer_line(columns, prediction)])
            sys.stdout.flush()
        else:
            output.show(answer_rows(columns, examples, predictions, rows_before=rows))
        rows += len(examples)
        blank += examples.report.blank_texts
        computed_by = predictions.computed_by
        long_texts = predictions.long_texts if long_texts is None else long_texts + predictions.long_texts
    if is_typed:
        sys.stderr.write("\n")
    elif long_texts is not None:
        how.tell(ReadReport("standard input", rows, rows, [], blank).summary())
        how.tell(f"computed in {computed_by}; {long_texts.summary()}")


def _ask(name: str) -> None:
    sys.stderr.write(f"{printable(name)}> ")
    sys.stderr.flush()


def _tell_renamed(columns: AnswerColumns, tell: Callable[[str], None]) -> None:
    for name, ours in columns.renamed.items():
        tell(f"the table has a column {name!r}, so that of the answers is called {ours!r}")
