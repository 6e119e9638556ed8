import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits
from bertune.errors import ConfigError, DataError

COLUMNS = Columns("text", None, "label")
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PARTS = "http://schemas.openxmlformats.org/package/2006"


def write_workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    """Writes a workbook of the fewest parts; None is an empty cell."""
    names = list(sheets)
    numbers = range(1, len(names) + 1)
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        for number in numbers
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PARTS}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType='
        f'"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{types}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PARTS}/relationships"><Relationship Id="r1" '
        f'Type="{_KINDS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_KINDS}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>' for number, name in zip(numbers, names))  # noqa: B905
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PARTS}/relationships">'
        + "".join(
            f'<Relationship Id="r{number}" Type="{_KINDS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
            for number in numbers
        )
        + "</Relationships>",
    }
    for number, rows in zip(numbers, sheets.values(), strict=True):
        cells = "".join(
            f'<row r="{line}">'
            + "".join(_cell(f"{'ABCDE'[column]}{line}", value) for column, value in enumerate(row) if value is not None)
            + "</row>"
            for line, row in enumerate(rows, start=1)
        )
        parts[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {_MAIN}><sheetData>{cells}</sheetData></worksheet>"
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return path


def _cell(place: str, value: object) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'


def test_a_workbook_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    path = write_workbook(tmp_path / "train.xlsx", {"Sheet1": [["text", "label"], ["x", 1]]})
    assert list(find_splits(tmp_path)) == ["train"]
    with pytest.raises(ConfigError, match="Excel workbook, which needs a package of its own") as error:
        read_examples(path, COLUMNS)
    assert 'pip install "bertune[excel]"' in str(error.value.hint)


def test_the_first_sheet_with_cells_is_read_as_csv_would_be(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="the extra [excel] is not installed")
    rows = [
        ["id", "text", "label"],
        [1, "d\u00e9j\u00e0 vu, <b>", 1],
        [2, "two\nlines ", 2.5],
        [3, 4711, True],
        [None, None, None],
        [5, None, 0],
        [None, None, None],
    ]
    path = write_workbook(tmp_path / "t.xlsx", {"Notes": [], "Data": rows, "More": [["x"]]})
    examples = read_examples(path, COLUMNS, on_bad_row="skip")
    assert examples.texts_a == ["d\u00e9j\u00e0 vu, <b>", "two\nlines ", "4711", ""]
    assert (examples.labels, examples.lines) == (["1", "2.5", "true", "0"], [2, 3, 4, 6])
    assert [(row.line, row.reason) for row in examples.report.refused] == [(5, "the row is blank")]
    assert examples.report.notes == [f"{path}: of its 3 sheets 'Data' is read, the first that has cells"]
    assert read_examples(path, Columns(1, None, 2), no_header=True, on_bad_row="skip").texts_a[0] == "text"


def test_a_damaged_workbook_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="the extra [excel] is not installed")
    whole = write_workbook(tmp_path / "t.xlsx", {"Sheet1": [["text", "label"], ["x", 1]]}).read_bytes()
    (tmp_path / "u.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read as an Excel workbook"):
        read_examples(tmp_path / "u.xlsx", COLUMNS)
    with pytest.raises(DataError, match="holds no cells"):
        read_examples(write_workbook(tmp_path / "v.xlsx", {"Sheet1": []}), COLUMNS)
