"""Predictions as rows and files: what stands where, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertune.checkpoints.signature import ModelSignature
from bertune.cli.prediction_options import PredictionOptions
from bertune.cli.prediction_output import prediction_line, prediction_table
from bertune.data.examples import Columns, Examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.read_options import ReadOptions
from bertune.data.splits import Split, read_split
from bertune.errors import ConfigError, DataError
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.prediction_files import delimited_lines, json_lines, write_predictions
from bertune.evaluation.prediction_rows import (
    PredictionColumns,
    PredictionRow,
    prediction_columns,
    prediction_rows,
    text_names,
)
from bertune.evaluation.predictions import Prediction, Predictions
from bertune.tokenization.long_texts import LongTexts

LABELS = ModelSignature(("no", "yes"), is_pair=False, max_length=8, text_a="body")
MANY = ModelSignature(("a;b", "c", "d"), is_pair=False, max_length=8, kind="multi-label", metrics=("f1_micro",))
VALUES = ModelSignature(
    (), is_pair=False, max_length=8, kind="regression", metrics=("pearson",), target_range=(0.0, 5.0)
)


def predictions(signature: ModelSignature, logits: Sequence[Sequence[float]]) -> Predictions:
    array = np.array(logits, np.float32)
    return Predictions(array, signature, LongTexts("first", 8, len(array), 0, 0))


def rows_of(
    signature: ModelSignature, logits: Sequence[Sequence[float]], **columns: Any
) -> tuple[PredictionColumns, list[PredictionRow]]:
    examples = TextRows(Examples.from_lists(["text"] * len(logits)))
    made = prediction_columns(signature, examples, has_lines=False, **columns)
    return made, list(prediction_rows(made, examples, predictions(signature, logits)))


def table_of(columns: PredictionColumns, rows: list[PredictionRow]) -> list[list[str]]:
    return [line.rstrip("\n").split("\t") for line in delimited_lines(columns, rows, "\t")]


def test_a_skipped_row_stands_in_its_place_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text('ticket,body\nT1,"two\nlines"\nT2,a,b\nT3,last\n')
    kept = KeptColumns(["ticket"])
    split = Split("test", (path,))
    reading = ReadOptions(on_bad_row="skip")
    examples = TextRows(read_split(split, columns=Columns("body"), kept=kept, require_label=False, reading=reading))
    columns = prediction_columns(LABELS, examples, kept, has_not_read=True)
    answers = predictions(LABELS, [[0, 2], [2, 0]])
    found = table_of(columns, list(prediction_rows(columns, examples, answers, kept)))
    assert [row[:4] for row in found] == [
        ["row", "line", "ticket", "predicted_label"],
        ["1", "2", "T1", "yes"],
        ["2", "4", "", ""],
        ["3", "5", "T3", "no"],
    ]
    assert [row[-1] for row in found] == ["not_read", "", "3 cells, expected 2 (ticket, body)", ""]
    texts = prediction_columns(LABELS, examples, has_not_read=True)
    shown = prediction_table(texts, prediction_rows(texts, examples, answers))
    assert [line.split() for line in (shown[0], shown[1])] == [
        ["row", "label", "probability", "body"],
        ["1", "yes", "0.8808", "two", "lines"],
    ]
    assert shown[2].split(maxsplit=3) == ["2", "not", "read", "3 cells, expected 2 (ticket, body)"]
    (nothing,) = [
        json.loads(line)
        for line in json_lines(texts, prediction_rows(texts, examples, answers))
        if "null" in line and '"row": 2' in line
    ]
    assert nothing == {
        "row": 2,
        "line": 4,
        "body": None,
        "predicted_label": None,
        "not_read": "3 cells, expected 2 (ticket, body)",
    }


def test_rows_are_counted_in_each_file_of_a_split(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.parquet").parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"body": [f"{name}1", f"{name}2"]}), tmp_path / f"{name}.parquet")
    paths = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    examples = TextRows(read_split(Split("test", paths), columns=Columns("body"), require_label=False))
    columns = prediction_columns(LABELS, examples)
    rows = list(prediction_rows(columns, examples, predictions(LABELS, [[0, 1]] * 4)))
    assert columns.place == ("file", "row")  # Parquet has no lines
    assert [row.place for row in rows] == [(str(path), row) for path in paths for row in (1, 2)]
    assert [row.kept[0] for row in rows] == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize(
    ("signature", "logits", "names", "cells"),
    [
        (
            LABELS,
            [1.0, 1.0],
            ["predicted_label", "probability", "probability_no", "probability_yes"],
            ["no", *["0.5"] * 3],
        ),
        (VALUES, [7.0], ["predicted_value"], ["5"]),
        (
            MANY,
            [0.0, 0.0, -40.0],
            ["predicted_labels", "probability_a;b", "probability_c", "probability_d"],
            ['"[""a;b"", ""c""]"', "0.5", "0.5", "4.24835426e-18"],
        ),
    ],
)
def test_each_kind_of_task_has_its_answer(
    signature: ModelSignature, logits: list[float], names: list[str], cells: list[str]
) -> None:
    header, row = table_of(*rows_of(signature, [logits]))
    assert header[0] == "row"
    assert header[2:] == names
    assert row[2:] == cells


def test_the_most_probable_labels_are_given_in_place_of_all() -> None:
    signature = ModelSignature(("a", "b", "c"), is_pair=False, max_length=8)
    columns, rows = rows_of(signature, [[0.0, 3.0, 1.0]], top_k=2)
    header, row = table_of(columns, rows)
    assert header[4:] == ["top_1_label", "top_1_probability", "top_2_label", "top_2_probability"]
    assert (row[2], row[4], row[6]) == ("b", "b", "c")
    (record,) = map(json.loads, json_lines(columns, rows))
    assert [place["label"] for place in record["top"]] == ["b", "c"]
    assert "probabilities" not in record
    assert prediction_line(columns, rows[0].prediction or pytest.fail("no answer")) == "b  0.8438   c  0.1142"
    with pytest.raises(ConfigError, match="3 labels, so --top-k is 3 at most, not 4"):
        rows_of(signature, [[0.0, 3.0, 1.0]], top_k=4)
    with pytest.raises(ConfigError, match="answers with values"):
        rows_of(VALUES, [[0.0]], top_k=1)


def test_a_column_of_the_table_keeps_its_name_and_ours_gives_way() -> None:
    kept = ("row", "bertune_row", "predicted_label", "probability")
    columns = PredictionColumns(("row",), kept, LABELS)
    renamed = {
        "row": "bertune_bertune_row",
        "predicted_label": "bertune_predicted_label",
        "probability": "bertune_probability",
    }
    assert columns.renamed == renamed
    assert columns.names == [
        "bertune_bertune_row",
        *kept,
        *list(renamed.values())[1:],
        "probability_no",
        "probability_yes",
    ]
    row = PredictionRow((9,), ("mine", "x", "true", "1"), Prediction("no", 0.75, {"no": 0.75, "yes": 0.25}))
    (record,) = map(json.loads, json_lines(columns, [row]))
    assert (record["row"], record["predicted_label"], record["bertune_predicted_label"]) == ("mine", "true", "no")


def test_texts_have_the_name_of_their_column_or_that_of_training() -> None:
    assert text_names(LABELS, ("Nachricht", "more")) == ("Nachricht",)
    assert text_names(LABELS) == ("body",)
    assert text_names(ModelSignature(("a", "b"), is_pair=True, max_length=8, text_a=3, text_b=4)) == (
        "text_a",
        "text_b",
    )
    assert text_names(ModelSignature(("a", "b"), is_pair=False, max_length=8, text_a="0")) == ("text",)


def typed_rows(
    values: Sequence[Any], signature: ModelSignature = LABELS
) -> tuple[PredictionColumns, list[PredictionRow]]:
    answer = Prediction("no", 0.75, {"no": 0.75, "yes": 0.25})
    rows = [PredictionRow((number,), (value,), answer) for number, value in enumerate(values, start=1)]
    return PredictionColumns(("row",), ("kept",), signature), rows


@pytest.mark.parametrize(
    ("values", "kind", "text", "value"),
    [
        (pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")), None, "2023-11-14 22:13:20.123456789", ...),
        (pa.array([0.1, None], pa.float32()), None, "0.1", 0.1),
        (pa.array([float("nan"), None]), None, "nan", None),
        (pa.array([2**63 - 1, None]), None, "9223372036854775807", 2**63 - 1),
        (pa.array([True, None]), None, "true", True),
        (pa.array([["x", "é"], None]), None, '["x", "é"]', ["x", "é"]),
        (pa.array(["é", None]).dictionary_encode(), pa.string(), "é", "é"),
        ([3, None], pa.int64(), "3", 3),
        ([2**70, None], pa.string(), str(2**70), 2**70),
        ([0.5, None], pa.float64(), "0.5", 0.5),
        ([{"a": [1, "\ud800"]}, None], pa.string(), '{"a": [1, "\\ud800"]}', {"a": [1, "\ud800"]}),
        (["007", 7, None], pa.string(), "007", "007"),
    ],
)
def test_kept_values_stay_what_they_were(values: Any, kind: Any, text: str, value: Any, tmp_path: Path) -> None:
    columns, rows = typed_rows(list(values))
    first, *_, last = table_of(columns, rows)[1:]
    assert (first[1].strip('"').replace('""', '"'), last[1]) == (text, "")
    records = [json.loads(line)["kept"] for line in json_lines(columns, rows)]
    assert records[0] == (text if value is ... else value)
    assert records[-1] is None
    write_predictions(tmp_path / "a.parquet", "parquet", columns, rows)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("kept").type == (values.type if kind is None else kind)
    if kind is None and text != "nan":
        assert table["kept"].combine_chunks().equals(values)


def test_bytes_that_are_no_text_are_for_parquet_alone(tmp_path: Path) -> None:
    values = pa.array([b"\xff\x00"])
    columns, rows = typed_rows(list(values))
    with pytest.raises(DataError, match="column 'kept' holds bytes that are no text"):
        write_predictions(tmp_path / "a.csv", "csv", columns, rows)
    assert list(tmp_path.iterdir()) == []  # whole or not at all
    write_predictions(tmp_path / "a.parquet", "parquet", columns, rows)
    assert pq.read_table(tmp_path / "a.parquet")["kept"].combine_chunks().equals(values)


def test_json_obeys_no_terminal_and_loses_nothing() -> None:
    text = "a\x1b[2J\x9b\u2028\u202e\x7fé"
    (line,) = json_lines(*typed_rows([text]))
    assert json.loads(line)["kept"] == text
    assert not set("\x1b\x9b\u2028\u202e\x7f") & set(line)
    assert "é" in line


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"out": "a.xlsx"}, "a.xlsx: answers are written as .csv, .tsv, .jsonl", "end its name"),
        ({"out": "a.cvs"}, "a.cvs: answers are written as", "did you mean '.csv'?"),
        ({"out": "old.csv"}, "old.csv exists", "--overwrite"),
        ({"out": "data.csv", "overwrite": True}, "data.csv holds the data", "another file"),
        ({"out": "link.csv", "overwrite": True}, "link.csv holds the data", "another file"),
        ({"out": "folder.csv"}, "folder.csv is a folder", "--out FILE.csv"),
        ({"overwrite": True}, "so --overwrite has no effect", None),
        ({"formula_safe": True}, "--formula-safe is for the cells of a .csv or .tsv file", "--out"),
        ({"formula_safe": True, "out": "a.jsonl"}, "a .csv or .tsv file, not ", "--out"),
        ({"top_k": 0}, "--top-k must be at least 1, not 0", None),
        ({"keep": ""}, "--keep '' holds a blank name", "--keep all"),
        ({"keep": "a,,b"}, "--keep 'a,,b' holds a blank name", "--keep all"),
    ],
)
def test_what_could_not_be_written_is_refused_at_once(
    options: dict[str, Any], said: str, hint: str | None, tmp_path: Path
) -> None:
    for name in ("old.csv", "data.csv"):
        (tmp_path / name).write_text("text\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "data.csv")
    (tmp_path / "folder.csv").mkdir()
    if "out" in options:
        options = options | {"out": tmp_path / options["out"]}
    with pytest.raises(ConfigError) as problem:
        PredictionOptions(**options).check(str(tmp_path / "data.csv"))
    assert said in problem.value.message
    assert (hint or "") in (problem.value.hint or "")


def test_columns_to_keep_are_named_as_in_a_table() -> None:
    assert PredictionOptions(keep='id, "a,b",x').kept_names == ["id", "a,b", "x"]
    assert PredictionOptions(keep="all").kept_names is None
