"""The rows of the small-data benchmarks."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.rows import labels_of, read_rows
from benchmarks.task_tables import (
    HELD_OUT,
    TASKS,
    drawn_rows,
    make_table,
    parsed,
    permutation,
    sst2_rows,
    stsb_rows,
    write_table,
)

from bertune.data.examples import Examples


def test_all_rows_keep_their_order_and_fewer_are_the_beginning_of_the_permutation() -> None:
    assert drawn_rows(3668, None).tolist() == drawn_rows(3668, 3668).tolist() == list(range(3668))
    assert drawn_rows(3668, 300).tolist() == np.random.default_rng(7).permutation(3668)[:300].tolist()
    assert drawn_rows(3668, 300).tolist() == drawn_rows(3668, 1000)[:300].tolist()


def test_more_rows_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="4000 training rows are wanted, and there are 3668"):
        drawn_rows(3668, 4000)
    with pytest.raises(ValueError, match="there are 500"):
        sst2_rows(1000, 501)


def test_sst2_trains_on_the_first_of_the_permutation_and_validates_on_its_last() -> None:
    train, validation = sst2_rows(67_349, 10_000)
    order = permutation(67_349)
    assert train.tolist() == order[:10_000].tolist()
    assert validation.tolist() == order[-HELD_OUT:].tolist()
    assert not set(train.tolist()) & set(validation.tolist())
    assert sst2_rows(67_349, 300)[1].tolist() == validation.tolist()


def test_stsb_validates_on_the_first_of_the_permutation_and_trains_on_all_others() -> None:
    train, validation = stsb_rows(5749)
    assert validation.tolist() == permutation(5749)[:500].tolist()
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(5749))


def test_the_tasks_of_the_table_are_names_that_are_understood() -> None:
    assert [parsed(name) for name in TASKS][:3] == [("mrpc", None), ("mrpc", 1000), ("sst2", 300)]


@pytest.mark.parametrize("name", ["cola", "stsb:100", "demo:5", "mrpc:0", "mrpc:many", "sst2"])
def test_other_names_of_tasks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="for instance"):
        parsed(name)


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    texts = ['He said "no", twice', "a, b"], ["x\ty", "trailing "]
    examples = Examples.from_lists(*texts, ["yes", "no"])
    write_table(tmp_path / "train.csv", examples)
    assert labels_of(tmp_path / "train.csv", "label") == ["no", "yes"]
    rows = read_rows(tmp_path / "train.csv", ["text_a", "text_b"], "label", ["no", "yes"])
    assert rows.texts == [*texts]
    assert rows.targets == [1, 0]


def test_glues_tables_are_written_once_from_its_files(tmp_path: Path) -> None:
    data = tmp_path / "glue" / "SST-2"
    data.mkdir(parents=True)
    lines = [f"text number {row} \t{row % 2}\n" for row in range(600)]
    (data / "train.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    (data / "dev.tsv").write_text("sentence\tlabel\nan unseen text \t1\n")
    table = make_table("sst2:40", tmp_path / "glue", tmp_path / "cache")
    train = read_rows(table.file("train"), table.text_columns, table.target_column, table.labels())
    expected = permutation(600)[:40].tolist()
    assert [int(text.split()[2]) for text in train.first] == expected
    assert table.labels() == ["negative", "positive"]
    assert train.targets == [row % 2 for row in expected]
    sizes = [len(read_rows(table.file(split), ["text_a"], "label", table.labels())) for split in ("validation", "test")]
    assert sizes == [500, 1]
    (data / "train.tsv").unlink()
    assert make_table("sst2:40", tmp_path / "glue", tmp_path / "cache") == table


def test_the_demos_table_is_that_of_the_examples() -> None:
    table = make_table("demo", Path(), Path())
    assert table.labels() == ["different", "duplicate"]
    assert table.flags() == ["--text-a", "question1", "--text-b", "question2", "--label", "label"]
