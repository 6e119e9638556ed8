"""Answers in the file format of the GLUE leaderboard.

One file a test set, with the header ``index<TAB>prediction`` and one line a row of the test file, counted from 0. QNLI,
RTE and MNLI are answered in words, STS-B by a number with three decimals, all others by 0 and 1.

Source: https://gluebenchmark.com/faq and the sample submission that is offered there.
"""

from collections.abc import Iterator

from bertune.data.glue_tasks import GlueTask
from bertune.evaluation.predictions import Predictions

_IN_WORDS = ("mnli", "qnli", "rte")
_MNLI_FILES = {"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"}
_TEST_ROWS = {
    "CoLA.tsv": 1063,
    "SST-2.tsv": 1821,
    "MRPC.tsv": 1725,
    "STS-B.tsv": 1379,
    "QQP.tsv": 390_965,
    "MNLI-m.tsv": 9796,
    "MNLI-mm.tsv": 9847,
    "QNLI.tsv": 5463,
    "RTE.tsv": 3000,
    "WNLI.tsv": 146,
}


def submission_name(task: GlueTask, split: str) -> str:
    """Names the file of a test set as the leaderboard wants it: ``MRPC.tsv``, ``MNLI-mm.tsv``."""
    return _MNLI_FILES[split] if task.name == "mnli" else f"{task.folder}.tsv"


def submission_lines(task: GlueTask, predictions: Predictions) -> Iterator[str]:
    """Yields the lines of the file, the header first, without line ends."""
    yield "index\tprediction"
    for index, decided in enumerate(predictions.decisions.tolist()):
        if task.labels is None:
            yield f"{index}\t{decided:.3f}"
        else:
            yield f"{index}\t{predictions.labels[decided] if task.name in _IN_WORDS else decided}"


def other_row_count(name: str, rows: int) -> str | None:
    """Says that a test set has not as many rows as the leaderboard's; None where it has."""
    expected = _TEST_ROWS[name]
    return None if rows == expected else f"{name}: {rows:,} rows, the test set of the leaderboard has {expected:,}"
