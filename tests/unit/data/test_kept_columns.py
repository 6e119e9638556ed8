from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertune.data.examples import Columns, Examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.read_options import ReadOptions
from bertune.data.splits import Split, read_split
from bertune.errors import ConfigError, DataError

TEXT = Columns("text")


def read(kept: KeptColumns, *paths: Path, on_bad_row: str = "error") -> Examples:
    split = Split("test", paths)
    return read_split(split, columns=TEXT, kept=kept, require_label=False, reading=ReadOptions(on_bad_row=on_bad_row))  # type: ignore[arg-type]


def test_cells_of_a_delimited_table_are_kept_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes(b'id,text,"a,b"\n007,good,"x\r\n\ty"\n, bad , \n')
    kept = KeptColumns(["a,b", "id", "text"])
    examples = read(kept, path)
    assert kept.names == ("a,b", "id", "text")
    assert [list(kept.cells(str(path), line)) for line in examples.lines] == [
        ["x\r\n\ty", "007", "good"],
        [" ", "", " bad "],
    ]
    everything = KeptColumns(None)
    read(everything, path)
    assert everything.names == ("id", "text", "a,b")


def test_a_refused_row_keeps_its_cells_where_it_has_them(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text('{"id": 1, "text": "good", "more": [1, {"a": null}]}\n{"id": 2.5, "text": null}\nno json\n')
    kept = KeptColumns(["id", "more"])
    examples = read(kept, path, on_bad_row="skip")
    assert [row.line for row in examples.report.refused] == [2, 3]
    assert [list(kept.cells(str(path), line)) for line in (1, 2, 3)] == [
        [1, [1, {"a": None}]],
        [2.5, None],
        [None, None],
    ]


def test_cells_of_parquet_keep_their_types(tmp_path: Path) -> None:
    when = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC"))
    path = tmp_path / "new.parquet"
    pq.write_table(pa.table({"text": ["good"], "when": when, "share": pa.array([0.1], pa.float32())}), path)
    kept = KeptColumns(["when", "share"])
    read(kept, path)
    moment, share = kept.cells(str(path), 1)
    assert (moment.type, moment.value) == (pa.timestamp("ns", "UTC"), 1_700_000_000_123_456_789)
    assert moment.cast(pa.timestamp("s", "UTC"), safe=False).as_py() == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert share.type == pa.float32()


@pytest.mark.parametrize(
    ("header", "wanted", "names"),
    [("text,,", None, ("text", "column_1", "column_2")), ("text,", None, ("text", "")), ("text,7", ["1"], ("7",))],
)
def test_columns_without_a_name_can_be_told_apart(
    header: str, wanted: list[str] | None, names: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(header + "\n" + "a" + "," * header.count(",") + "\n")
    kept = KeptColumns(wanted)
    read(kept, path)
    assert kept.names == names


def test_a_column_that_is_not_there_or_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("text,customer\na,b\n")
    with pytest.raises(ConfigError, match="no column 'custmer'") as problem:
        read(KeptColumns(["custmer"]), path)
    assert "customer" in str(problem.value.hint)
    with pytest.raises(ConfigError, match="'customer' is kept twice"):
        read(KeptColumns(["customer", "1"]), path)


def test_files_of_one_split_must_have_the_same_columns(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("text,id\na,1\n")
    second.write_text("id,text\n2,b\n")
    kept = KeptColumns(["id"])
    read(kept, first, second)
    assert [list(kept.cells(str(path), 2)) for path in (first, second)] == [["1"], ["2"]]
    with pytest.raises(DataError, match=r"b\.csv has other columns than .*a\.csv: id, text and not text, id"):
        read(KeptColumns(None), first, second)
