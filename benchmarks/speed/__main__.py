"""The command line of the speed benchmarks: `python -m benchmarks.speed`.

python -m benchmarks.speed                                     training MiniLM-L6, every system
python -m benchmarks.speed --model base --systems bertune,transformers --steps 3
python -m benchmarks.speed --model deberta-v3-small --systems bertune,transformers-bf16
python -m benchmarks.speed --systems bertune --without kernels,kept-memory --tag ablation
python -m benchmarks.speed --systems bertune --settings "OMP_WAIT_POLICY=ACTIVE" "THP_MEM_ALLOC_ENABLE=1"
python -m benchmarks.speed --what predict
python -m benchmarks.speed --what startup
python -m benchmarks.speed --what whole --systems bertune,transformers   three epochs each, to the end
"""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import hardware_name, machine, versions
from benchmarks.speed.report import report
from benchmarks.speed.rounds import take_turns
from benchmarks.speed.shapes import SHAPES
from benchmarks.speed.startup import measure_startup
from benchmarks.speed.systems import GEMM, PROBE, ROOT, System, What, ablated, chosen, with_settings
from benchmarks.speed.whole import run_command, run_whole
from benchmarks.speed.workload import Workload, read_workload

RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    options = parse(sys.argv[1:])
    result: dict[str, Any] = {
        "what": options.what,
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks.speed", *without_folder(sys.argv[1:])]),
        "machine": machine(),
        "versions": versions("bertune", "torch", "numpy"),
    }
    if options.what == "startup":
        result["commands"] = measure_startup(options.runs)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result |= measure(options, Path(folder))
    name = "-".join(["speed", options.what, *([] if options.what == "startup" else [options.model]), *options.tag])
    write(result, options.out / f"{name}_{options.hardware or hardware_name()}_{result['date']}")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Makes the workload and measures the chosen systems on it."""
    if options.what == "whole":
        return measure_whole(options, make(folder, options.model, epochs=3))
    steps = options.steps or SHAPES[options.model].steps
    workload = make(folder, options.model, epochs=3)
    needed = (options.rounds + 1) * steps
    if options.what == "train" and needed > workload.total_steps:
        raise SystemExit(f"{options.rounds} rounds of {steps} steps are more than 3 epochs; take fewer --steps")
    count = min(options.examples, len(workload.test))
    command = {"do": "train", "steps": steps} if options.what == "train" else {"do": "predict", "examples": count}
    systems = [PROBE, *wanted(options)]
    measured, loads = take_turns(systems, folder, command, rounds=options.rounds, threads=options.threads, logs=folder)
    gemm, *others = (entry.to_dict() for entry in measured)
    assert gemm["name"] == GEMM
    entries = [keep_probabilities_once(entry) for entry in others]
    return {
        "model": options.model,
        "rounds": options.rounds,
        "steps": steps,
        "examples": count,
        "threads": options.threads,
        "loads": loads,
        "workload": describe(workload, count),
        "gemm": gemm,
        "systems": entries,
        "versions": all_versions([gemm, *entries]),
    }


def measure_whole(options: argparse.Namespace, workload: Workload) -> dict[str, Any]:
    systems = wanted(options)
    folder = workload.folder
    entries = run_whole(systems, folder, steps=workload.total_steps, threads=options.threads, logs=folder)
    if options.model == "minilm":
        entries.insert(0, run_command(systems[0], options.threads))
    return {
        "model": options.model,
        "threads": options.threads,
        "workload": describe(workload, len(workload.test)),
        "systems": entries,
        "versions": all_versions(entries),
    }


def make(folder: Path, model: str, *, epochs: int) -> Workload:
    """Makes the workload in a process of its own, so that this one stays small and idle."""
    command = [sys.executable, "-m", "benchmarks.speed.make_workload", str(folder), "--model", model]
    subprocess.run([*command, "--epochs", str(epochs)], cwd=ROOT, check=True)
    return read_workload(folder)


def wanted(options: argparse.Namespace) -> list[System]:
    """Returns the systems to measure; of the first, also without each trick, and all of these with each settings."""
    what: What = "predict" if options.what == "predict" else "train"
    try:
        first, *others = chosen(what, options.systems)
        ours = [first, *ablated(first, options.without)]
        ours += [with_settings(system, settings) for settings in options.settings for system in ours]
    except ValueError as error:
        raise SystemExit(str(error)) from error
    return [*ours, *others]


def describe(workload: Workload, count: int) -> dict[str, Any]:
    """Returns the workload's settings and how often each length occurs, for the count of operations."""
    lengths = {"train": workload.train.lengths, "test": workload.test.lengths[:count]}
    counts = {
        f"{name}_lengths": {str(length): number for length, number in sorted(Counter(values.tolist()).items())}
        for name, values in lengths.items()
    }
    return workload.settings | counts


def keep_probabilities_once(entry: dict[str, Any]) -> dict[str, Any]:
    """Moves the predicted probabilities out of the rounds: they are the same in each."""
    rounds = entry["rounds"]
    for answer in (entry["warm_up"], *rounds):
        values = answer.pop("probabilities", None)
        if values is not None:
            entry["probabilities"] = np.round(values, 7).tolist()
    return entry


def all_versions(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the versions that the workers reported; one that differs between environments is listed twice."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        for name, number in entry.get("about", {}).get("versions", {}).items():
            found.setdefault(name, set()).add(number)
    return {name: " and ".join(sorted(numbers)) for name, numbers in sorted(found.items())}


def without_folder(arguments: list[str]) -> list[str]:
    """Leaves `--out FOLDER` out: a path of this machine does not belong into a result."""
    if "--out" not in arguments:
        return arguments
    place = arguments.index("--out")
    return arguments[:place] + arguments[place + 2 :]


def write(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = report(result)
    path.with_name(path.name + ".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_name(path.name + ".md").write_text(text, encoding="utf-8")
    print(text)
    print(f"written: {os.path.relpath(path)}.json and .md", file=sys.stderr)


def parse(arguments: list[str]) -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return [name for name in text.split(",") if name]

    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--what", choices=["train", "predict", "startup", "whole"], default="train")
    parser.add_argument("--model", choices=SHAPES, default="minilm")
    parser.add_argument("--systems", type=names, help="comma-separated; all by default")
    parser.add_argument("--without", type=names, default=[], help="tricks to switch off one at a time; a+b both")
    parser.add_argument("--settings", nargs="+", default=[], help='environment variables, each "NAME=VALUE …" in turn')
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of a round in training; by default as the model has it")
    parser.add_argument("--examples", type=int, default=1 << 30, help="pairs of a round in predicting; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10, help="of each command in startup")
    parser.add_argument("--hardware", help="part of the result's name; found out by default")
    parser.add_argument("--tag", type=names, default=[], help="added to the result's name")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
