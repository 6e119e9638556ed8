"""Several tables that are named one by one are read like the files of one pattern, each with its own account."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.examples import Columns
from bertune.data.several_names import name_of, names_in
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.errors import ConfigError

_COLUMNS = Columns("text", label="label")


@given(st.lists(st.text(st.characters(exclude_characters="{},"), min_size=1), min_size=1))
def test_names_come_back_as_they_were(names: list[str]) -> None:
    assert names_in(name_of(names)) == names


@pytest.mark.parametrize("name", ["", "a,b", "{a", "b}"])
def test_a_name_that_would_come_back_as_others_is_refused_beside_others(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be given beside others"):
        name_of(["a", name])
    assert name_of([name]) == name


def test_braces_are_read_as_shells_read_them() -> None:
    assert names_in("data/{2023,2024}.csv") == ["data/2023.csv", "data/2024.csv"]
    for alone in ("data/{2023}.csv", "a{b", "{a,b}{c,d}", "a,b"):
        assert names_in(alone) == [alone]


def _table(file: Path, *texts: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("text,label\n" + "".join(f"{text},yes\n" for text in texts), "utf-8")
    return file


def test_files_are_one_split_in_the_order_of_their_names_each_with_its_account(tmp_path: Path) -> None:
    names = [str(_table(tmp_path / "z.csv", "one", "two")), str(_table(tmp_path / "a.csv", "three"))]
    train = read_split(find_splits(name_of(names))["train"], columns=_COLUMNS)
    assert train.texts_a == ["one", "two", "three"]
    assert train.report.notes == [f"{names[0]}: 2 of 2 rows used", f"{names[1]}: 1 of 1 rows used"]
    assert [train.where(row) for row in range(3)] == [f"{names[0]}:2", f"{names[0]}:3", f"{names[1]}:2"]


def test_folders_and_names_of_splits_keep_their_splits(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for split in ("train", "dev"):
            _table(tmp_path / folder / f"{split}.csv", f"{folder} {split}")
    _table(tmp_path / "test.csv", "test")
    found = find_splits(str(tmp_path) + "/{one,two,test.csv}")
    assert list(found) == ["train", "validation", "test"]
    assert read_split(found["train"], columns=_COLUMNS).texts_a == ["one train", "two train"]
    assert read_split(found["validation"], columns=_COLUMNS).texts_a == ["one dev", "two dev"]


def test_a_file_whose_name_has_braces_is_that_file(tmp_path: Path) -> None:
    file = _table(tmp_path / "{a,b}.csv", "text")
    assert find_splits(file)["train"].paths == (file,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.csv", "a.csv"], r"a\.csv is named twice"),
        (["a.csv", "b.csv"], r"b\.csv does not exist"),
        (["*.csv", "a.csv"], r"a\.csv is named twice"),
        (["a.csv", "MRPC"], "MRPC is no table, and cannot be read together with others"),
    ],
)
def test_what_cannot_be_joined_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    _table(tmp_path / "a.csv", "text")
    mrpc = tmp_path / "MRPC"
    mrpc.mkdir()
    (mrpc / "msr_paraphrase_train.txt").write_text("Quality\n", "utf-8")
    (mrpc / "mrpc_dev_ids.tsv").write_text("1\t2\n", "utf-8")
    task = glue_task("mrpc") if "MRPC" in names else None
    with pytest.raises(ConfigError, match=message):
        find_splits(name_of([str(tmp_path / name) for name in names]), task)
