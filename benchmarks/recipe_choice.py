"""What the entries of recipe `auto` were chosen by: rates, layer-wise decay and pooling on small tables.

    python -m benchmarks.recipe_choice --data DIR --out NAME

Trains all-MiniLM-L6-v2 on five small tables (300 and 1,000 rows of SST-2, 1,000 of MRPC, the demo's questions, the
messages in `benchmarks/data`) at each setting, in batches of 16 for 300 steps, and scores the validation rows six times
on the way; the best of the six counts, on equal accuracy the one with the lower loss. Test rows are not opened, and the
seeds (11, 12) are none of those that `benchmarks.recipes` reports. Each run takes one to five minutes of one core;
NAME.jsonl gets a line a run, and started again, what has a line is not repeated. NAME.md has the table, and for each
table which rate the other four would have chosen, so that one fitted to a single set would show.

DIR holds the original files of GLUE, MRPC and SST-2.
"""

import argparse
import json
import statistics
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import machine, versions
from bertune.batches.dataset import Dataset
from bertune.cli.terminal import keep_quiet
from bertune.models.classifier import Classifier
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.loop import fit
from bertune.training.objective import Objective
from bertune.training.prepare import PreparedRun, prepare, with_seed
from bertune.training.run_settings import RunSettings

STEPS: Final = 300
BATCH: Final = 16
EVALUATIONS: Final = 6
HERE: Final = Path(__file__).parent
TABLES: Final = ("sst2:300", "sst2:1000", "mrpc:1000", "demo", "messages")
Setting = tuple[float, float, str]
"""Peak rate, layer-wise decay, pooling."""
USUAL: Final[tuple[Setting, ...]] = ((1e-4, 0.9, "cls"), (2e-4, 0.9, "cls"), (3e-4, 0.9, "cls"))
MORE: Final[tuple[Setting, ...]] = ((1e-4, 0.9, "mean"), (1e-4, 1.0, "cls"))


class BestOfSix(Callback):
    """Scores the validation rows at a sixth, two sixths, … of the epochs; an `Observer` of `fit`."""

    def __init__(self, classifier: Classifier, validation: Dataset, objective: Objective, epochs: int) -> None:
        self._classifier, self._validation, self._objective = classifier, validation, objective
        self._when = {max(1, round(epochs * part / EVALUATIONS)) for part in range(1, EVALUATIONS + 1)}
        self.found: list[tuple[int, float, float]] = []

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Does nothing."""

    def on_step(self, result: Any) -> None:
        """Does nothing."""

    def on_epoch(self, result: Any) -> None:
        """Scores, where it is time."""
        if result.epoch in self._when:
            scores, _ = self._objective.score(self._classifier, self._validation, None)
            self.found.append((result.epoch, scores.chosen_value, scores.mean_loss))


@cache
def prepared(name: str, data: Path, pooling: str) -> PreparedRun:
    """Reads and encodes the whole data set of a table."""
    columns: dict[str, Any]
    if name in ("mrpc", "sst2"):
        columns = {"data": str(data / {"mrpc": "MRPC", "sst2": "SST-2"}[name]), "task": name}
    elif name == "demo":
        folder = HERE.parent / "examples" / "data"
        columns = {"data": str(folder), "text_a": "question1", "text_b": "question2", "label": "label"}
    else:
        columns = {"data": str(HERE / "data" / "messages"), "text_a": "text", "label": "label"}
    settings = RunSettings(out=Path("runs/recipe-choice"), pooling=pooling, **columns)  # type: ignore[arg-type]
    return prepare(settings, TrainingConfig(), say=keep_quiet)


def rows_of(table: str, run: PreparedRun) -> tuple[Dataset, Dataset]:
    """Returns training and validation rows; those of SST-2 are both drawn from its training rows."""
    name, _, count = table.partition(":")
    train, validation = run.train, run.validation
    assert validation is not None
    if count:
        drawn = np.random.default_rng(7).permutation(len(train))
        if name == "sst2":
            validation = taken(train, drawn[-500:])
        train = taken(train, drawn[: int(count)])
    return train, validation


def taken(data: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Returns some rows of a data set."""
    assert data.targets is not None
    return Dataset(data.encoded.take(rows), data.targets[rows])


def measure(table: str, setting: Setting, seed: int, data: Path) -> dict[str, Any]:
    """Trains one run and returns what became of it."""
    rate, decay, pooling = setting
    run = with_seed(prepared(table.partition(":")[0], data, pooling), seed, Path("runs/recipe-choice"))
    train, validation = rows_of(table, run)
    epochs = max(1, round(STEPS / -(-len(train) // BATCH)))
    objective = Objective.of(run.signature)
    best = BestOfSix(run.classifier, objective.checked(validation, "validation", run.classifier), objective, epochs)
    config = TrainingConfig(epochs=epochs, batch_size=BATCH, learning_rate=rate, layer_decay=decay, seed=seed)
    started = time.perf_counter()
    fit(run.classifier, train, config=config, kind=objective.kind, metrics=objective.metrics, callbacks=[best])
    seconds = time.perf_counter() - started
    epoch, accuracy, loss = max(best.found, key=lambda each: (each[1], -each[2]))
    about = {"table": table, "rate": rate, "decay": decay, "pooling": pooling, "seed": seed}
    return about | {"accuracy": accuracy, "loss": loss, "epoch": epoch, "epochs": epochs, "seconds": round(seconds, 1)}


def page(runs: list[dict[str, Any]]) -> str:
    """Returns the table of all settings, and what each table would have been given by the others."""
    settings = [setting for setting in (*USUAL, *MORE) if any(of(run) == setting for run in runs)]
    found = {
        (table, setting): [run["accuracy"] for run in runs if run["table"] == table and of(run) == setting]
        for table in TABLES
        for setting in settings
    }
    lines = [
        "# Settings on small tables: validation accuracy",
        "",
        f"all-MiniLM-L6-v2, batches of {BATCH}, {STEPS} steps, best of {EVALUATIONS} evaluations; mean over so many "
        "seeds. Test rows were not opened. What has a dash was not run.",
        "",
        "| rate, layer decay, pooling | " + " | ".join(TABLES) + " |",
        "|---" * (len(TABLES) + 1) + "|",
    ]
    for setting in settings:
        cells = [shown(found[table, setting]) for table in TABLES]
        lines.append(f"| {setting[0]:g}, {setting[1]:g}, {setting[2]} | {' | '.join(cells)} |")
    lines += [
        "",
        "Leaving one table out: the rate with the best mean over the other four, of 1e-4 and 2e-4 (which all have), "
        "and how it does on the one left out.",
        "",
        "| left out | chosen by the others | accuracy with it | with the other rate |",
        "|---|---|---|---|",
    ]
    low, high = USUAL[0], USUAL[1]
    for table in TABLES:
        others = [each for each in TABLES if each != table]
        means = {s: statistics.fmean(statistics.fmean(found[each, s]) for each in others) for s in (low, high)}
        chosen, other = (low, high) if means[low] >= means[high] else (high, low)
        lines.append(f"| {table} | {chosen[0]:g} | {shown(found[table, chosen])} | {shown(found[table, other])} |")
    about = machine() | versions("bertune", "torch", "tokenizers")
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""])


def of(run: dict[str, Any]) -> Setting:
    """Returns the setting of a run."""
    return run["rate"], run["decay"], run["pooling"]


def shown(values: list[float]) -> str:
    """Returns a mean and how many seeds it is of."""
    return f"{100 * statistics.fmean(values):.1f} % ({len(values)})" if values else "-"


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12], help="none: the page alone")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    journal = options.out.with_suffix(".jsonl")
    runs = [json.loads(line) for line in journal.read_text().splitlines()] if journal.is_file() else []
    done = {(run["table"], of(run), run["seed"]) for run in runs}
    wanted = [(t, s, seed) for seed in options.seeds for s in (*USUAL, *MORE) for t in TABLES]
    for table, setting, seed in wanted:
        if (table, setting, seed) not in done:
            runs.append(measure(table, setting, seed, options.data))
            with journal.open("a") as stream:
                stream.write(json.dumps(runs[-1]) + "\n")
            options.out.with_suffix(".md").write_text(page(runs))
    options.out.with_suffix(".md").write_text(page(runs))


if __name__ == "__main__":
    main()
