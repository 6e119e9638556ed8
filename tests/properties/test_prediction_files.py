"""Predictions come back as they were written, whatever the texts, names and labels are."""

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from bertune.checkpoints.signature import ModelSignature
from bertune.data.read_options import ReadOptions
from bertune.data.table import Pick
from bertune.data.table_opening import open_table
from bertune.evaluation.prediction_files import delimited_lines, json_lines, write_predictions
from bertune.evaluation.prediction_rows import PredictionColumns, PredictionRow
from bertune.evaluation.predictions import Prediction

# Any text that UTF-8 can write, with what tables are made of more often than by chance.
TEXTS = st.text(
    st.sampled_from("\",;\t\r\n =+-@'|\0\ufeff\u2028") | st.characters(exclude_categories=("Cs",)), max_size=12
)
LABELS = st.lists(TEXTS.filter(str.strip), min_size=2, max_size=4, unique=True)
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


def answered(rows: Sequence[tuple[str, str]], labels: Sequence[str]) -> tuple[PredictionColumns, list[PredictionRow]]:
    columns = PredictionColumns(
        ("row", "line"), ("id", "text"), ModelSignature(tuple(labels), is_pair=False, max_length=8)
    )
    shares = {label: 1 / 3**number for number, label in enumerate(labels, start=1)}
    prediction = Prediction(labels[0], shares[labels[0]], shares)
    return columns, [PredictionRow((number, number + 1), row, prediction) for number, row in enumerate(rows, start=1)]


def expected_cells(columns: PredictionColumns, rows: list[PredictionRow]) -> list[list[str]]:
    return [
        [*map(str, row.place), *row.kept, str(row.prediction.label), *(f"{share:.9g}" for share in shares)]
        for row in rows
        if row.prediction is not None
        for shares in [[row.prediction.probability, *row.prediction.probabilities.values()]]
    ]


@settings(max_examples=50)
@given(ROWS, LABELS)
def test_a_table_is_read_back_by_csv_and_by_bertune(rows: list[tuple[str, str]], labels: list[str]) -> None:
    columns, made = answered(rows, labels)
    expected = [columns.names, *expected_cells(columns, made)]
    with tempfile.TemporaryDirectory() as folder:
        for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
            path = Path(folder) / f"answers.{suffix}"
            text = "".join(delimited_lines(columns, made, delimiter))
            path.write_bytes(text.encode())
            assert list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)) == expected
            table = open_table(path, ReadOptions(quoting="csv"))
            picks = [Pick(place, name, "plain") for place, name in enumerate(columns.names)]
            read = [list(row[1]) for row in table.rows(picks) if isinstance(row, tuple)]
            assert [list(table.names or ()), *read] == expected


@settings(max_examples=50)
@given(ROWS, LABELS)
def test_json_lines_and_parquet_have_every_value_to_the_last_bit(
    rows: list[tuple[str, str]], labels: list[str]
) -> None:
    columns, made = answered(rows, labels)
    lines = list(json_lines(columns, made))
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)
    for line, row in zip(lines, made, strict=True):
        assert row.prediction is not None
        answer = {"predicted_label": labels[0], "probability": row.prediction.probability}
        place = {"row": row.place[0], "line": row.place[1]}
        kept = {"id": row.kept[0], "text": row.kept[1]}
        assert json.loads(line) == place | kept | answer | {"probabilities": row.prediction.probabilities}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.parquet"
        write_predictions(path, "parquet", columns, made)
        table = pyarrow.parquet.read_table(path)
    assert table.column_names == columns.names
    assert [list(row.values()) for row in table.to_pylist()] == [columns.cells(row) for row in made]


@settings(max_examples=50)
@given(ROWS, LABELS)
def test_no_formula_begins_a_cell_and_only_a_sign_is_added(rows: list[tuple[str, str]], labels: list[str]) -> None:
    columns, made = answered(rows, labels)
    text = "".join(delimited_lines(columns, made, ",", formula_safe=True))
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    expected = [columns.names, *expected_cells(columns, made)]
    for cells, before in zip(found, expected, strict=True):
        for cell, plain in zip(cells, before, strict=True):
            assert cell == (f"'{plain}" if plain[:1] and plain[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" else plain)
