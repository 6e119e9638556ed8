"""Processes that encode: order, errors, and scripts without a guard."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertune.errors import DataError, ResourceError
from bertune.shards.chunk_encoding import Chunk, ChunkEncoder
from bertune.shards.encode_worker import EncoderProcesses
from bertune.tokenization.tokenizer import BertTokenizer

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def encoder() -> ChunkEncoder:
    return ChunkEncoder(BertTokenizer(GOLDEN / "small_cased_vocab.txt"), 16, "tfrecord")


def chunk(number: int) -> Chunk:
    return Chunk(["the run " * number], None, np.array([number]), number)


def test_results_come_in_order_and_equal_those_of_one_process(encoder: ChunkEncoder) -> None:
    with EncoderProcesses(encoder, 2) as processes:
        results = list(processes.map(chunk(number) for number in range(40)))
    assert [result.records for result in results] == [encoder(chunk(number)).records for number in range(40)]


def test_few_chunks_are_taken_before_results_are_given_back(encoder: ChunkEncoder) -> None:
    taken: list[int] = []

    def source() -> object:
        for number in range(100):
            taken.append(number)
            yield chunk(number)

    with EncoderProcesses(encoder, 2) as processes:
        results = processes.map(source())
        next(results)
        assert len(taken) <= 6


def test_an_error_in_a_process_is_raised_here_with_its_hint(encoder: ChunkEncoder) -> None:
    wrong = Chunk(["a", 3], None, None, 0)
    with EncoderProcesses(encoder, 2) as processes, pytest.raises(DataError, match="text 1 is int") as raised:
        list(processes.map([wrong]))
    assert raised.value.hint == "convert or remove cells that are no text"


def test_a_process_that_dies_is_an_error(encoder: ChunkEncoder) -> None:
    with EncoderProcesses(encoder, 1) as processes:
        results = processes.map(chunk(number) for number in range(50))
        next(results)
        os.kill(processes._workers[0].pid, signal.SIGKILL)
        with pytest.raises(ResourceError, match="a process that encodes ended unexpectedly"):
            list(results)


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    """Where processes were spawned by multiprocessing, each would run the script again."""
    (tmp_path / "train.csv").write_text("text,label\n" + "the run,a\nof the,b\n" * 20)
    script = tmp_path / "script.py"
    script.write_text(
        "from bertune import BertTokenizer, Columns, RowSource, find_splits, reencode\n"
        "from bertune.data.task import Task\n"
        "task = Task.for_columns(Columns('text', None, 'label'))\n"
        f"source = RowSource(find_splits({str(tmp_path / 'train.csv')!r}, task)['train'], task)\n"
        f"tokenizer = BertTokenizer({str(GOLDEN / 'small_cased_vocab.txt')!r})\n"
        f"print(reencode(source, tokenizer, {str(tmp_path / 'out')!r}, processes=2).rows)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout, done.stderr) == ("40\n", "")
