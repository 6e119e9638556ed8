"""Every fault that the audit knows is planted and found where it was planted; a clean data set is found clean."""

from pathlib import Path

import pytest
from tests.unit.audit.audit_world import BESIDES, FAULTS, HEADER, DataSet, Row, line_of

from bertune.audit.audit import Audit
from bertune.audit.findings import Finding
from bertune.audit.header_faults import findings_of_header
from bertune.data.examples import Columns
from bertune.data.table_opening import open_table
from bertune.errors import DataError


def codes(audit: Audit) -> set[str]:
    return {finding.code for finding in audit.findings}


def only(audit: Audit, code: str) -> Finding:
    (found,) = [finding for finding in audit.findings if finding.code == code]
    return found


def test_a_clean_data_set_has_no_finding(tmp_path: Path) -> None:
    audit = DataSet.clean().audit(tmp_path)
    assert audit.findings == []
    assert audit.overlaps == []
    assert not any(line.startswith("warning") for line in audit.lines())


def test_each_of_twenty_faults_planted_together_is_found_at_its_line(tmp_path: Path) -> None:
    data = DataSet.clean()
    for fault in FAULTS.values():
        fault.plant(data, fault.row)
    audit = data.audit(tmp_path)
    for code, fault in FAULTS.items():
        place = f"{tmp_path / fault.split}.csv:{line_of(fault.row)}"
        places = [place for finding in audit.findings if finding.code == code for place in finding.places]
        assert place in places, code
    # What was not planted is not found.
    assert codes(audit) - set(FAULTS) == {"absent_label"}


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_planted_alone_is_found_alone(code: str, tmp_path: Path) -> None:
    data = DataSet.clean()
    fault = FAULTS[code]
    fault.plant(data, fault.row)
    audit = data.audit(tmp_path)
    found = only(audit, code)
    assert found.places[0] == f"{tmp_path / fault.split}.csv:{line_of(fault.row)}"
    assert codes(audit) <= {code} | BESIDES.get(code, set())
    with pytest.raises(DataError, match=rf"(?s)finding.*{code}.*{fault.split}\.csv:{line_of(fault.row)}") as caught:
        audit.refuse_findings()
    assert caught.value.exit_code == 3


def column(data: DataSet, number: int, value: object) -> DataSet:
    for row in [*data.train, *data.validation]:
        row[number] = value(row) if callable(value) else str(value)
    return data


def constant(data: DataSet) -> None:
    column(data, 2, "Is it the same?")


def identifiers(data: DataSet) -> None:
    column(data, 2, lambda row: f"{int(row[0][1:]) * 7919 % 100_000}")


def named(data: DataSet) -> None:
    column(data, 2, lambda row: f"{row[2]} [{row[3]}]")


def alone(data: DataSet) -> None:
    column(data, 2, lambda row: row[3].upper())


def delimited(data: DataSet) -> None:
    column(data, 2, lambda row: f"{row[2].replace(';', '')};{row[3]};{row[0]}")


def one_class(data: DataSet) -> None:
    column(data, 3, "same")


def rare(data: DataSet) -> None:
    column(data, 3, lambda row: "same" if int(row[0][1:]) % 30 == 0 else "other")


def shifted(data: DataSet) -> None:
    for row in data.validation[:60]:
        row[3] = "same"


def absent(data: DataSet) -> None:
    for row in data.validation:
        row[3] = "other"


def without_header(data: DataSet) -> None:
    data.header = []


COLUMN_FAULTS = {
    "constant_text": (constant, set()),
    "ids_as_text": (identifiers, set()),
    "label_in_text": (named, set()),
    "label_as_text": (alone, {"label_in_text"}),
    "wrong_delimiter": (delimited, {"label_in_text"}),
    "one_class": (one_class, set()),
    "imbalance": (rare, set()),
    "label_shift": (shifted, set()),
    "absent_label": (absent, {"label_shift"}),
}


@pytest.mark.parametrize("code", COLUMN_FAULTS)
def test_a_fault_of_a_whole_column_is_found_alone(code: str, tmp_path: Path) -> None:
    plant, besides = COLUMN_FAULTS[code]
    data = DataSet.clean()
    plant(data)
    audit = data.audit(tmp_path)
    assert code in codes(audit)
    assert codes(audit) <= {code} | besides


def test_a_table_without_a_header_is_told_by_the_name_of_its_label_column(tmp_path: Path) -> None:
    data = DataSet.clean()
    data.header = []
    data.validation = []
    found = only(data.audit(tmp_path, columns=Columns(1, 2, 3)), "row_as_header")
    assert f"'{data.train[0][3]}' in the first line" in found.message


def test_targets_that_are_distributed_otherwise_are_found(tmp_path: Path) -> None:
    data = DataSet.clean()
    for number, row in enumerate(data.train):
        row[3] = str(number % 6)
    for number, row in enumerate(data.validation):
        row[3] = str(3 + number % 3)
    audit = data.audit(tmp_path, kind="regression")
    assert "their mean is 4, there 2.49" in only(audit, "label_shift").message
    assert codes(audit) == {"label_shift"}


def test_numbers_written_in_two_ways_are_one_label(tmp_path: Path) -> None:
    data = column(DataSet.clean(), 3, lambda row: "1" if row[3] == "same" else "0")
    for row in data.train[9:30]:
        row[3] += ".0"
    found = only(data.audit(tmp_path), "label_variants")
    assert found.message.endswith("a number is written: '1' 127, '1.0' 7; '0' 252, '0.0' 14")
    assert found.count == 2


def test_texts_of_several_lines_are_not_taken_for_rows(tmp_path: Path) -> None:
    data = DataSet.clean()
    for row in data.train[::7]:
        row[1] = f"{row[1]}\n\n1, then 2, other things\nsame as before, 10,000\nRegards, me"
    assert data.audit(tmp_path).findings == []


def test_a_quote_that_is_never_closed_is_found_where_the_reader_cannot_see_it(tmp_path: Path) -> None:
    rows = [f"{number},Is shop {number} open?,{'yes' if number % 2 else 'no'}\n" for number in range(40)]
    rows[10] = '10,"Is shop 10 open?,no\n'
    rows[14] = '14,Is shop 14 open?",no\n'
    (tmp_path / "train.csv").write_text("id,first,answer\n" + "".join(rows))
    data = DataSet()
    audit = data.audit(tmp_path, columns=Columns("first", None, "answer"), on_bad_row="error")
    found = only(audit, "swallowed_lines")
    assert found.places == (f"{tmp_path / 'train.csv'}:12",)
    assert audit.splits["train"].rows_used == 36


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("semicolons.csv", "text;label\n" + "a good film;1\nbad plot;0\n" * 20 + "odd\n", "wrong_delimiter"),
        ("tabs.csv", "text\tlabel\n" + "a good film\t1\nbad plot\t0\n" * 20 + "odd\n", "wrong_delimiter"),
        ("commas.tsv", "text,label\n" + "a good film,1\nbad plot,0\n" * 20 + "odd\n", "wrong_delimiter"),
        ("headless.csv", "a good film,1\n" + "bad plot,0\nnice,1\n" * 20, "row_as_header"),
        ("sentence.tsv", "it was a very good film for me\tup\n" + "bad plot\tdown\n" * 20, "row_as_header"),
    ],
)
def test_the_first_lines_of_a_table_give_it_away(name: str, content: str, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    found = findings_of_header(open_table(tmp_path / name))
    assert [finding.code for finding in found] == [code]
    assert found[0].places == (f"{tmp_path / name}:1",)


def test_the_first_lines_of_a_clean_table_give_nothing_away(tmp_path: Path) -> None:
    DataSet.clean().write(tmp_path)
    assert findings_of_header(open_table(tmp_path / "train.csv")) == []
    (tmp_path / "lines.txt").write_text("text\n" + "One, two, three.\nNo comma.\n" * 20)
    assert findings_of_header(open_table(tmp_path / "lines.txt")) == []


def test_what_is_read_in_chunks_is_found_across_them(tmp_path: Path) -> None:
    rows: list[Row] = [
        [f"q{n}", f"Is number {n} ready?", f"Is {n} done?", "same" if n % 2 else "other"] for n in range(9000)
    ]
    rows[8000][1:] = rows[1][1:]
    rows[8500] = [*rows[3][:3], "other"]
    audit = DataSet(rows, []).audit(tmp_path)
    path = tmp_path / "train.csv"
    found = {finding.code: finding for finding in audit.findings}
    assert set(found) == {"duplicates", "conflicting_labels"}
    assert (found["duplicates"].places, found["duplicates"].counterparts) == (
        (f"{path}:8002", f"{path}:8502"),
        (f"{path}:3", f"{path}:5"),
    )
    assert found["conflicting_labels"].places == (f"{path}:8502",)


def test_the_header_names_what_was_read(tmp_path: Path) -> None:
    audit = DataSet.clean().audit(tmp_path)
    assert audit.reports["train"].header == tuple(HEADER[1:])


def test_labels_and_texts_that_programs_write_for_nothing_are_told_of(tmp_path: Path) -> None:
    data = DataSet.clean()
    for row, word in zip((3, 7, 8), ("nan", "<NA>", "nan"), strict=True):
        data.train[row][3] = word
    data.train[5][1] = "None"
    audit = data.audit(tmp_path)
    found = only(audit, "missing_label")
    assert found.message.endswith("used as it stands: 'nan' 2, '<NA>' 1")
    assert found.places == tuple(f"{tmp_path / 'train.csv'}:{line}" for line in (5, 9, 10))
    assert only(audit, "missing_text").places == (f"{tmp_path / 'train.csv'}:7",)
    assert audit.splits["train"].rows_used == len(data.train)


def test_labels_that_look_the_same_are_told_of_with_code_points(tmp_path: Path) -> None:
    data = column(DataSet.clean(), 3, lambda row: "r\u00e9ussi" if row[3] == "same" else "autre")
    data.train[2][3] = "re\u0301ussi"
    data.train[4][3] = "au\u200btre"
    found = only(data.audit(tmp_path), "label_variants")
    assert "(U+00E9)" in found.message
    assert "(U+0301)" in found.message
    assert "(U+200B)" in found.message


def test_texts_that_look_the_same_repeat_overlap_and_contradict(tmp_path: Path) -> None:
    rows = [f"{number},d\u00e9j\u00e0 vu {number} times,{'yes' if number % 2 else 'no'}" for number in range(40)]
    other = "1,de\u0301ja\u0300 vu 1 times,no"
    unseen = "2,d\u00e9j\u00e0 v\u00adu 2 times,no"
    (tmp_path / "train.csv").write_text("\n".join(["id,first,answer", *rows, other, unseen]) + "\n")
    (tmp_path / "validation.csv").write_text(
        "id,first,answer\n1,\uff44\u00e9j\u00e0 vu 3 times,no\n2,new,yes\n3,other,no\n"
    )
    audit = DataSet().audit(tmp_path, columns=Columns("first", None, "answer"))
    assert (audit.splits["train"].duplicates, audit.splits["train"].near_duplicates) == (0, 2)
    assert audit.splits["train"].conflicts == 1
    assert [overlap.normalised for overlap in audit.overlaps] == [1]
    conflicts = [finding for finding in audit.findings if finding.code == "conflicting_labels"]
    assert [finding.places[0].rpartition(":")[2] for finding in conflicts] == ["42", "2"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("neg,cold soup\npos,warm room\nneg,late bus\npos,fresh tea\n", "row_as_header"),
        ("label,text\npos,warm room\nneg,late bus\nlabel,text\npos,fresh tea\nneg,stale\n", "header_as_row"),
    ],
)
def test_a_row_as_header_is_not_a_header_as_row(content: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(content)
    audit = DataSet().audit(tmp_path, columns=Columns(1, None, 0))
    found = only(audit, code)
    assert {finding.code for finding in audit.findings} & {"row_as_header", "header_as_row"} == {code}
    assert ("--no-header" in found.message) == (code == "row_as_header")
