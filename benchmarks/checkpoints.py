"""What a checkpoint costs: bytes, seconds to write and to read, and the sampler's share of going on late in a run.

    python -m benchmarks.checkpoints --shapes minilm bert-base --rounds 5

Random weights and moments of the sizes of real encoders, the history of a thousand steps, and the best epoch's weights
beside those of this moment. Each checkpoint is written as a run writes it: flushed, digested, renamed. Writes NAME.json
and NAME.md.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bertune
from benchmarks.machine import hardware_name, machine, versions
from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.training.dynamics import DynamicsState
from bertune.training.fingerprint import Arithmetic, Fingerprint
from bertune.training.fitting_state import FittingState
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.journal import JournalMark
from bertune.training.run_state import RunState, read_state, write_state
from bertune.training.step import StepResult

ROOT = Path(__file__).resolve().parent.parent
# Rows of the table, hidden size, layers, heads, intermediate size.
SHAPES = {"minilm": (30_522, 384, 6, 12, 1536), "bert-base": (30_522, 768, 12, 12, 3072)}
STEPS, ROWS = 1_000, 10_000


def state_of(shape: str) -> RunState:
    """A state in the middle of an epoch, with another epoch's weights as the best."""
    vocabulary, hidden, layers, heads, intermediate = SHAPES[shape]
    config = bertune.BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
    )
    classifier, _ = bertune.classifier_model(config, 2, seed=1)
    weights = {name: parameter.detach() for name, parameter in classifier.named_parameters()}
    steps = [StepResult(step, 1, 0.5, 1e-5, 1.0, 16, 700) for step in range(STEPS)]
    fitting = FittingState(
        step=STEPS,
        epoch=1,
        is_evaluated=False,
        epoch_seconds=1.0,
        micro_batch_size=16,
        not_applied=(),
        settled=0,
        weights=weights,
        moments={name: (torch.randn_like(value), torch.rand_like(value)) for name, value in weights.items()},
        step_count=STEPS,
        best_weights={name: value.clone() for name, value in weights.items()},
        history=History(
            steps,
            [EpochResult(1, 0.5, 1.0, 1.0, None, True)],
            engine="fp32",
            evaluations=[Evaluation(STEPS, 1, 0.5, 1.0, 1.0, None, True)],
        ),
        dynamics=DynamicsState(torch.rand(1, ROWS), torch.arange(1600), torch.rand(1600)),
    )
    arithmetic = Arithmetic("", "", "", 1, "cpu", "fp32", "", "", "")
    return RunState(fitting, JournalMark(0, "", 0.0), Fingerprint({}, "", "", "", arithmetic))


def measured(shape: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Writes and reads a state some times."""
    state, written, read, size = state_of(shape), list[float](), list[float](), 0
    for number in range(rounds):
        started = time.perf_counter()
        size = write_state(folder / f"step-{number:09d}", state)
        written.append(time.perf_counter() - started)
        started = time.perf_counter()
        read_state(folder / f"step-{number:09d}")
        read.append(time.perf_counter() - started)
    parameters = sum(value.numel() for value in state.fitting.weights.values())
    return {"parameters": parameters, "bytes": size, "seconds_to_write": written, "seconds_to_read": read}


def seconds_to_find_the_batch_after(step: int, rows: int, batch_size: int) -> float:
    """How long the sampler takes to give the first batch of a run that goes on."""
    started = time.perf_counter()
    per_epoch = steps_in_epoch(rows, batch_size)
    order = epoch_order(rows, seed=1, epoch=step // per_epoch)
    next(batches_of(order, batch_size, first=step % per_epoch))
    return time.perf_counter() - started


def page(result: dict[str, Any]) -> str:
    about = result["machine"]
    lines = [
        "# What a checkpoint costs",
        "",
        f"`{result['command']}`, on {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; one thread. "
        "The machine did other work too; medians, with lowest and highest.",
        "",
        "| encoder | parameters | bytes | write, flushed and digested | check and read |",
        "|---|---|---|---|---|",
    ]
    for shape, found in result["shapes"].items():
        cells = []
        for name in ("seconds_to_write", "seconds_to_read"):
            values = found[name]
            cells.append(f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
        lines.append(f"| {shape} | {found['parameters']:,} | {found['bytes']:,} | {' | '.join(cells)} |")
    sampler = result["sampler"]
    lines += [
        "",
        f"The first batch after step {sampler['step']:,}, of {sampler['rows']:,} rows in batches of "
        f"{sampler['batch_size']}: {sampler['seconds']:.3f} s.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; by default that of temporary files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        shapes = {shape: measured(shape, arguments.rounds, Path(folder) / shape) for shape in arguments.shapes}
    step, rows, batch_size = 1_000_000, 400_000, 16
    seconds = float(np.median([seconds_to_find_the_batch_after(step, rows, batch_size) for _ in range(5)]))
    shown = " ".join(arguments.shapes)
    result = {
        "command": f"python -m benchmarks.checkpoints --shapes {shown} --rounds {arguments.rounds}",
        "machine": machine(),
        "versions": versions("bertune", "torch", "numpy"),
        "shapes": shapes,
        "sampler": {"step": step, "rows": rows, "batch_size": batch_size, "seconds": seconds},
    }
    name = f"checkpoints_{hardware_name()}_{time.strftime('%Y-%m-%d')}"
    place = ROOT / "benchmarks" / "results" / name
    place.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    place.with_suffix(".md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
