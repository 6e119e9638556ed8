"""Decisions on labels: what they change, and what they are no longer about."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.examples import Columns, Examples, LabelSet
from bertune.data.relabel_file import Relabel, digest_of, label_text, read_relabels, relabels_text
from bertune.data.relabelled_examples import relabelled
from bertune.data.task import Task
from bertune.errors import DataError

TEXTS = ["good film", "a bad plot", "nice music", "very sad"]
WORDS = ["up", "down", "down", "down"]
TASK = Task.for_columns(Columns("text", None, "label"), kind="classification").with_labels(LabelSet(("down", "up")))


def rows(texts: list[str] = TEXTS, words: list[str] = WORDS, name: str = "data/train.csv") -> Examples:
    return replace(Examples.from_lists(texts, labels=words, name=name), lines=list(range(2, len(texts) + 2)))


def decided(line: int, decision: str, new_label: str = "", /, **other: object) -> Relabel:
    made = Relabel("data/train.csv", line, digest_of(TEXTS[line - 2], None), WORDS[line - 2], decision, new_label)
    return replace(made, **other)


def applied(tmp_path: Path, *relabels: Relabel, train: Examples | None = None, **others: Examples) -> Examples:
    path = tmp_path / "relabel.csv"
    path.write_text(relabels_text(relabels), encoding="utf-8")
    return relabelled(train or rows(), others, TASK, str(path))


def test_labels_are_changed_and_rows_left_out_and_all_of_it_is_told(tmp_path: Path) -> None:
    made = applied(tmp_path, decided(4, "change", "up"), decided(5, "skip"), decided(2, "accept"))
    assert made.texts_a == TEXTS[:3]
    assert made.labels == ["up", "down", "up"]
    assert made.lines == [2, 3, 4]
    (note,) = made.report.notes
    path = tmp_path / "relabel.csv"
    assert note == f"{path}: 1 label changed, 1 row left out, 1 label accepted as they are"
    (left_out,) = made.report.refused
    assert str(left_out) == f"data/train.csv:5: left out by the decision in {path}:3"
    assert made.report.rows_used == 3
    assert rows().labels == WORDS, "the rows that were given stay as they are"


def test_one_table_is_applied_after_another(tmp_path: Path) -> None:
    first = applied(tmp_path, decided(4, "change", "up"))
    second = applied(tmp_path, decided(4, "change", "down", label="up"), train=first)
    assert second.labels == WORDS
    assert len(second.report.notes) == 2


def test_a_folder_may_have_another_name_where_the_texts_are_the_same(tmp_path: Path) -> None:
    made = applied(tmp_path, decided(4, "change", "up"), train=rows(name="/elsewhere/train.csv"))
    assert made.labels == ["up", "down", "up", "down"]


@pytest.mark.parametrize(
    ("relabel", "said"),
    [
        (decided(4, "change", "left"), "the new label 'left' does not occur"),
        (decided(4, "change", "up", label="up"), "has the label 'down', not 'up'"),
        (decided(4, "accept", texts=digest_of("other", None)), "has other texts than when it was decided on"),
        (decided(4, "accept", line=9), r"there is no row data/train.csv:9 in the data"),
        (decided(4, "accept", file="data/other.csv"), r"there is no row data/other.csv:4 in the data"),
        (decided(4, "accept", file="data/validation.csv", line=2), "a row of the validation data, whose labels stay"),
    ],
)
def test_a_decision_that_fits_no_row_is_an_error_that_names_it(tmp_path: Path, relabel: Relabel, said: str) -> None:
    validation = rows([TEXTS[2]], ["down"], "data/validation.csv")
    with pytest.raises(DataError, match=rf"relabel\.csv:3: .*{said}") as caught:
        applied(tmp_path, decided(2, "accept"), relabel, validation=validation)
    assert caught.value.hint


def test_what_leaves_no_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training row is left"):
        applied(tmp_path, *(decided(line, "skip") for line in range(2, 6)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r":1: the columns are"),
        ("file,line\n", r":1: the columns are 'file,line'"),
        ("HEADa,2,x,up,accept\n", r":2: 5 cells, expected 6"),
        ("HEADa,two,x,up,accept,\n", r":2: the line is 'two'"),
        ("HEADa,2,x,up,perhaps,\n", r":2: the decision is 'perhaps'"),
        ("HEADa,2,x,up,change,\n", r":2: change with no new label"),
        ("HEADa,2,x,up,skip,down\n", r":2: skip with the new label 'down'"),
        ("HEADa,2,x,up,skip,\nb,2,x,up,skip,\na,2,x,up,accept,\n", r":4: a:2 is decided on in line 2, too"),
        ('HEAD"a,2,x,up,accept,\n', r"not CSV"),
    ],
)
def test_a_table_that_is_none_is_an_error_that_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "relabel.csv"
    path.write_text(text.replace("HEAD", "file,line,texts,label,decision,new_label\n"))
    with pytest.raises(DataError, match=said):
        read_relabels(path)


def test_a_table_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_relabels(tmp_path / "no.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        read_relabels(tmp_path / "bytes.csv")


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
DECISIONS = st.builds(
    Relabel, WORD, st.integers(1, 10**9), st.just("sha256:0"), WORD, st.just("change"), WORD
) | st.builds(Relabel, WORD, st.integers(1, 10**9), st.just("sha256:0"), WORD, st.sampled_from(("accept", "skip")))


@given(st.lists(DECISIONS, unique_by=lambda each: (each.file, each.line)))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, relabels: list[Relabel]) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(relabels_text(relabels), encoding="utf-8", newline="")
    assert list(read_relabels(path).values()) == relabels


def test_values_are_compared_as_a_run_keeps_them(tmp_path: Path) -> None:
    task = Task.for_columns(Columns("text", None, "label"), kind="regression", target_range=(0.0, 5.0))
    train = rows(words=["0.1", "2", "3.50", "4"])
    path = tmp_path / "relabel.csv"
    kept = [decided(2, "change", "0.25", label=label_text(0.10000000149011612)), decided(4, "accept", label="3.5")]
    path.write_text(relabels_text(kept))
    assert relabelled(train, {}, task, str(path)).labels == ["0.25", "2", "3.50", "4"]
    for wrong in ("much", "nan", "5.5", "1e60"):
        path.write_text(relabels_text([decided(2, "change", wrong, label="0.1")]))
        with pytest.raises(DataError, match=r"relabel\.csv:2: the new target"):
            relabelled(train, {}, task, str(path))


def test_several_labels_are_a_list(tmp_path: Path) -> None:
    columns = Columns.of_kind("multi-label", "text", None, "topics", separator=";", allow_none=False)
    task = Task.for_columns(columns, kind="multi-label").with_labels(LabelSet(("a", "b")))
    train = replace(rows(), labels=None, label_sets=[("b", "a"), ("a",), ("b",), ("b",)])
    path = tmp_path / "relabel.csv"
    path.write_text(relabels_text([decided(2, "change", '["b"]', label='["a", "b"]')]))
    assert relabelled(train, {}, task, str(path)).label_sets == [("b",), ("a",), ("b",), ("b",)]
    for new_label, said in (("b", "not a JSON list"), ('["c"]', "does not occur"), ("[]", "no label is left")):
        path.write_text(relabels_text([decided(2, "change", new_label, label='["a", "b"]')]))
        with pytest.raises(DataError, match=said):
            relabelled(train, {}, task, str(path))
