"""The GPU benchmark, on the processor and with no more packages than it says it needs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.gpu import LONGEST, MEAN, mrpc_like

ROOT = Path(__file__).parents[3]
# What bertune depends on beyond torch, numpy, tokenizers and safetensors.
BLOCKED = (
    *("cyclopts", "filelock", "google_crc32c", "httpx", "matplotlib", "pyarrow", "rich", "scipy", "sklearn", "tomli_w"),
)
PROGRAM = f"""
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv[1:] = {{arguments!r}}
runpy.run_path({str(ROOT / "benchmarks" / "gpu.py")!r}, run_name="__main__")
"""


def run(*arguments: str, blocked: bool) -> subprocess.CompletedProcess[str]:
    program = PROGRAM if blocked else PROGRAM.replace("sys.meta_path.insert", "(lambda *_: None)")
    program = program.replace("{arguments!r}", repr(list(arguments))).replace("{name}", "{name}")
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, cwd="/")


def test_data_are_shaped_like_mrpc() -> None:
    data = mrpc_like(3648)
    lengths = np.diff(data.encoded.offsets)
    assert abs(lengths.mean() - MEAN) < 1
    assert lengths.max() <= LONGEST
    assert abs((lengths**2).mean() / lengths.mean() - 56.4) < 1  # MRPC's, which attention depends on
    assert int(data.encoded.token_ids.max()) < 30522


@pytest.mark.slow
def test_bertune_is_measured_with_the_few_packages_that_are_promised(tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    arguments = ["--device", "cpu", "--model", "tiny", "--rounds", "1", "--steps", "3", "--out", str(out)]
    done = run(*arguments, "--systems", "bertune", "--without", "varlen-attention", blocked=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert list(result["systems"]) == ["bertune", "bertune without varlen-attention"]
    assert all(len(one["rates"]) == 1 for one in result["systems"].values())
    assert result["systems"]["bertune"]["how"].startswith("bf16, ")
    assert "| bertune |" in (tmp_path / "gpu.md").read_text()


@pytest.mark.slow
def test_transformers_starts_from_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    out = tmp_path / "gpu"
    arguments = ["--device", "cpu", "--model", "tiny", "--rounds", "1", "--steps", "3", "--out", str(out)]
    done = run(*arguments, "--systems", "bertune-fp32,transformers,transformers-bf16", blocked=False)
    assert done.returncode == 0, done.stderr
    systems = json.loads((tmp_path / "gpu.json").read_text())["systems"]
    losses = [one["first_loss"] for one in systems.values()]
    assert max(losses) - min(losses) < 1e-5
    assert not any(one["error"] for one in systems.values())
