"""A real cluster of Ray with two nodes on this machine: what it makes is what one process makes, byte for byte.

In an environment of its own: `make test-ray`.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.ray.numbered_work import Work

from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Columns, Task
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.errors import ConfigError, DataError, ResourceError
from bertune.evaluation.predict_shards import PredictionSettings, WhoPredicts, predict_shards
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.shards.reencode import Encoding, ReencodeProgress, WhoEncodes, encode_shards, reencode
from bertune.shards.shared_parts import PARTS_NAME
from bertune.system.ray_engine import RayEngine
from bertune.tokenization.tokenizer import BertTokenizer

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("default")]
ray = pytest.importorskip("ray", reason="Ray is in an environment of its own: make test-ray")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]


@dataclass
class TwoNodes:
    cluster: Any
    second: Any

    def remove_second(self) -> None:
        if self.second is not None:
            self.cluster.remove_node(self.second, allow_graceful=False)
            self.second = None


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    """A node with one core, and another one that can be taken away."""
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    # Ray takes 127.0.0.1 for the address that others know, which nothing here listens at.
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    settings = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=settings | {"include_dashboard": False})
    found = TwoNodes(cluster, cluster.add_node(**settings))
    yield found
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def source(tmp_path: Path) -> RowSource:
    words = random.Random(5)
    for number in range(3):
        rows = [f"{' '.join(words.choices('abcdefgh', k=9))},{words.choice(['up', 'no'])}" for _ in range(1000)]
        (tmp_path / f"part-{number}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        os.utime(tmp_path / f"part-{number}.csv", (time.time() - 60, time.time() - 60))
    task = Task.for_columns(Columns("text", None, "label"))
    return RowSource(find_splits(tmp_path / "part-*.csv", task)["train"], task, task.columns, require_label=False)


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return tmp_path / "vocab.txt"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != PARTS_NAME}


def test_encoding_with_a_node_less_midway_gives_the_bytes_of_one_process(
    tmp_path: Path, source: RowSource, vocabulary: Path, nodes: TwoNodes
) -> None:
    reencode(source, BertTokenizer(vocabulary), tmp_path / "one", shards=12, max_length=16, processes=1)

    def less(progress: ReencodeProgress) -> None:
        if progress.stage == "encoding":
            nodes.remove_second()

    with RayEngine(address=nodes.cluster.address) as engine:
        assert ray.cluster_resources()["CPU"] == 2
        settings, who = Encoding(max_length=16, shards=12), WhoEncodes(engine=engine, on_progress=less)
        manifest = encode_shards(source, BertTokenizer(vocabulary), tmp_path / "ray", settings, who)
    assert nodes.second is None
    assert manifest.complete
    assert content(tmp_path / "ray") == content(tmp_path / "one")


def test_predicting_with_a_node_less_midway_gives_the_bytes_of_one_process(
    tmp_path: Path, source: RowSource, vocabulary: Path, nodes: TwoNodes
) -> None:
    import pyarrow.parquet

    sizes = BertConfig(
        vocab_size=len(PIECES), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    signature = ModelSignature(("no", "up"), is_pair=False, max_length=16)
    model = save(
        classifier_model(sizes, 2, seed=1)[0].eval(),
        tmp_path / "model",
        tokenizer=BertTokenizer(vocabulary),
        signature=signature,
    )
    settings = PredictionSettings(shards=6, key=("label",))
    predict_shards(model, signature, source, tmp_path / "one", settings, WhoPredicts())
    with RayEngine(address=nodes.cluster.address) as engine:
        who = WhoPredicts(engine=engine, on_rows=lambda _: nodes.remove_second())
        manifest = predict_shards(model, signature, source, tmp_path / "ray", settings, who)
    assert nodes.second is None
    assert manifest.complete
    assert content(tmp_path / "ray") == content(tmp_path / "one")
    rows = sum(pyarrow.parquet.read_metadata(path).num_rows for path in (tmp_path / "ray").glob("*.parquet"))
    assert rows == 3000


def test_a_piece_whose_process_is_killed_goes_to_another_and_one_that_kills_all_is_told(
    tmp_path: Path, nodes: TwoNodes
) -> None:
    done: dict[int, tuple[int, int]] = {}
    with RayEngine(address=nodes.cluster.address) as engine:
        engine.run(Work(tmp_path, fatal=2), range(6), done.__setitem__)
        assert {number: piece for number, (piece, _) in done.items()} == {number: number for number in range(6)}
        assert len({process for _, process in done.values()}) >= 2
        with pytest.raises(ResourceError, match="3 processes of the Ray cluster ended at shard 3"):
            engine.run(Work(tmp_path, fatal=3, once=False), range(6), done.__setitem__)
        with pytest.raises(DataError, match="row 7 is wrong") as raised:
            engine.run(Work(tmp_path, wrong=1), range(6), done.__setitem__)
        assert raised.value.hint == "mend it"


def test_a_cluster_that_cannot_be_reached_is_told_in_one_sentence() -> None:
    for address in ("127.0.0.1:9", "127.0.0.1", "nowhere.invalid:6379", "127.0.0.1:99999"):
        began = time.monotonic()
        with (
            pytest.raises(ConfigError, match=r"the Ray cluster at .* cannot be reached: ") as raised,
            RayEngine(address=address),
        ):
            pass
        assert raised.value.exit_code == 2
        assert time.monotonic() - began < 10


ALONE = """
import os, signal, sys
from pathlib import Path
from tests.ray.numbered_work import Work
from bertune.system.ray_engine import RayEngine

handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
done = {}
with RayEngine(actors=1) as engine:
    import ray
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert not ray._private.worker.global_worker.node.webui_url
    address = ray.get_runtime_context().gcs_address
    engine.run(Work(Path(sys.argv[1])), range(3), done.__setitem__)
    os.environ["RAY_AUTH_TOKEN"] = "0" * 64
    code = f"import ray; ray.init(address='{address}')"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) != 0
assert len({process for _, process in done.values()}) == 1
assert "RAY_AUTH_TOKEN" not in os.environ
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
"""


def test_a_cluster_of_this_machine_has_no_dashboard_and_a_token_of_its_own(tmp_path: Path) -> None:
    """In a process of its own: what Ray reads of its settings it reads when it is imported."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        cwd=root,
        env={**os.environ, "RAY_NUM_REDIS_GET_RETRIES": "5"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
