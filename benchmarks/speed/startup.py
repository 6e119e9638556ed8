"""How long commands take that do nothing but start, and `bertune train` until its first step: many runs, in turns."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.data_folder import mrpc_folder
from benchmarks.speed.systems import ROOT, python_of

_WARM_UPS = 2


def commands() -> list[dict[str, Any]]:
    """Returns the commands that can run here, each with a name and a title."""
    own = sys.executable
    script = Path(own).parent / "bertune"
    help_command = [str(script), "--help"] if script.is_file() else [own, "-m", "bertune", "--help"]
    found: list[dict[str, Any]] = [
        {"name": "python", "title": "`python -c pass`, which all others contain", "command": [own, "-c", "pass"]},
        {"name": "import", "title": "`python -c 'import bertune'`", "command": [own, "-c", "import bertune"]},
        {"name": "help", "title": "`bertune --help`", "command": help_command},
        {"name": "torch", "title": "`python -c 'import torch'`", "command": [own, "-c", "import torch"]},
    ]
    python = python_of("transformers")
    if python is not None:
        code = "from transformers import AutoModelForSequenceClassification, Trainer"
        title = "`python -c 'from transformers import AutoModelForSequenceClassification, Trainer'`"
        found.append({"name": "transformers", "title": title, "command": [str(python), "-c", code]})
    data = mrpc_folder()
    if data is not None:
        title = "`bertune train --task mrpc` until its first step is done, tokens and kernels in the cache"
        train = [own, "-m", "bertune", "train", "--data", str(data), "--task", "mrpc", "--quiet"]
        found.append({"name": "first-step", "title": title, "command": train})
        cold = {"BERTUNE_DISABLE": "token-cache"}
        title = "the same without tokens in the cache"
        found.append({"name": "first-step~token-cache", "title": title, "command": train, "settings": cold})
        title = "the same, and encoded by one thread"
        settings = cold | {"TOKENIZERS_PARALLELISM": "false"}
        found.append({"name": "first-step~one-thread", "title": title, "command": train, "settings": settings})
    return found


def measure_startup(runs: int) -> list[dict[str, Any]]:
    """Returns each command with its seconds; the file cache is warm."""
    measured: list[dict[str, Any]] = [entry | {"seconds": []} for entry in commands()]
    dropped = ("OMP_", "BERTUNE_DISABLE", "TOKENIZERS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    for number in range(runs + _WARM_UPS):
        for entry in measured:
            run = _until_first_step if entry["name"].startswith("first-step") else _to_the_end
            seconds = run(entry["command"], environment | entry.get("settings", {}))
            if number >= _WARM_UPS:
                entry["seconds"].append(seconds)
    floor = statistics.median(measured[0]["seconds"])
    for entry in measured:
        # Paths of this machine do not belong into a result.
        del entry["command"]
        entry["beyond_python"] = statistics.median(entry["seconds"]) - floor
    return measured


def _to_the_end(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _until_first_step(command: list[str], environment: dict[str, str]) -> float:
    """Starts training, reads its journal until the first step is in it, and ends it."""
    with tempfile.TemporaryDirectory() as folder:
        journal, began = Path(folder) / "run" / "metrics.jsonl", time.perf_counter()
        to_run = [*command, "--out", str(journal.parent)]
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # it says that it was ended
        with subprocess.Popen(to_run, cwd=ROOT, env=environment, **quiet) as process:
            while process.poll() is None and not (journal.is_file() and '"step": 0,' in journal.read_text()):
                time.sleep(0.01)
            seconds = time.perf_counter() - began
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command[1:])} ended before its first step with code {process.returncode}")
            process.terminate()
    return seconds
