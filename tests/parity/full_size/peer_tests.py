"""The peer tests of the suite, run against this environment's original."""

import os
import re
import subprocess
import sys
from pathlib import Path

from inputs import ROOT
from rows import Row


def compare(folder: Path) -> list[Row]:
    """`pytest -m peer`; a test that is skipped counts as failed, as what it needs is here."""
    # The other files compare with transformers, which this environment does not have.
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.peer" in path.read_text("utf-8"))
    command = [sys.executable, "-m", "pytest", "-m", "peer", "-q", "-rs", "-p", "no:cacheprovider", *files]
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"BERTUNE_ORIGINAL_PYTHON": sys.executable}, capture_output=True, text=True
    )
    print(ran.stdout[-3000:])
    counts = {name: int(number) for number, name in re.findall(r"(\d+) (passed|failed|skipped|errors?)", ran.stdout)}
    total, passed = sum(counts.values()), counts.get("passed", 0)
    ok = ran.returncode == 0 and total > 0 and passed == total
    note = ran.stdout.rstrip().splitlines()[-1] if ran.stdout.strip() else ran.stderr[-200:]
    return [Row("`pytest -m peer`, with BERTUNE_ORIGINAL_PYTHON", total, ok, total - passed, None, 0, note)]
