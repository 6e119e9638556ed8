"""Named pipes in the place of files: refused, where opening them would wait for ever."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bertune.checkpoints.model_digests import check_digests, model_digest
from bertune.data.examples import Columns
from bertune.data.formats.record_file import read_records_of
from bertune.data.sources import read_examples
from bertune.errors import BertuneError
from bertune.shards.store import load_store

COLUMNS = Columns("a", None, "b")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        *((f"t{suffix}", lambda path: read_examples(path, Columns("a", None, "b"))) for suffix in (".csv", ".json")),
        *(
            (f"t{suffix}", lambda path: read_examples(path, Columns("a", None, "b")))
            for suffix in (".arrow", ".csv.gz")
        ),
        ("t.tfrecord", lambda path: list(read_records_of(path))),
        ("t.safetensors", load_store),
        ("SHA256SUMS", lambda path: check_digests(path.parent)),
        ("SHA256SUMS", lambda path: model_digest(path.parent)),
    ],
)
def test_a_pipe_is_refused(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(BertuneError, match=name):
        read(tmp_path / name)
    shutil.rmtree(tmp_path)
