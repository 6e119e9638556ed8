"""The example with the names of the tutorial runs as written, with the real encoder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    guide = ROOT / "docs" / "guides" / "from-model-garden.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "probabilities" in done.stdout
    assert (tmp_path / "runs" / "lesson" / "model.safetensors").is_file()
