"""A table that is dropped on the page, and comes back with predictions: read, predicted in steps, written as CSV.

Nothing of it outlives the call: the upload is a file only until it is read, and the result is part of the answer.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Final

from starlette.requests import ClientDisconnect, Request

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Columns, Examples
from bertune.data.formats.delimited import DelimitedTable
from bertune.data.kept_columns import KeptColumns
from bertune.data.read_options import ReadOptions
from bertune.data.sources import collect
from bertune.data.table import NoColumnError, pick_columns
from bertune.data.table_opening import open_table
from bertune.errors import BertuneError, DataError
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.prediction_files import delimited_lines
from bertune.evaluation.prediction_rows import prediction_columns, prediction_rows
from bertune.evaluation.predictions import Prediction, predictions_by
from bertune.evaluation.predictor import Predictor
from bertune.serving.page_calls import ColumnsAskedError, json_bytes, require_type, sentence_of
from bertune.serving.page_model import PageLimits, PageModel
from bertune.serving.refused_request import DisconnectedError, RefusedError
from bertune.system.json_file import JsonObject
from bertune.wording.nearest import shorten

_SUFFIXES: Final = (".csv", ".tsv", ".txt")
# Few enough for a question to wait only shortly for them.
_ROWS_AT_ONCE: Final = 32
_LINES_AT_ONCE: Final = 500
_COLUMNS_SHOWN: Final = 200
_PASTED: Final = "pasted.csv"


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read and written.

    Args:
        name: of the file, for messages; its suffix tells CSV from tab-separated text.
        text_a: column of the texts; None takes that of training.
        text_b: column of the second texts.
        no_header: whether the first line is a row; columns are numbers from 0 then.
        only_columns: whether nothing is asked for but which columns there are.
        formula_safe: whether cells that a spreadsheet would compute get a ' in front.
    """

    name: str = _PASTED
    text_a: str | None = None
    text_b: str | None = None
    no_header: bool = False
    only_columns: bool = False
    formula_safe: bool = False

    @classmethod
    def of(cls, request: Request) -> "TableOptions":
        """Takes the options of a call.

        Raises:
            RefusedError: a file of another kind.
        """
        given = request.query_params
        # The last part alone, without what could steer where it is shown.
        name = "".join(filter(str.isprintable, PurePosixPath(given.get("name", _PASTED)).name))[-100:] or _PASTED
        if not name.lower().endswith(_SUFFIXES):
            raise RefusedError("invalid", f"{name} is no CSV or tab-separated file ({', '.join(_SUFFIXES)}).")
        return cls(
            name=name,
            text_a=given.get("text_a") or None,
            text_b=given.get("text_b") or None,
            no_header=given.get("no_header") == "1",
            only_columns=given.get("only_columns") == "1",
            formula_safe=given.get("formula_safe") == "1",
        )

    def columns(self, signature: ModelSignature) -> Columns:
        """Returns where the texts are."""
        text_a = signature.text_a if self.text_a is None else self.text_a
        of_training = signature.text_b if signature.is_pair else None
        return Columns(text_a, of_training if self.text_b is None else self.text_b)


@dataclass(frozen=True)
class ReadTable:
    """A table as it was read."""

    rows: TextRows
    kept: KeptColumns


class TableCalls:
    """Tables of all models.

    Args:
        limits: of the page.
    """

    def __init__(self, limits: PageLimits) -> None:
        self._limits = limits
        self._under_way = 0

    async def read(self, request: Request, signature: ModelSignature, options: TableOptions) -> ReadTable:
        """Takes and reads a table; what was taken is gone when it returns, whatever happens.

        Raises:
            RefusedError: too many tables, too large, or the columns are not known; says which there are.
            DataError: it cannot be read.
        """
        require_type(request, "text/csv")
        if self._under_way >= self._limits.tables:
            raise RefusedError("overloaded", "Other tables are being predicted.", retry_after=5)
        self._under_way += 1
        try:
            with tempfile.NamedTemporaryFile(prefix="bertune-", suffix=Path(options.name).suffix.lower()) as file:
                await self._receive(request, file)
                return await asyncio.to_thread(read_table, Path(file.name), signature, options, self._limits)
        finally:
            self._under_way -= 1

    async def _receive(self, request: Request, file: IO[bytes]) -> None:
        most, size = self._limits.table_bytes, 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise RefusedError("body_size", f"The table is too large: this page takes up to {most >> 20:,} MB.")
                file.write(chunk)
        except ClientDisconnect:
            raise DisconnectedError from None
        if not size:
            raise RefusedError("invalid", "The table is empty.")
        file.flush()

    async def predicted(self, model: PageModel, table: ReadTable, options: TableOptions) -> AsyncIterator[bytes]:
        """Yields lines of JSON: how many rows are done, then the table in parts as `csv`, then what it is.

        An error is the last line, with the sentence as `error`.
        """
        self._under_way += 1
        try:
            async for entry in _predicted(model, table, options):
                yield json_bytes(entry) + b"\n"
        except (BertuneError, RefusedError) as error:
            yield json_bytes({"error": sentence_of(error)}) + b"\n"
        except Exception:
            yield json_bytes({"error": "The server could not finish the table. Try it again later."}) + b"\n"
            raise
        finally:
            self._under_way -= 1


async def _predicted(model: PageModel, table: ReadTable, options: TableOptions) -> AsyncIterator[JsonObject]:
    rows, examples = table.rows, table.rows.examples
    yield {"done": 0, "rows": len(rows)}
    predictions: list[Prediction] = []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = examples.select(range(first, min(first + _ROWS_AT_ONCE, len(rows))))
        predictions += await model.call(_answers, some)
        yield {"done": len(predictions), "rows": len(rows)}
    # Always with the column that says why a row was not read, so that a table has the same columns whatever is in it.
    columns = prediction_columns(model.signature, rows, table.kept, has_not_read=True)
    predicted = prediction_rows(columns, rows, predictions, table.kept)
    lines = delimited_lines(columns, predicted, ",", formula_safe=options.formula_safe)
    while part := await asyncio.to_thread(_some_of, lines):
        yield {"csv": part}
    refused = rows.report.refused
    yield {
        "name": f"{Path(options.name).stem}.predicted.csv",
        "rows": rows.report.rows_in,
        "not_read": len(refused),
        "notes": [*rows.report.warnings, *rows.report.notes],
    }


def read_table(path: Path, signature: ModelSignature, options: TableOptions, limits: PageLimits) -> ReadTable:
    """Reads a table and all of its columns; rows that cannot be read are counted.

    Raises:
        RefusedError: it has no such column; the answer has the names of those that there are.
        DataError: it cannot be read, or has too many rows.
    """
    reading = ReadOptions(on_bad_row="skip", no_header=options.no_header or None).completed_by(signature.reading)
    columns, kept = options.columns(signature), KeptColumns(None)
    if options.only_columns:
        raise _columns_asked_for(path, reading, signature, options)
    table = open_table(path, reading, columns=columns, shown=options.name)
    try:
        picks = pick_columns(table, columns, require_label=False)
    except NoColumnError as error:
        raise _columns_asked_for(path, reading, signature, options) from error
    examples = collect(kept.watch(table), picks, reading=reading, require_label=False)
    if len(examples) > limits.table_rows:
        raise DataError(f"{options.name} has {len(examples):,} rows; this page takes up to {limits.table_rows:,}")
    return ReadTable(TextRows(examples), kept)


def _columns_asked_for(
    path: Path, reading: ReadOptions, signature: ModelSignature, options: TableOptions
) -> ColumnsAskedError:
    table = open_table(path, reading, shown=options.name)
    if table.names is not None:
        columns = [{"name": name, "shown": shorten(name)} for name in table.names]
    else:
        assert isinstance(table, DelimitedTable)
        first_row = table.first_row_by(table.dialect.delimiter)
        columns = [{"name": str(at), "shown": f"{at}: {shorten(cell)}"} for at, cell in enumerate(first_row)]
    question = "Which columns hold the two texts?" if signature.is_pair else "Which column holds the text?"
    return ColumnsAskedError(question, columns[:_COLUMNS_SHOWN])


def _answers(predictor: Predictor, examples: Examples) -> list[Prediction]:
    return list(predictions_by(predictor, TextRows(examples)))


def _some_of(lines: Iterator[str]) -> str:
    return "".join(islice(lines, _LINES_AT_ONCE))
