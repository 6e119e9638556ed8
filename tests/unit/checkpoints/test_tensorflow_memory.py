"""A checkpoint of BERT-large is restored without a second copy of it in memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bertune.checkpoints.bundle_writer import write_bundle

LARGE = {
    "vocab_size": 30522,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
# In a process of its own, whose peak is set back before restoring: building the encoder has a peak too.
RESTORE = """
import re, sys
from pathlib import Path
from bertune.checkpoints.restore import restore
from bertune.models.encoder import Encoder
def memory(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
encoder = Encoder(**{sizes})
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
receipt = restore(encoder, Path(sys.argv[1])).assert_consumed()
print(memory("VmHWM") - before, receipt.summary())
"""


def tensors() -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Random tensors of all shapes under the names of google-research/bert."""
    hidden, inner = LARGE["hidden_size"], LARGE["intermediate_size"]
    draw = np.random.default_rng(0)

    def dense(name: str, rows: int, columns: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"bert/{name}/kernel", draw.random((rows, columns), np.float32)
        yield f"bert/{name}/bias", draw.random(columns, np.float32)

    def norm(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"bert/{name}/LayerNorm/gamma", draw.random(hidden, np.float32)
        yield f"bert/{name}/LayerNorm/beta", draw.random(hidden, np.float32)

    for name, rows in (("word", LARGE["vocab_size"]), ("position", 512), ("token_type", 2)):
        yield f"bert/embeddings/{name}_embeddings", draw.random((rows, hidden), np.float32)
    yield from norm("embeddings")
    for number in range(LARGE["num_hidden_layers"]):
        layer = f"encoder/layer_{number}"
        for part in ("self/query", "self/key", "self/value", "output/dense"):
            yield from dense(f"{layer}/attention/{part}", hidden, hidden)
        yield from norm(f"{layer}/attention/output")
        yield from dense(f"{layer}/intermediate/dense", hidden, inner)
        yield from dense(f"{layer}/output/dense", inner, hidden)
        yield from norm(f"{layer}/output")
    yield from dense("pooler/dense", hidden, hidden)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is measured on Linux")
def test_bert_large_is_restored_in_its_own_size(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bert_model.ckpt", tensors())
    size = (tmp_path / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    assert size > 1_340_000_000
    script = RESTORE.replace("{sizes}", repr(LARGE))
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    grown, _, summary = ran.stdout.partition(" ")
    print(f"{int(grown) / 1e6:.0f} MB more for {size / 1e6:.0f} MB: {summary}")
    assert summary.startswith("391 tensors loaded (335,141,888 parameters)")
    assert int(grown) < size / 2
