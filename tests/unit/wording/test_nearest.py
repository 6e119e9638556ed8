"""What was most likely meant: near words, and files that lie beside a path that leads nowhere."""

from pathlib import Path

import pytest

from bertune.data.examples import Columns, LabelSet
from bertune.data.missing_path import near_path
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits
from bertune.errors import ConfigError, DataError
from bertune.wording.nearest import nearest


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("sentenc1", ["sentence1", "label"], "sentence1"),
        ("Sentence1", ["sentence1"], "sentence1"),
        ("sentence", ["sentence1"], "sentence1"),
        ("301", ["314", "30"], None),
        ("T-0007", ["T-0017", "T-0001"], None),
        ("T-0007", ["T-0017", "T_0007"], "T_0007"),
    ],
)
def test_what_differs_in_digits_alone_is_another_thing(word: str, known: list[str], found: str | None) -> None:
    assert nearest(word, known) == found


def test_a_label_column_of_ids_is_called_one(tmp_path: Path) -> None:
    file = tmp_path / "validation.csv"
    file.write_text("text,id\n" + "".join(f"text,{number}\n" for number in range(300, 340)))
    examples = read_examples(file, Columns("text", label="id"))
    with pytest.raises(DataError) as raised:
        examples.label_ids(LabelSet(tuple(str(number) for number in range(305))))
    assert "label '305' is not one of the known labels" in raised.value.message
    assert raised.value.hint == "35 of 40 labels here do not occur in training: is the column one of ids?"


def test_a_mistyped_label_still_finds_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,neg\nb,posi\n")
    examples = read_examples(tmp_path / "t.csv", Columns("text", label="label"))
    with pytest.raises(DataError) as raised:
        examples.label_ids(LabelSet(("neg", "pos")))
    assert raised.value.hint == "did you mean 'pos'?"


def test_a_missing_file_names_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "qnli").mkdir()
    (tmp_path / "qnli" / "train.csv").touch()
    (tmp_path / "qnli" / ".hidden-train.csv").touch()
    meant = tmp_path / "qnli" / "train.csv"
    assert near_path(tmp_path / "qnli" / "trian.csv") == f"did you mean {meant}?"
    assert near_path(tmp_path / "qnil" / "train.csv") == f"did you mean {tmp_path / 'qnli'}?"
    assert near_path(tmp_path / "other") is None
    for read in (find_splits, lambda path: read_examples(path, Columns("text"))):
        with pytest.raises(ConfigError, match=r"trian\.csv does not exist") as raised:
            read(tmp_path / "qnli" / "trian.csv")
        assert raised.value.hint == f"did you mean {meant}?"
