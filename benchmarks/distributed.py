"""MRPC with MiniLM in two processes, compared with one: examples a second, and where a step's processor time goes.

    python -m benchmarks.distributed --data DIR --rounds 5

One epoch of `bertune train --task mrpc` in turns: one process with one thread, one with two, two with one each, in
another order each round. Examples a second are those of the epoch's steps, from `metrics.jsonl`. Beside them, by
`--parts`, the processor time of a step's parts and of gloo's sums. It means something on a machine with two cores that
does nothing else: the result has the share of the processor that each turn got. Writes NAME.json and NAME.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import hardware_name, machine, versions
from benchmarks.processes import own_variables, run_command

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Threads of each process, and what comes before `-m bertune`.
SYSTEMS: dict[str, tuple[int, list[str]]] = {
    "one process, one thread": (1, []),
    "one process, two threads": (2, []),
    "two processes, one thread each": (1, TORCHRUN),
}
STEPS, WARM_UP = 40, 5


def rate_of(system: str, data: Path, folder: Path) -> dict[str, float]:
    """Trains one epoch; returns examples a second and the share of its time that the processor worked for it."""
    threads, before = SYSTEMS[system]
    out = folder / "run"
    command = [sys.executable, *before, "-m", "bertune", "train", "--task", "mrpc", "--data", str(data)]
    command += ["--epochs", "1", "--skip-probe", "--out", str(out), "--overwrite", "--save-every", "never", "--quiet"]
    done = run_command(command, variables=own_variables(threads))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    epoch = next(line for line in lines if line["event"] == "epoch")
    return {"examples_per_second": epoch["examples_per_second"], "processor_share": done.processor_share}


def measured_rates(data: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Rates of all systems, in turns."""
    names = list(SYSTEMS)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                found[name].append(rate_of(name, data, Path(folder)))
                print(turn, name, found[name][-1], flush=True)
    return found


def measured_parts(data: Path) -> dict[str, Any]:
    """Milliseconds of processor time of a step's parts, in one process and in the first of two."""
    found = {}
    for name, before in (("one", []), ("two", TORCHRUN)):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "parts.json"
            command = [sys.executable, *before, str(Path(__file__)), "--worker", str(place), "--data", str(data)]
            run_command(command, variables=own_variables(1) | {"PYTHONPATH": _paths()})
            found[name] = json.loads(place.read_text())
    return found


def _paths() -> str:
    return os.pathsep.join([str(ROOT / "src"), str(ROOT)])


def work(data: Path, out: Path) -> None:
    """Takes steps as `fit` does, in a process that may be one of two, and writes what their parts took."""
    from bertune.batches.sampler import batches_of, epoch_order
    from bertune.models.encoder import computing_in
    from bertune.nn.precision import choose_precision, name_of
    from bertune.system.joined_group import joined
    from bertune.system.torchrun import Launch
    from bertune.training.batch_gradients import BatchPasses
    from bertune.training.compact_vocabulary import CompactVocabulary
    from bertune.training.config import TrainingConfig
    from bertune.training.engine_choice import engine_for
    from bertune.training.loop import optimizer_of
    from bertune.training.objective import Objective
    from bertune.training.prepare import prepare
    from bertune.training.run_settings import RunSettings
    from bertune.training.step import StepPlace, seed_of_step, take_step

    seconds: dict[str, float] = {}

    def timed(owner: Any, name: str, shown: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            started = time.process_time()
            result = real(*arguments, **more)
            seconds[shown] = seconds.get(shown, 0.0) + time.process_time() - started
            return result

        setattr(owner, name, call)

    with joined(Launch.of(os.environ), device="cpu", timeout=600) as group, tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(data=str(data), out=Path(folder) / "run", task="mrpc", skip_probe=True)
        run = prepare(settings, TrainingConfig(), say=lambda _: None)
        classifier, plan = run.classifier, run.config
        vocabulary = CompactVocabulary(classifier, run.train.encoded.token_ids)
        precision = choose_precision(plan.precision, classifier.device)
        rows = 0
        with vocabulary.in_use(), computing_in(classifier.encoder, precision):
            engine = engine_for(classifier, optimizer_of(classifier, plan, 345), group=group)
            classifier.train()
            started = 0.0
            order = epoch_order(len(run.train), seed=1, epoch=0)
            for step, indices in enumerate(batches_of(order, plan.batch_size)):
                if step == WARM_UP:
                    timed(BatchPasses, "_compute", "forward and backward")
                    timed(engine, "add_up_gradients", "sum of the gradients")
                    timed(engine, "step", "optimizer step")
                    started = time.process_time()
                if step == WARM_UP + STEPS:
                    break
                torch.default_generator.manual_seed(seed_of_step(1, step, group.rank))
                place = StepPlace(step, 1, 1e-5)
                take_step(
                    engine,
                    Objective.of(run.signature),
                    run.train,
                    indices,
                    place=place,
                    micro_batch_size=plan.batch_size,
                )
                rows += len(set(run.train.encoded.take(indices).token_ids.tolist()))
            seconds["all"] = time.process_time() - started
        result: dict[str, Any] = {
            "engine": f"{name_of(precision)}, {engine.name}",
            "batch_size": plan.batch_size,
            "rows_of_table": len(vocabulary.trained()["encoder.embeddings.token.weight"]),
            "rows_of_batch": rows / (WARM_UP + STEPS),
            "milliseconds": {name: 1000 * value / STEPS for name, value in seconds.items()},
            "sums": {} if group.is_alone else _sums(),
        }
        if group.is_first:
            out.write_text(json.dumps(result))


def _sums() -> dict[str, float]:
    """Milliseconds of processor time of gloo's sums of as many numbers as MiniLM's layers have."""
    import torch.distributed as dist

    count = 10_646_784
    wide, narrow = torch.ones(count), torch.ones(count, dtype=torch.bfloat16)
    pieces = wide.split(count // 6)

    def in_pieces() -> None:
        for work in [dist.all_reduce(piece, async_op=True) for piece in pieces]:
            assert work is not None
            work.wait()

    def took(sums: Callable[[], Any]) -> float:
        sums()
        dist.barrier()
        started = time.process_time()
        for _ in range(STEPS):
            sums()
        return 1000 * (time.process_time() - started) / STEPS

    return {
        "float32": took(lambda: dist.all_reduce(wide)),
        "bfloat16": took(lambda: dist.all_reduce(narrow)),
        "float32 in six pieces": took(in_pieces),
        "64 numbers": took(lambda: dist.all_reduce(wide[:64])),
    }


def page(result: dict[str, Any]) -> str:
    about = result["machine"]
    lines = [
        "# Two processes",
        "",
        f"`{result['command']}`, on {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; load average "
        f"{result['load']:.1f} at the beginning.",
    ]
    if result["rates"]:
        lines += ["", "| system | examples/s | lowest to highest | processor share |", "|---|---|---|---|"]
        rates = {name: [turn["examples_per_second"] for turn in turns] for name, turns in result["rates"].items()}
        for name, turns in result["rates"].items():
            share = statistics.median(turn["processor_share"] for turn in turns)
            middle, low, high = statistics.median(rates[name]), min(rates[name]), max(rates[name])
            lines.append(f"| {name} | {middle:.1f} | {low:.1f} to {high:.1f} | {share:.2f} |")
        two = rates["two processes, one thread each"]
        for name in list(SYSTEMS)[:2]:
            ratios = [mine / other for mine, other in zip(two, rates[name], strict=True)]
            lines += [
                "",
                f"Two processes by {name}, round by round: {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}).",
            ]
    if result["parts"]:
        one, two = result["parts"]["one"], result["parts"]["two"]
        lines += [
            "",
            f"Processor time of a step of {one['batch_size']} examples ({one['engine']}), in milliseconds, of one "
            f"process and of each of two, one thread each; a batch touches {two['rows_of_batch']:.0f} of "
            f"{two['rows_of_table']:,} rows of the token table:",
            "",
            "| part | one process | each of two |",
            "|---|---|---|",
        ]
        for name, value in two["milliseconds"].items():
            alone = one["milliseconds"].get(name)
            lines.append(f"| {name} | {'' if alone is None else f'{alone:.1f}'} | {value:.1f} |")
        lines += ["", "| sum by gloo, of MiniLM's layers | milliseconds |", "|---|---|"]
        lines += [f"| {name} | {value:.1f} |" for name, value in two["sums"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the original MRPC files")
    parser.add_argument("--rounds", type=int, default=5, help="of the rates; 0 measures none")
    parser.add_argument("--parts", action="store_true", help="also where the processor time goes")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments.data, arguments.worker)
        return
    shown = f"--data MRPC --rounds {arguments.rounds}" + (" --parts" if arguments.parts else "")
    result = {
        "command": f"python -m benchmarks.distributed {shown}",
        "machine": machine(),
        "versions": versions("bertune", "torch", "numpy"),
        "load": os.getloadavg()[0],
        "rates": measured_rates(arguments.data, arguments.rounds) if arguments.rounds else {},
        "parts": measured_parts(arguments.data) if arguments.parts else {},
    }
    kind = "distributed" if arguments.rounds else "distributed-parts"
    place = ROOT / "benchmarks" / "results" / f"{kind}_{hardware_name()}_{time.strftime('%Y-%m-%d')}"
    place.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    place.with_suffix(".md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
