"""How long commands take that do nothing but start: many runs, in turns."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.systems import ROOT, python_of

_WARM_UPS = 2


def commands() -> list[dict[str, Any]]:
    """Returns the commands that can run here, each with a name and a title."""
    own = sys.executable
    script = Path(own).parent / "bertune"
    help_command = [str(script), "--help"] if script.is_file() else [own, "-m", "bertune", "--help"]
    found = [
        {"name": "python", "title": "`python -c pass`, which all others contain", "command": [own, "-c", "pass"]},
        {"name": "import", "title": "`python -c 'import bertune'`", "command": [own, "-c", "import bertune"]},
        {"name": "help", "title": "`bertune --help`", "command": help_command},
        {"name": "torch", "title": "`python -c 'import torch'`", "command": [own, "-c", "import torch"]},
    ]
    peers = python_of("peers")
    if peers is not None:
        code = "from transformers import AutoModelForSequenceClassification, Trainer"
        title = "`python -c 'from transformers import AutoModelForSequenceClassification, Trainer'`"
        found.append({"name": "transformers", "title": title, "command": [str(peers), "-c", code]})
    return found


def measure_startup(runs: int) -> list[dict[str, Any]]:
    """Returns each command with its seconds; the file cache is warm."""
    measured: list[dict[str, Any]] = [entry | {"seconds": []} for entry in commands()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    for number in range(runs + _WARM_UPS):
        for entry in measured:
            began = time.perf_counter()
            subprocess.run(entry["command"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
            seconds = time.perf_counter() - began
            if number >= _WARM_UPS:
                entry["seconds"].append(seconds)
    floor = statistics.median(measured[0]["seconds"])
    for entry in measured:
        # Paths of this machine do not belong into a result.
        del entry["command"]
        entry["beyond_python"] = statistics.median(entry["seconds"]) - floor
    return measured
