"""Tables in memory are read by their columns, as files are; one that would be misread is refused."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pyarrow
import pytest

from bertune.data.examples import Columns, Examples
from bertune.data.frames import is_frame, read_frame
from bertune.data.read_options import ReadOptions
from bertune.data.sources import read_examples
from bertune.errors import BertuneError, ConfigError, DataError

Make = Callable[[dict[str, list[Any]]], Any]
LIBRARIES = ["pandas", "polars", "pyarrow", "datasets"]


@pytest.fixture(params=LIBRARIES)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a table of one of the libraries."""
    library = pytest.importorskip(request.param)
    if request.param == "datasets":
        return library.Dataset.from_dict  # type: ignore[no-any-return]
    return library.table if request.param == "pyarrow" else library.DataFrame  # type: ignore[no-any-return]


ROWS = {"id": [7, 8, 9], "first": ["a", "b", " "], "second": ["x", "y", "z"], "label": [0, 1, 1]}


def test_columns_are_found_by_name(make: Make) -> None:
    frame = make(ROWS)
    assert is_frame(frame)
    examples = Examples.from_frame(frame, "first", "second", "label")
    assert (examples.texts_a, examples.texts_b, examples.labels) == (ROWS["first"], ROWS["second"], ["0", "1", "1"])
    assert examples.report.rows_used == 3
    assert examples.report.blank_texts == 1
    assert Examples.from_frame(frame, 2).texts_a == ROWS["second"]
    assert Examples.from_frame(frame, "first", name="reviews").where(1) == "reviews:2"


def test_a_column_that_is_not_there_is_named_with_those_that_are(make: Make) -> None:
    with pytest.raises(ConfigError, match="has no column 'frist'; its columns are 'id', 'first', 'second'") as error:
        Examples.from_frame(make(ROWS), "frist")
    assert error.value.hint == "did you mean 'first'? text_a=…, text_b=… and label=… name the columns"


@pytest.mark.parametrize(("column", "what"), [("text", "text"), ("label", "label")])
def test_a_row_that_lacks_a_text_or_label_is_named(make: Make, column: str, what: str) -> None:
    rows = {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}
    rows[column][1] = None  # type: ignore[call-overload]
    with pytest.raises(DataError, match=f":2: '{column}' is missing.*, expected a {what}") as error:
        Examples.from_frame(make(rows), "text", label="label")
    assert (error.value.hint or "").startswith("rows are counted from 1; leave such rows out")


def test_numbers_are_no_texts_and_no_rows_no_examples(make: Make) -> None:
    with pytest.raises(ConfigError, match="column 'id' holds int64, expected text"):
        Examples.from_frame(make(ROWS), "id")
    with pytest.raises(DataError, match="has no rows"):
        Examples.from_frame(make({"text": []}), "text")


def test_a_column_of_lists_holds_several_labels_a_row(make: Make) -> None:
    examples = Examples.from_frame(make({"text": ["a", "b"], "tags": [["x", "y"], []]}), "text", label="tags")
    assert (examples.labels, examples.label_sets) == (None, [("x", "y"), ()])


def test_what_is_no_table_is_refused_with_what_would_do() -> None:
    for given in ([1, 2], "text", None, {"text": ["a"]}):
        assert not is_frame(given)
        with pytest.raises(ConfigError, match="expected a table with named columns") as error:
            Examples.from_frame(given, "text")
        assert "Examples.from_lists" in (error.value.hint or "")
    assert not is_frame(pyarrow.chunked_array([["a"]]))
    with pytest.raises(ConfigError, match="expected the path of a table, got a Table") as error:
        read_examples(pyarrow.table({"text": ["a"]}), Columns("text"))  # type: ignore[arg-type]
    assert "Examples.from_frame" in (error.value.hint or "")


def test_pandas_columns_of_other_names_and_types_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    assert Examples.from_frame(pandas.DataFrame({1: ["x"], 0: ["a"]}), 0).texts_a == ["a"]
    rows = {"text": ["a", "b"], "odd": [1, "x"], "label": pandas.Categorical(["u", "v"]), "gap": [0, None]}
    frame = pandas.DataFrame(rows, index=[5, 5])
    assert Examples.from_frame(frame, "text", label="label").labels == ["u", "v"]  # `odd` does not fit Arrow
    assert Examples.from_frame(frame[:1], "text", label="gap").labels == ["0"]  # pandas made it a float
    doubled = pandas.concat([frame[["text"]], frame], axis=1)
    assert Examples.from_frame(doubled, "label").texts_a == ["u", "v"]
    with pytest.raises(DataError, match="two columns are called 'text'"):
        Examples.from_frame(doubled, "text")


def test_a_pandas_column_of_texts_and_numbers_is_refused_by_its_row() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match=":3: 'text' holds the number 3, but the text 'a' above it") as error:
        Examples.from_frame(pandas.DataFrame({"text": ["a", "b", 3]}), "text")
    assert "astype(str)" in (error.value.hint or "")


def test_rows_chosen_from_a_dataset_and_its_class_labels_are_kept() -> None:
    datasets = pytest.importorskip("datasets")
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    whole = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=datasets.Features(features))
    chosen = Examples.from_frame(whole.select([1, 0]), "text", label="label")
    assert (chosen.texts_a, chosen.labels) == (["b", "a"], ["yes", "no"])
    with pytest.raises(ConfigError, match="a DatasetDict holds several data sets: 'train'") as error:
        Examples.from_frame(datasets.DatasetDict({"train": whole}), "text")
    assert error.value.hint == "give one of them"


def test_a_polars_plan_is_to_be_computed_first() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(BertuneError, match="a LazyFrame holds no rows yet"):
        Examples.from_frame(polars.LazyFrame({"text": ["a"]}), "text")


def test_no_library_of_tables_is_imported_for_a_list() -> None:
    code = (
        "import sys, bertune.data.frames as f; f.is_frame([1]); "
        f"print([name for name in {LIBRARIES!r} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_text_in_several_columns_is_joined_as_of_a_file() -> None:
    table = pyarrow.table({"title": ["good", "bad"], "body": ["film", ""], "label": ["up", "down"]})
    assert read_frame(table, Columns("title,body", None, "label")).texts_a == ["good film", "bad"]
    with pytest.raises(ConfigError, match="no column 'boody'"):
        read_frame(table, Columns("title,boody", None, "label"))


def test_groups_are_read_and_bad_rows_can_be_skipped() -> None:
    table = pyarrow.table({"text": ["a", None, "c"], "label": ["x", "y", "x"], "author": ["ann", "bob", None]})
    columns = Columns("text", None, "label", group="author")
    read = read_frame(table, columns, reading=ReadOptions(on_bad_row="skip"))
    assert (read.texts_a, read.groups, read.lines) == (["a", "c"], ["ann", None], [1, 3])
    assert [row.line for row in read.report.refused] == [2]


def test_a_label_that_need_not_be_there_is_left_out() -> None:
    table = pyarrow.table({"text": ["a", "b"]})
    assert read_frame(table, Columns("text", None, "label"), require_label=False).labels is None
    with pytest.raises(ConfigError, match="no column 'label'"):
        read_frame(table, Columns("text", None, "label"))
