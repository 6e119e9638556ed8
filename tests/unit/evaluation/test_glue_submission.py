"""The leaderboard's files."""

import numpy as np
import pytest

from bertune.checkpoints.signature import ModelSignature
from bertune.data.glue_tasks import TASKS
from bertune.evaluation.glue_submission import other_row_count, submission_lines, submission_name
from bertune.evaluation.predictions import Predictions

# Names of files and ways of answering as the leaderboard's own sample submission has them.
SAMPLE = {
    "cola": ("CoLA.tsv", ["0\t1", "1\t0"]),
    "sst2": ("SST-2.tsv", ["0\t1", "1\t0"]),
    "mrpc": ("MRPC.tsv", ["0\t1", "1\t0"]),
    "stsb": ("STS-B.tsv", ["0\t2.346", "1\t5.000"]),
    "qqp": ("QQP.tsv", ["0\t1", "1\t0"]),
    "mnli": ("MNLI-m.tsv", ["0\tneutral", "1\tentailment"]),
    "qnli": ("QNLI.tsv", ["0\tnot_entailment", "1\tentailment"]),
    "rte": ("RTE.tsv", ["0\tnot_entailment", "1\tentailment"]),
    "wnli": ("WNLI.tsv", ["0\t1", "1\t0"]),
}


@pytest.mark.parametrize("name", TASKS)
def test_each_task_is_answered_as_the_leaderboard_wants_it(name: str) -> None:
    task = TASKS[name]
    file_name, answers = SAMPLE[name]
    assert submission_name(task, "test") == file_name
    names = () if task.labels is None else task.labels.names
    signature = ModelSignature(
        labels=names, is_pair=task.columns.is_pair, max_length=8, kind=task.kind, target_range=task.target_range
    )
    logits = np.array([[2.3456], [7.2]]) if task.labels is None else np.eye(len(names))[[1, 0]]
    lines = list(submission_lines(task, Predictions(logits.astype(np.float32), signature, 0.0)))
    assert lines == ["index\tprediction", *answers]


def test_mnli_has_a_file_for_each_of_its_test_sets() -> None:
    assert submission_name(TASKS["mnli"], "test_mismatched") == "MNLI-mm.tsv"


def test_a_test_set_of_another_size_is_told() -> None:
    assert other_row_count("MRPC.tsv", 1725) is None
    assert other_row_count("MRPC.tsv", 10) == "MRPC.tsv: 10 rows, the test set of the leaderboard has 1,725"
