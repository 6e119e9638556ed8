from pathlib import Path

import pytest

from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.data.splits import find_splits, read_split
from bertune.errors import ConfigError, DataError

COLUMNS = Columns("text", None, "label")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """The layout of the IMDB reviews."""
    folder = tmp_path / "my reviews"
    texts = {
        "train/pos/0_9.txt": "great\nfilm\n",
        "train/pos/1_7.txt": "good",
        "train/neg/0_1.txt": "bad\r\n",
        "train/unsup/0_0.txt": "who knows",
        "train/unsup/1_0.txt": "nobody",
        "train/urls_pos.txt": "http://films.example/1\n",
        "test/neg/0_2.txt": "caf\u00e9",
        "test/pos/0_8.txt": "",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def test_a_folder_for_each_label_is_read_text_by_text(reviews: Path) -> None:
    found = find_splits(reviews)
    assert list(found) == ["train", "test"]
    train = read_split(found["train"], columns=COLUMNS)
    assert (train.texts_a, train.labels) == (["bad", "great\nfilm", "good"], ["neg", "pos", "pos"])
    assert train.where(1) == f"{reviews / 'train/pos/0_9.txt'}:1"
    assert train.report.notes == [f"{reviews / 'train/unsup'}: 2 texts without a label left out"]
    test = read_split(found["test"], columns=COLUMNS)
    assert (test.texts_a, test.report.blank_texts) == (["caf\u00e9", ""], 1)


def test_one_split_of_such_folders_is_data_too(reviews: Path) -> None:
    (split,) = find_splits(reviews / "test").values()
    assert (split.name, read_split(split, columns=COLUMNS).labels) == ("test", ["neg", "pos"])
    with pytest.raises(ConfigError, match="no column 'review'; its columns are 'text', 'label'") as error:
        read_examples(reviews / "test", Columns("review", None, "label"))
    assert "--text-a text --label label" in str(error.value.hint)


def test_a_text_that_is_not_utf_8_is_named(reviews: Path) -> None:
    (reviews / "test/pos/1_8.txt").write_bytes(b"fine\ncaf\xe9")
    with pytest.raises(DataError, match=r"test/pos/1_8\.txt:2: not UTF-8"):
        read_examples(reviews / "test", COLUMNS)


def test_texts_and_labels_in_two_files_belong_together_line_by_line(tmp_path: Path) -> None:
    texts, labels = tmp_path / "texts.txt", tmp_path / "labels.txt"
    texts.write_text('it broke, "twice"\ngreat\thelp\n\n')
    labels.write_text("neg\r\npos\npos\n")
    examples = read_examples(texts, COLUMNS, label_file=str(labels))
    assert examples.texts_a == ['it broke, "twice"', "great\thelp", ""]
    assert (examples.labels, examples.lines) == (["neg", "pos", "pos"], [1, 2, 3])
    labels.write_text("neg\npos\n")
    with pytest.raises(DataError, match=r"texts\.txt has 3 lines, .*labels\.txt has 2"):
        read_examples(texts, COLUMNS, label_file=str(labels))
    labels.write_text("neg\npos\n" * 3)
    with pytest.raises(DataError, match=r"texts\.txt has 3 lines, .*labels\.txt has 6"):
        read_examples(texts, COLUMNS, label_file=str(labels))
    with pytest.raises(ConfigError, match=r"none\.txt is no file"):
        read_examples(texts, COLUMNS, label_file=str(tmp_path / "none.txt"))
