from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from bertune.data.examples import Columns, Task
from bertune.data.splits import TASKS, find_splits, glue_task, read_split
from bertune.errors import ConfigError, DataError

Write = Callable[[str, str | bytes], Path]

MRPC_HEADER = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
MRPC_ROWS = '1\t10\t20\tone " open\tuno\n0\t11\t21\ttwo\tdos\n1\t12\t22\tthree\ttres\n'

# The words of nyu-mll/glue, in the order of their ids.
LABEL_WORDS = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "wnli": ("not_entailment", "entailment"),
}

# The first lines of the original files: header, a row, and what it holds.
ORIGINAL_TRAIN = {
    "cola": ("CoLA", "gj04\t1\t\tA text.\n", ("A text.", None, "acceptable")),
    "sst2": ("SST-2", "sentence\tlabel\nA text. \t0\n", ("A text. ", None, "negative")),
    "stsb": (
        "STS-B",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\ty\t1\tn\tn\tA.\tB.\t3.800\n",
        ("A.", "B.", "3.800"),
    ),
    "qqp": (
        "QQP",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\tA?\tB?\t1\n",
        ("A?", "B?", "duplicate"),
    ),
    "mnli": (
        "MNLI",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t1\t1n\tg\tp\tp\tp\tp\tA.\tB.\tneutral\tneutral\n",
        ("A.", "B.", "neutral"),
    ),
    "qnli": ("QNLI", "index\tquestion\tsentence\tlabel\n0\tA?\tB.\tnot_entailment\n", ("A?", "B.", "not_entailment")),
    "rte": ("RTE", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n", ("A.", "B.", "entailment")),
    "wnli": ("WNLI", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n", ("A.", "B.", "entailment")),
}

HUB_TEXT_COLUMNS = {
    "cola": ["sentence"],
    "sst2": ["sentence"],
    "mrpc": ["sentence1", "sentence2"],
    "stsb": ["sentence1", "sentence2"],
    "qqp": ["question1", "question2"],
    "mnli": ["premise", "hypothesis"],
    "qnli": ["question", "sentence"],
    "rte": ["sentence1", "sentence2"],
    "wnli": ["sentence1", "sentence2"],
}


def hub_table(task: str, labels: list[float] | list[int]) -> pa.Table:
    columns = {name: [f"{name} {row}" for row in range(len(labels))] for name in HUB_TEXT_COLUMNS[task]}
    return pa.table({**columns, "label": labels, "idx": list(range(len(labels)))})


def test_label_words_stand_in_the_order_of_their_ids() -> None:
    assert {name: task.labels.names for name, task in TASKS.items() if task.labels} == LABEL_WORDS
    assert TASKS["stsb"].kind == "regression"


def test_the_first_metric_of_each_task_is_the_one_glue_reports() -> None:
    first = {name: task.metrics[0] for name, task in TASKS.items()}
    assert first == dict.fromkeys(TASKS, "accuracy") | {"cola": "matthews", "stsb": "pearson"}
    assert TASKS["mrpc"].metrics == TASKS["qqp"].metrics == ("accuracy", "f1")


@pytest.mark.parametrize(("name", "task"), [("SST-2", "sst2"), ("sts-b", "stsb"), ("MRPC", "mrpc"), ("sst_2", "sst2")])
def test_tasks_are_found_by_their_usual_names(name: str, task: str) -> None:
    assert glue_task(name) is TASKS[task]


def test_an_unknown_task_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no task is called 'mprc'") as error:
        glue_task("mprc")
    assert error.value.hint == "did you mean 'mrpc'?"


@pytest.mark.parametrize("task", ORIGINAL_TRAIN)
def test_the_original_training_file_of_each_task_is_read(write: Write, tmp_path: Path, task: str) -> None:
    folder, content, expected = ORIGINAL_TRAIN[task]
    write(f"glue/{folder}/train.tsv", content)
    (example,) = read_split(find_splits(tmp_path, glue_task(task))["train"])
    assert (example.text_a, example.text_b, example.label) == expected


@pytest.mark.parametrize("task", TASKS)
def test_the_hub_files_of_each_task_are_read(tmp_path: Path, task: str) -> None:
    folder = tmp_path / task
    folder.mkdir()
    pa.parquet.write_table(hub_table(task, [1, 0]), folder / "train-00000-of-00001.parquet")
    pa.parquet.write_table(hub_table(task, [-1, -1]), folder / "test-00000-of-00001.parquet")
    splits = find_splits(tmp_path, glue_task(task))
    train = read_split(splits["train"])
    words = LABEL_WORDS.get(task, ("0", "1"))
    assert train.labels == [words[1], words[0]]
    columns = HUB_TEXT_COLUMNS[task]
    assert train.texts_a == [f"{columns[0]} 0", f"{columns[0]} 1"]
    assert train.texts_b == (None if len(columns) == 1 else [f"{columns[1]} 0", f"{columns[1]} 1"])
    assert read_split(splits["test"]).labels is None


def test_test_files_without_labels_give_none(write: Write, tmp_path: Path) -> None:
    write("CoLA/test.tsv", "index\tsentence\n0\tA text.\n")
    write("QQP/test.tsv", "id\tquestion1\tquestion2\n0\tA?\tB?\n")
    cola = read_split(find_splits(tmp_path, glue_task("cola"))["test"])
    assert (cola.texts_a, cola.labels) == (["A text."], None)
    qqp = read_split(find_splits(tmp_path, glue_task("qqp"))["test"])
    assert (qqp.texts_a, qqp.texts_b, qqp.labels) == (["A?"], ["B?"], None)


def test_mnli_has_two_validation_and_two_test_splits(write: Write, tmp_path: Path) -> None:
    for stem in ("test_mismatched", "dev_mismatched", "test_matched", "dev_matched", "train"):
        write(f"MNLI/{stem}.tsv", ORIGINAL_TRAIN["mnli"][1].replace("A.", stem))
    splits = find_splits(tmp_path, glue_task("mnli"))
    first = {name: read_split(split).texts_a[0] for name, split in splits.items()}
    assert list(first.items()) == [
        ("train", "train"),
        ("validation", "dev_matched"),
        ("test", "test_matched"),
        ("validation_mismatched", "dev_mismatched"),
        ("test_mismatched", "test_mismatched"),
    ]


def test_mrpc_rows_are_divided_by_the_dev_ids_and_none_is_lost(write: Write, tmp_path: Path) -> None:
    write("MRPC/msr_paraphrase_train.txt", MRPC_HEADER + MRPC_ROWS)
    write("MRPC/mrpc_dev_ids.tsv", "11\t21\n")
    splits = find_splits(tmp_path, glue_task("mrpc"))
    train, validation = read_split(splits["train"]), read_split(splits["validation"])
    assert (train.texts_a, train.lines, train.labels) == (['one " open', "three"], [2, 4], ["equivalent"] * 2)
    assert (validation.texts_b, validation.lines, validation.labels) == (["dos"], [3], ["not_equivalent"])
    for report, used in ((train.report, 2), (validation.report, 1)):
        assert (report.rows_in, report.rows_used, report.rows_other_split) == (3, used, 3 - used)


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        ("11\t21\n11\t99\n", MRPC_ROWS, r"mrpc_dev_ids\.tsv:2: the ids 11 and 99 belong to 0 rows"),
        (
            "10\t20\n11\t21\n",
            MRPC_ROWS + "1\t11\t21\tagain\tx\n",
            r"mrpc_dev_ids\.tsv:2: the ids 11 and 21 belong to 2",
        ),
        ("11\t21\n11\t21\n", MRPC_ROWS, r"mrpc_dev_ids\.tsv:2: the ids 11 and 21 are listed twice"),
        ("11 21\n", MRPC_ROWS, r"mrpc_dev_ids\.tsv:1: expected two ids"),
        ("", MRPC_ROWS, r"mrpc_dev_ids\.tsv is empty"),
    ],
)
def test_dev_ids_that_do_not_fit_are_an_error(write: Write, tmp_path: Path, ids: str, rows: str, message: str) -> None:
    write("msr_paraphrase_train.txt", MRPC_HEADER + rows)
    write("mrpc_dev_ids.tsv", ids)
    for split in ("train", "validation"):
        with pytest.raises(DataError, match=message):
            read_split(find_splits(tmp_path, glue_task("mrpc"))[split])


def test_mrpc_without_its_dev_ids_is_an_error_unless_the_divided_files_are_there(write: Write, tmp_path: Path) -> None:
    write("msr_paraphrase_train.txt", MRPC_HEADER + MRPC_ROWS)
    with pytest.raises(DataError, match=r"needs mrpc_dev_ids\.tsv beside it"):
        find_splits(tmp_path, glue_task("mrpc"))
    write("train.tsv", MRPC_HEADER + MRPC_ROWS)
    assert len(read_split(find_splits(tmp_path, glue_task("mrpc"))["train"])) == 3


def test_a_label_that_is_none_of_the_tasks_is_named_with_its_line(write: Write, tmp_path: Path) -> None:
    write("SST-2/train.tsv", "sentence\tlabel\nx\t1\ny\t2\n")
    with pytest.raises(DataError, match=r"train\.tsv:3: label '2' is not one of '0', '1', 'negative', 'positive'"):
        read_split(find_splits(tmp_path, glue_task("sst2"))["train"])


def test_a_target_outside_the_range_of_the_task_is_named_with_its_line(write: Write, tmp_path: Path) -> None:
    write("train.tsv", "sentence1\tsentence2\tscore\na\tb\t5.0\na\tb\t5.1\n")
    with pytest.raises(DataError, match=r"train\.tsv:3: the target is 5\.1, .* between 0 and 5"):
        read_split(find_splits(tmp_path, glue_task("stsb"))["train"])


@pytest.mark.parametrize("name", ["validation.csv", "dev.csv", "valid.csv", "val.csv"])
def test_splits_of_other_data_are_found_by_their_names(write: Write, tmp_path: Path, name: str) -> None:
    write("train.jsonl", '{"t": "x", "y": "1"}\n')
    write(name, "t,y\nz,0\n")
    write("notes.txt", "nothing")
    splits = find_splits(tmp_path, Task.for_columns(Columns("t", None, "y")))
    assert {key: read_split(split).texts_a for key, split in splits.items()} == {"train": ["x"], "validation": ["z"]}


def test_shards_are_read_in_order_and_must_be_complete(write: Write, tmp_path: Path) -> None:
    for number in (2, 0, 1):
        write(f"train-{number:05}-of-00003.csv", f"t,y\n{number},1\n")
    examples = read_split(find_splits(tmp_path)["train"], columns=Columns("t", None, "y"))
    assert examples.texts_a == ["0", "1", "2"]
    assert examples.where(2).endswith("train-00002-of-00003.csv:2")
    assert examples.report.rows_in == 3
    (tmp_path / "train-00001-of-00003.csv").unlink()
    with pytest.raises(DataError, match="shard 1 of the 3 shards of train is missing"):
        find_splits(tmp_path)


def test_two_files_that_could_be_one_split_are_an_error(write: Write, tmp_path: Path) -> None:
    write("dev.csv", "t\nx\n")
    write("validation.tsv", "t\nx\n")
    with pytest.raises(ConfigError, match=r"more than one file could be validation: dev\.csv, validation\.tsv"):
        find_splits(tmp_path)


def test_a_folder_without_data_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data found"):
        find_splits(tmp_path, glue_task("mrpc"))
    with pytest.raises(ConfigError, match="does not exist"):
        find_splits(tmp_path / "absent")


def test_a_single_file_is_one_split_named_by_its_stem(write: Write) -> None:
    assert list(find_splits(write("pairs.csv", "t\nx\n"))) == ["train"]
    assert list(find_splits(write("dev.csv", "t\nx\n"))) == ["validation"]


def test_columns_must_be_known(write: Write) -> None:
    split = find_splits(write("train.csv", "t\nx\n"))["train"]
    with pytest.raises(ConfigError, match="which columns"):
        read_split(split)


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("mrpc", {"train": 3668, "validation": 408, "test": 1725}),
        ("sst2", {"train": 67349, "validation": 872, "test": 1821}),
        ("stsb", {"train": 5749, "validation": 1500, "test": 1379}),
    ],
)
def test_the_real_files_have_exactly_the_known_numbers_of_rows(
    glue_dir: Path, task: str, counts: dict[str, int]
) -> None:
    splits = {name: read_split(split) for name, split in find_splits(glue_dir, glue_task(task)).items()}
    assert {name: len(examples) for name, examples in splits.items()} == counts
    assert all(not examples.report.refused for examples in splits.values())
    assert all(not examples.report.warnings for examples in splits.values())


def test_the_real_mrpc_has_the_known_labels(glue_dir: Path) -> None:
    splits = {name: read_split(split) for name, split in find_splits(glue_dir, glue_task("mrpc")).items()}
    positives = {name: (examples.labels or []).count("equivalent") for name, examples in splits.items()}
    # 279 of 408 is the 68.38 % of always saying "equivalent" on the validation rows.
    assert positives == {"train": 2474, "validation": 279, "test": 1147}
    assert not set(splits["train"].lines) & set(splits["validation"].lines)
    assert sorted(splits["train"].lines + splits["validation"].lines) == list(range(2, 4078))
