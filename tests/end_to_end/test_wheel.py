"""What is installed is whole: C sources, recipes and the demo's data are in the wheel; nothing is read beside it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_alone(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("bertune-*.whl")
    installed = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    # The packages it needs are those of this environment; bertune itself is found in the wheel's folder first.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("BERTUNE_")}
    variables |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=600
        )

    found = run("-c", "import bertune, bertune.training.loop as loop; print(bertune.__file__, loop.__file__)")
    assert [Path(path).is_relative_to(installed) for path in found.stdout.split()] == [True, True], found.stderr
    done = run("-m", "bertune", "demo", "--out", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    if shutil.which("cc"):
        assert "compiled kernels" in done.stderr
    assert "150 of 150 predictions are equal to the last bit" in done.stdout
    (accuracy,) = re.findall(r"test accuracy (\S+) %", done.stdout)
    assert float(accuracy) > 60
