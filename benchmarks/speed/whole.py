"""Whole runs of three epochs: each system in a process of its own, one after the other, nothing extrapolated."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.child import Child, WorkerError, worker_environment
from benchmarks.speed.data_folder import mrpc_folder
from benchmarks.speed.systems import ROOT, System


def run_whole(systems: list[System], folder: Path, *, steps: int, threads: int, logs: Path) -> list[dict[str, Any]]:
    """Trains each system over all steps and says how long its process lived.

    Args:
        systems: whom.
        folder: the workload, of three epochs.
        steps: of three epochs.
        threads: of each.
        logs: folder for what workers print.
    """
    results = []
    for system in systems:
        began = time.perf_counter()
        entry: dict[str, Any] = {"name": system.name, "title": system.title, "failure": None}
        try:
            with Child(system, folder, threads=threads, log=logs / f"{system.name}.log", timeout=7200) as child:
                answer = child.ask(do="train", steps=steps)
                entry |= answer | {"about": child.about, "process_seconds": time.perf_counter() - began}
        except WorkerError as failure:
            entry["failure"] = str(failure)
        print(system.name, entry.get("process_seconds") or entry["failure"], file=sys.stderr, flush=True)
        results.append(entry)
    return results


def run_command(system: System, threads: int) -> dict[str, Any]:
    """Times `bertune train` on the original files: reading, audit, encoding, 3 epochs, 3 evaluations, writing."""
    data = mrpc_folder()
    entry: dict[str, Any] = {
        "name": "bertune-train",
        "title": "`bertune train`, with reading, 3 evaluations and the model folder",
        "failure": None if data else "needs the GLUE files",
    }
    if data is None:
        return entry
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "bertune", "train", "--data", str(data), "--task", "mrpc", "--quiet"]
        command += [
            "--out",
            str(Path(out) / "run"),
            "--max-length",
            "128",
            "--recipe",
            "lesson",
            "--learning-rate",
            "5e-5",
        ]
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=ROOT, env=worker_environment(system, threads), stdout=subprocess.DEVNULL
        ) as process:
            peaks: list[int] = []
            watcher = threading.Thread(target=_watch_peak, args=(process, peaks))
            watcher.start()
            status = process.wait()
            entry["process_seconds"] = time.perf_counter() - began
            watcher.join()
        if status:
            return entry | {"failure": f"exit code {status}"}
        journal = (Path(out) / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [line for line in map(json.loads, journal) if line["event"] == "epoch"]
    seconds = sum(line["train_seconds"] for line in epochs)
    return entry | {"seconds": seconds, "peak_rss_bytes": max(peaks, default=0)}


def _watch_peak(process: "subprocess.Popen[bytes]", peaks: list[int]) -> None:
    """Reads the peak of memory until the process ends: afterwards its account is gone."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return
        peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
        time.sleep(0.1)
