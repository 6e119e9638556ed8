"""No knob: `bertune train` without a setting, beside the earlier default, `stable` and transformers' Trainer.

    python -m benchmarks.recipes --data DIR --seeds 5 --systems auto default stable trainer --out NAME

| system | what it is |
|---|---|
| auto | `bertune train`, no setting of training |
| default | the default of 0.1: the lesson at 5e-5, 3 epochs, batch 32, adamw, one rate for all layers, [CLS] |
| stable | `--recipe stable` |
| trainer | transformers' Trainer at its defaults, but as many steps as fit into the time that auto took |

bertune runs from its command line and the Trainer in `.venv-transformers`, each run in a new process of one thread, all
on the same CSV files (`task_tables`), which are kept in `--tables`. The time of auto is that from the first step to the
last evaluation, evaluations included; the Trainer trains that long without any, give or take a tenth, and is scored
once at the end (see `trainer_worker`). On a machine that does other work too, `--clock processor` counts the
processor's time instead: for bertune its seconds by the share of the processor that its whole process had. bertune
keeps its best epoch by the validation rows, the Trainer its last. Test rows choose nothing.

NAME.jsonl gets a line a run as it ends; started again, what has a line is not repeated. NAME.json and NAME.md are
written again after each. Seeds are outermost, so that a stop in the middle leaves every task with as many seeds as the
others. A seed's systems of one task run one after the other, so `trainer` finds auto's time; `--jobs 2` runs two tasks
at a time.
"""

import argparse
import json
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.intervals import Mean, mean_of, paired
from benchmarks.job import Job, read_answer, write_job
from benchmarks.machine import machine, versions
from benchmarks.processes import JobError, own_variables, run_command, run_groups, run_worker
from benchmarks.task_tables import TASKS, TaskTable, make_table
from bertune.errors import DivergedError
from bertune.evaluation.metrics import compute_metrics
from bertune.fetch.resolve import DEFAULT_MODEL, resolve_model
from bertune.system.atomic import write_text

AUTO: Final = "auto"
TRAINER: Final = "trainer"
OWN: Final[dict[str, str]] = {
    AUTO: "",
    "default": "--recipe lesson --learning-rate 5e-5 --epochs 3 --batch-size 32 --optimizer adamw --layer-decay 1 "
    "--pooling cls",
    "stable": "--recipe stable",
}
SYSTEMS: Final = (*OWN, TRAINER)
# A spread of the answers below this share of the targets' is none, as for bertune's own `is_majority`.
COLLAPSED_SPREAD: Final = 0.01

Run = dict[str, Any]
"""One line of NAME.jsonl."""


class Queue:
    """Trains what has not been trained, and keeps each run as a line.

    Args:
        tables: of the tasks, by name.
        options: of the command line.
    """

    def __init__(self, tables: dict[str, TaskTable], options: argparse.Namespace) -> None:
        self._tables = tables
        self._encoder, self._threads, self._clock = options.encoder, options.threads, options.clock
        self._out, self._work = options.out, options.work
        self._lock = threading.Lock()
        for folder in (self._out.parent, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        self._lines = self._out.with_name(f"{self._out.name}.jsonl")
        self.runs = read_runs(self._lines)
        others = {run["encoder"] for run in self.runs} - {self._encoder}
        if others:
            raise SystemExit(f"{self._lines} has runs of another encoder: {', '.join(sorted(others))}")
        if any(run.get("clock", self._clock) != self._clock for run in self.runs):
            raise SystemExit(f"{self._lines} has runs of the Trainer with another --clock than {self._clock}")

    def run(self, seed: int, task: str, systems: Iterable[str]) -> None:
        """Trains a seed of a task by each system that has not done so.

        Raises:
            JobError: a run failed otherwise than by diverging.
        """
        for system in systems:
            if self._found(system, task, seed) is None:
                run = self._trainer(task, seed) if system == TRAINER else self._bertune(system, task, seed)
                self._keep({"system": system, "task": task, "seed": seed, "encoder": self._encoder, **run})

    def _found(self, system: str, task: str, seed: int) -> Run | None:
        wanted = (system, task, seed)
        return next((run for run in self.runs if (run["system"], run["task"], run["seed"]) == wanted), None)

    def _keep(self, run: Run) -> None:
        with self._lock:
            self.runs.append(run)
            with self._lines.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(run) + "\n")
            self.write()
            print(f"seed {run['seed']}  {run['task']}  {run['system']}: {told(run)}", flush=True)

    def write(self) -> None:
        """Writes NAME.json and NAME.md."""
        results: dict[str, Any] = {"machine": machine() | {"threads": self._threads}, "summary": summarize(self.runs)}
        results["versions"] = versions("bertune", "tokenizers") | _versions_of(self.runs)
        results |= {"encoder": self._encoder, "clock": self._clock, "runs": self.runs}
        write_text(self._out.with_name(f"{self._out.name}.json"), json.dumps(results, indent=2) + "\n")
        write_text(self._out.with_name(f"{self._out.name}.md"), page(results))

    def _log(self, system: str, task: str, seed: int) -> Path:
        return self._work / f"{task.replace(':', '-')}_{system}_{seed}"

    def _bertune(self, system: str, task: str, seed: int) -> Run:
        table = self._tables[task]
        log = self._log(system, task, seed)
        bertune = [sys.executable, "-m", "bertune"]
        variables = own_variables(self._threads)
        data = ["--data", str(table.folder.resolve())]
        with tempfile.TemporaryDirectory(dir=self._work.resolve()) as folder:
            run = Path(folder) / "run"
            where = [*data, *table.flags(), "--model", self._encoder, "--out", str(run)]
            to_train = [*bertune, "train", *where, "--seed", str(seed), *OWN[system].split(), "--json"]
            try:
                done = run_command(to_train, variables=variables, log=log.with_suffix(".log"))
            except JobError as error:
                if error.code != DivergedError.exit_code:
                    raise
                return {"diverged": True, "collapsed": True, "validation": None, "test": None}
            trained = json.loads(done.output)
            to_score = [*bertune, "evaluate", str(run), *data, "--split", "test", "--json"]
            scored = json.loads(run_command(to_score, variables=variables).output)["scores"]
            journal = (run / "metrics.jsonl").read_text("utf-8")
            settings = tomllib.loads((run / "run.toml").read_text("utf-8"))["train"]
        log.with_suffix(".jsonl").write_text(journal, encoding="utf-8")
        return {
            "diverged": False,
            "collapsed": bool(trained["validation"]["is_majority"]),
            "metric": table.metric,
            "validation": trained["validation"]["metrics"][table.metric]["value"],
            "test": scored["metrics"][table.metric]["value"],
            "best_epoch": trained["best_epoch"],
            "processor_share": done.processor_share,
            **facts_of_journal([json.loads(line) for line in journal.splitlines()]),
            # Without where it lay: that is another place on every machine.
            "settings": {name: value for name, value in settings.items() if name not in ("data", "out", "model")},
        }

    def _trainer(self, task: str, seed: int) -> Run:
        auto = self._found(AUTO, task, seed)
        if auto is None or auto["diverged"]:
            raise JobError([TRAINER], 1, f"{task}, seed {seed}: no time of auto to be given; run --systems auto first")
        table = self._tables[task]
        job = Job(
            model=str(resolve_model(self._encoder)),
            tables={split: str(table.file(split)) for split in ("train", "validation", "test")},
            text_columns=list(table.text_columns),
            target_column=table.target_column,
            labels=table.labels(),
            seed=seed,
            budget_seconds=auto["seconds"] * (1 if self._clock == "wall" else auto["processor_share"]),
            clock=self._clock,
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_job(folder, job)
            run_worker("transformers", "trainer_worker", folder, threads=self._threads)
            answer, logits = read_answer(folder)
        scores = {}
        for split, found in (("validation", logits["validation"][-1]), ("test", logits["test"])):
            answers = found[:, 0] if table.is_regression else found.argmax(axis=1)
            targets = np.array(job.rows(split).targets)
            scores[split] = compute_metrics([table.metric], answers, targets)[table.metric]
            if split == "validation":
                scores["collapsed"] = is_collapsed(answers, targets, is_regression=table.is_regression)
        steps = len(answer["losses"])
        return {
            "diverged": False,
            "metric": table.metric,
            **scores,
            "steps": steps,
            "planned_steps": answer["planned_steps"],
            "seconds": answer["seconds"],
            "budget_seconds": job.budget_seconds,
            "clock": self._clock,
            "is_second": answer["is_second"],
            "rate": max(answer["rates"]),
            "batch_size": answer["batch_size"],
            "epochs": answer["planned_steps"] * answer["batch_size"] / answer["train_rows"],
            "versions": answer["versions"],
        }


def is_collapsed(answers: Any, targets: Any, *, is_regression: bool) -> bool:
    """Says whether all rows are given the same answer though their targets differ, as bertune's `is_majority` does."""
    if is_regression:
        return bool(targets.std() > 0 and answers.std() <= COLLAPSED_SPREAD * targets.std())
    return bool((answers == answers[0]).all() and (targets != targets[0]).any())


def facts_of_journal(lines: list[dict[str, Any]]) -> Run:
    """Returns what a run's `metrics.jsonl` says of rate, epochs, batch, steps and time.

    Epochs are those that were planned; `seconds` go from before the first step to the end of the last evaluation.
    """
    start = next(line for line in lines if line["event"] == "start")
    steps = [line for line in lines if line["event"] == "step"]
    epochs = [line for line in lines if line["event"] == "epoch"]
    return {
        "steps": len(steps),
        "planned_steps": start["total_steps"],
        "seconds": epochs[-1]["seconds"],
        "train_seconds": sum(epoch["train_seconds"] for epoch in epochs),
        "rate": max(step["learning_rate"] for step in steps),
        "batch_size": max(step["examples"] for step in steps),
        "epochs": start["total_steps"] / start["steps_per_epoch"],
        "precision": start["precision"],
    }


def read_runs(file: Path) -> list[Run]:
    """Reads the lines of the runs that are done; a last line that was cut off is dropped, and its run repeated."""
    if not file.is_file():
        return []
    text = file.read_text("utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(file, whole)
    return [json.loads(line) for line in whole.splitlines()]


def summarize(runs: Iterable[Run]) -> dict[str, Any]:
    """Returns, by task: each system's means over its seeds, and auto less each other over the seeds that both have.

    A run that diverged counts as collapsed; it has no score, so the means and differences are without it.
    """
    summary: dict[str, Any] = {}
    for run in runs:
        systems = summary.setdefault(run["task"], {"systems": {}, "differences": {}})["systems"]
        systems.setdefault(run["system"], {"runs": []})["runs"].append(run)
    for of_task in summary.values():
        systems = of_task["systems"]
        scores = {
            split: {
                system: {str(run["seed"]): run[split] for run in found["runs"] if run[split] is not None}
                for system, found in systems.items()
            }
            for split in ("validation", "test")
        }
        for system in systems:
            systems[system] = _summary_of(systems[system]["runs"], *(scores[split][system] for split in scores))
        for system in systems:
            if system != AUTO and AUTO in systems:
                found = {split: paired(scores[split][AUTO], scores[split][system]) for split in scores}
                of_task["differences"][system] = {
                    split: None if mean is None else mean.to_dict() for split, mean in found.items()
                }
    return summary


def _summary_of(runs: list[Run], validation: dict[str, float], test: dict[str, float]) -> dict[str, Any]:
    known = [run for run in runs if not run["diverged"]]
    return {
        "seeds": len(runs),
        "metric": known[0]["metric"] if known else None,
        "validation": mean_of(list(validation.values())).to_dict() if validation else None,
        "test": mean_of(list(test.values())).to_dict() if test else None,
        "collapsed": sum(run["collapsed"] for run in runs),
        "diverged": len(runs) - len(known),
        **{name: _middle(run[name] for run in known) for name in ("steps", "seconds")},
        "chosen": sorted({_chosen(run) for run in known}),
    }


def _middle(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.median(found)) if found else None


def _chosen(run: Run) -> str:
    return f"{run['rate']:.1e}, {run['epochs']:.3g} epochs, batch {run['batch_size']}"


def _versions_of(runs: Iterable[Run]) -> dict[str, str]:
    found: dict[str, str] = {}
    for run in runs:
        found |= run.get("versions", {})
    return found


def told(run: Run) -> str:
    """Returns a run in a line."""
    if run["diverged"]:
        return "diverged"
    return (
        f"{run['metric']} validation {run['validation']:.2%}, test {run['test']:.2%}, {run['steps']} steps, "
        f"{run['seconds']:.0f} s, {_chosen(run)}{', collapsed' if run['collapsed'] else ''}"
    )


def page(results: dict[str, Any]) -> str:
    """Writes the result file: the systems of each task, and auto's differences from the others."""
    known = {name: place for place, name in enumerate(TASKS)}
    tasks = sorted(results["summary"].items(), key=lambda item: (known.get(item[0], len(known)), item[0]))
    lines = [
        "# No knob: `bertune train` beside its earlier default, `stable` and the Trainer",
        "",
        "| task | system | seeds | metric | test: mean (95 % interval) | sd | lowest | validation: mean | sd | "
        "collapsed | steps | seconds | peak rate, epochs, batch |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task, of_task in tasks:
        for system in sorted(of_task["systems"], key=SYSTEMS.index):
            lines.append(f"| {task} | {system} | {_cells(of_task['systems'][system])} |")
    lines += [
        "",
        "| task | auto less | test: points | 95 % interval | auto is | validation: points | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, of_task in tasks:
        for system in sorted(of_task["differences"], key=SYSTEMS.index):
            cells = [_difference(of_task["differences"][system][split]) for split in ("test", "validation")]
            side = _side(of_task["differences"][system]["test"])
            lines.append(f"| {task} | {system} | {cells[0]} | {side} | {cells[1]} |")
    facts = {name: results[name] for name in ("encoder", "clock")} | results["machine"] | results["versions"]
    return "\n".join(
        [
            *lines,
            "",
            "Intervals are Student's t over the seeds, of the differences paired by seed; `neither` means that the "
            "interval of the difference on test holds 0. Test rows chose nothing. bertune keeps its best epoch by the "
            "validation rows, so its validation score is that of what was chosen by them; the Trainer keeps its last. "
            "The Trainer has its own defaults and as many steps as fit into the time that auto took for the seed. "
            "Steps and seconds are medians. STS-B's metric is Spearman's correlation, times 100.",
            "",
            ", ".join(f"{name} {value}" for name, value in facts.items()) + ".",
            "",
        ]
    )


def _cells(found: dict[str, Any]) -> str:
    diverged = f" ({found['diverged']} diverged)" if found["diverged"] else ""
    if found["test"] is None:
        return f"{found['seeds']} |  |  |  |  |  |  | {found['collapsed']}{diverged} |  |  | "
    test, validation = Mean(**found["test"]), Mean(**found["validation"])
    interval = "" if test.low is None else f" ({100 * test.low:.2f} to {100 * test.high:.2f})"  # type: ignore[operator]
    deviations = ["" if mean.deviation is None else f"{100 * mean.deviation:.2f}" for mean in (test, validation)]
    return (
        f"{found['seeds']} | {found['metric']} | {100 * test.mean:.2f}{interval} | {deviations[0]} | "
        f"{100 * test.least:.2f} | {100 * validation.mean:.2f} | {deviations[1]} | {found['collapsed']}{diverged} | "
        f"{found['steps']:.0f} | {found['seconds']:.0f} | {'; '.join(found['chosen'])}"
    )


def _difference(found: dict[str, Any] | None) -> str:
    if found is None:
        return " | "
    mean = Mean(**found)
    if mean.low is None or mean.high is None:
        return f"{100 * mean.mean:+.2f} | "
    return f"{100 * mean.mean:+.2f} | {100 * mean.low:+.2f} to {100 * mean.high:+.2f}"


def _side(found: dict[str, Any] | None) -> str:
    return "" if found is None else Mean(**found).side


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with GLUE's original files")
    parser.add_argument("--encoder", default=DEFAULT_MODEL)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--jobs", type=int, default=1, help="tasks trained at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall", help="of the Trainer's time")
    parser.add_argument("--tables", type=Path, default=Path("runs/recipes-data"), help="where CSV files are kept")
    parser.add_argument("--work", type=Path, default=Path("runs/recipes"), help="for logs and journals")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        tables = {task: make_table(task, options.data, options.tables.resolve()) for task in options.tasks}
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    queue = Queue(tables, options)
    # Auto first: its time is the Trainer's budget.
    systems = [system for system in SYSTEMS if system in options.systems]
    groups = [(seed, task) for seed in range(1, options.seeds + 1) for task in options.tasks]
    failed = run_groups(groups, lambda group: queue.run(*group, systems), at_a_time=options.jobs)
    if queue.runs:
        queue.write()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
