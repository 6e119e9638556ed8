"""Distillation: a 3-layer cut of a 6-layer run, with its teacher and without, on SST-2; paired seeds.

    python -m benchmarks.distilling --data DIR --seeds 5 --learning-rate 3e-4 --out benchmarks/results/NAME.jsonl
    python -m benchmarks.distilling --data DIR --choose --out benchmarks/results/NAME.jsonl

DIR holds SST-2's original `train.tsv` and `dev.tsv`. Of the training rows a fixed draw is given labels, and another one
none; the teacher is the default encoder trained on the first. Every student starts from the same layers of the teacher
and takes as many steps of as many rows, in the same settings: `alone` sees the rows with labels several times, `taught`
sees these and the ones without labels once. Nothing is chosen: the last weights are scored on the rows of `dev.tsv`.

`--choose` trains one seed, which is none of the others, with several temperatures and weights of the teacher, and
scores on training rows that nobody is trained on. Writes a line after each run; started again, it does what is missing.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import machine
from bertune.fetch.resolve import DEFAULT_MODEL
from bertune.training.config import TrainingConfig
from bertune.training.prepare import PreparedRun, prepare, with_seed
from bertune.training.run import FinishedRun, execute
from bertune.training.run_settings import RunSettings

BATCH: Final = 32
CHOOSING_SEED: Final = 1001
# Temperature and weight of the teacher.
GRID: Final = ((1.0, 0.9), (2.0, 0.9), (4.0, 0.9), (2.0, 0.5), (2.0, 1.0))


def write_tables(data: Path, work: Path, rows: argparse.Namespace) -> None:
    """Writes the rows with labels, those without, and those that defaults are chosen on: a fixed draw of each."""
    header, *lines = (data / "train.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")
    order = np.random.default_rng(0).permutation(len(lines))
    first, second = rows.labelled, rows.labelled + rows.unlabelled

    def write(name: str, head: str, numbers: NDArray[Any], *, labels: bool) -> None:
        chosen = [lines[number] if labels else lines[number].rpartition("\t")[0] for number in sorted(numbers)]
        (work / name).write_text("\n".join([head, *chosen]) + "\n", encoding="utf-8")

    write("labelled.tsv", header, order[:first], labels=True)
    write("unlabelled.tsv", "sentence", order[first:second], labels=False)
    write("choosing.tsv", header, order[second : second + rows.choosing], labels=True)


class Students:
    """Trains students of one teacher; what all of them share is prepared once."""

    def __init__(self, data: Path, work: Path, rows: argparse.Namespace) -> None:
        self.work = work
        common: dict[str, Any] = {
            "data": str(work / "labelled.tsv"),
            "text_a": "sentence",
            "label": "label",
            "validation": "none",
            "max_length": 64,
            "skip_probe": True,
        }
        common["test"] = str(work / "choosing.tsv" if rows.choose else data / "dev.tsv")
        teacher = work / "teacher"
        if not (teacher / "scores.json").is_file():
            settings = RunSettings(**common, model=DEFAULT_MODEL, out=teacher, overwrite=True)
            execute(prepare(settings, TrainingConfig(batch_size=BATCH, epochs=4), say=print), say=print)
        self.rate: float | None = rows.learning_rate
        self.epochs = -(-(rows.labelled + rows.unlabelled) // rows.labelled)
        self.settings = RunSettings(**common, model=str(teacher), keep_layers=rows.keep_layers, out=work / "student")
        self.teacher, self.unlabelled = str(teacher), str(work / "unlabelled.tsv")
        self.prepared: dict[tuple[float, float] | None, PreparedRun] = {}

    def train(self, seed: int, how: tuple[float, float] | None) -> FinishedRun:
        """Trains a student: with temperature and weight of the teacher, or with None alone."""
        if how not in self.prepared:
            settings = self.settings
            config = TrainingConfig(batch_size=BATCH, epochs=self.epochs, learning_rate=self.rate)
            if how is not None:
                taught = replace(settings, teacher=self.teacher, unlabelled=(self.unlabelled,))
                settings = replace(taught, temperature=how[0], mix=how[1])
                config = replace(config, epochs=1)
            run = prepare(replace(settings, overwrite=True), config, say=print)
            if run.teaching is not None:
                run = replace(run, teaching=replace(run.teaching, cache=self.work))
            self.prepared[how] = run
        shutil.rmtree(self.work / "student", ignore_errors=True)
        run = with_seed(self.prepared[how], seed, self.work / "student")
        if run.teaching is not None and seed not in (1, CHOOSING_SEED):  # once is enough
            run = replace(run, teaching=replace(run.teaching, compared=None))
        return execute(run, say=print)


def line_of(finished: FinishedRun, seed: int, how: tuple[float, float] | None, *, chosen_on: bool) -> dict[str, Any]:
    """Returns what is kept of a run."""
    steps = finished.history.steps
    values: dict[str, Any] = {
        "student": "alone" if how is None else "taught",
        "seed": seed,
        "rows": "choosing.tsv" if chosen_on else "dev.tsv",
        "accuracy": finished.also["test"].values["accuracy"],
        "steps": len(steps),
        "examples": sum(step.examples for step in steps),
        "train_seconds": sum(epoch.train_seconds for epoch in finished.history.epochs),
    }
    if how is not None:
        values |= {"temperature": how[0], "mix": how[1]}
    if finished.teacher is not None:
        beside = finished.teacher
        values |= {
            "teacher_accuracy": beside.teacher.values["accuracy"],
            "agreement": beside.agreement,
            "student_rows_per_second": beside.student_rate,
            "teacher_rows_per_second": beside.teacher_rate,
        }
    return values


def main() -> None:
    """Trains what is missing and writes a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder of SST-2")
    parser.add_argument("--out", required=True, type=Path, help="JSON Lines, a line for each run")
    parser.add_argument("--work", type=Path, default=Path("build/distilling"), help="tables, teacher, its answers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labelled", type=int, default=2_000)
    parser.add_argument("--unlabelled", type=int, default=14_000)
    parser.add_argument("--choosing", type=int, default=2_000)
    parser.add_argument("--keep-layers", default="0,2,4")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--mix", type=float, default=0.9)
    parser.add_argument("--learning-rate", type=float, help="of all students; by default the recipe's")
    parser.add_argument("--choose", action="store_true")
    rows = parser.parse_args()
    rows.work.mkdir(parents=True, exist_ok=True)
    write_tables(rows.data, rows.work, rows)
    students = Students(rows.data, rows.work, rows)
    usual = (rows.temperature, rows.mix)
    wanted: list[tuple[int, tuple[float, float] | None]] = [
        (seed, how) for seed in range(1, rows.seeds + 1) for how in (None, usual)
    ]
    if rows.choose:
        wanted = [(CHOOSING_SEED, how) for how in (*GRID, None)]
    done = [json.loads(line) for line in rows.out.read_text().splitlines()] if rows.out.is_file() else []
    keys = {(line["seed"], (line["temperature"], line["mix"]) if "mix" in line else None) for line in done}
    for seed, how in wanted:
        if (seed, how) in keys:
            continue
        line = line_of(students.train(seed, how), seed, how, chosen_on=rows.choose)
        context = {
            "keep_layers": rows.keep_layers,
            "learning_rate": rows.learning_rate,
            "machine": machine(),
            "threads": torch.get_num_threads(),
        }
        with rows.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line | context) + "\n")


if __name__ == "__main__":
    main()
