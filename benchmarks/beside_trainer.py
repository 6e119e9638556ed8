"""bertune's `fit` beside transformers' Trainer with the same numbers given: `paired_seeds --against transformers`.

Both start from one folder of weights, head included, read the same rows in the same order, and have the same rate,
schedule, batches, weight decay, clip and dropout rate, in fp32. What differs: the draws of dropout, and the order of
additions. Each run is a process of its own.
"""

import argparse
import json
import shutil
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import Mean, mean_of, paired
from benchmarks.job import Job, read_answer, write_job
from benchmarks.machine import machine
from benchmarks.processes import JobError, run_groups, run_worker
from benchmarks.speed.workload import cross_entropy
from benchmarks.task_tables import drawn_rows, write_table
from bertune import BertConfig, BertTokenizer, ModelSignature, classifier_model, resolve_model, restore, save
from bertune.batches.sampler import epoch_order, steps_in_epoch
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.fetch.resolve import DEFAULT_MODEL
from bertune.system.atomic import write_text

OURS: Final = "bertune"
PEER: Final = "Trainer"
MEASURES: Final = {
    "training loss, all steps": "loss",
    "training loss, last epoch": "loss",
    "validation loss, last epoch": "loss",
    "validation loss, best epoch": "loss",
    "validation accuracy, last epoch": "share",
    "validation accuracy, best epoch": "share",
}
# Float32 sums in another order; a head or an encoder that is not the same is off in the second digit.
SAME_LOSS: Final = 1e-4


@dataclass(frozen=True)
class Settings:
    """What both systems are given.

    Args:
        task: mrpc or sst2.
        learning_rate: the peak.
        epochs: of training.
        batch_size: examples of a step.
        warmup_fraction: share of the steps over which the rate rises.
        weight_decay: of all but norms and biases.
        max_gradient_norm: of all gradients together.
        max_length: tokens of an example.
    """

    task: str
    learning_rate: float
    epochs: int
    batch_size: int = 32
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    max_length: int = 128

    def ours(self) -> dict[str, Any]:
        """The fields of `TrainingConfig`."""
        names = ("learning_rate", "epochs", "batch_size", "warmup_fraction", "weight_decay", "max_gradient_norm")
        return {name: getattr(self, name) for name in names} | {
            "optimizer": "adamw_torch",
            "layer_decay": 1.0,
            "precision": "fp32",
        }

    def peers(self, rows: int) -> dict[str, Any]:
        """The same as `TrainingArguments`, for a number of training rows."""
        steps = self.epochs * steps_in_epoch(rows, self.batch_size)
        return {
            "num_train_epochs": self.epochs,
            "per_device_train_batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "warmup_steps": int(steps * self.warmup_fraction),
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_gradient_norm,
            "optim": "adamw_torch",
            "adam_beta1": 0.9,
            "adam_beta2": 0.999,
            "adam_epsilon": 1e-8,
            "lr_scheduler_type": "linear",
            "bf16": False,
            "eval_strategy": "epoch",
        }


class Comparison:
    """The runs of all seeds and numbers of rows, kept in a file.

    Args:
        settings: of both systems.
        data: a folder with the task's original files.
        encoder: whose weights both begin with.
        file: `NAME.json`; one that is there is continued.
        threads: of each run.
        drops: whether there is dropout, whose draws are each system's own.
    """

    def __init__(
        self, settings: Settings, data: str, encoder: str, file: Path, threads: int, *, drops: bool = True
    ) -> None:
        self._settings = settings
        self._drops = drops
        self._encoder = resolve_model(encoder)
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._threads = threads
        self._lock = threading.Lock()
        task = glue_task(settings.task)
        assert task.labels is not None
        self._labels = list(task.labels.names)
        found = find_splits(data, task)
        self._train, self._validation = (read_split(found[name]) for name in ("train", "validation"))
        about = vars(settings) | {"encoder": encoder, "threads": threads} | ({} if drops else {"dropout": 0.0})
        self._results: dict[str, Any] = {"settings": about, "machine": machine(), "runs": {}}
        if file.is_file():
            self._results = json.loads(file.read_text("utf-8"))
            if self._results["settings"] != about:
                raise SystemExit(f"{file} was made with other settings: {self._results['settings']}")

    def rows_known(self, wanted: int) -> None:
        """Refuses more rows than there are, before anything is trained."""
        drawn_rows(len(self._train), wanted)

    def run(self, rows: int, seed: int, systems: list[str]) -> None:
        """Trains what is missing of a seed with a number of training rows.

        Raises:
            JobError: a run failed.
        """
        missing = [system for system in systems if str(seed) not in self._runs(rows, system)]
        if not missing:
            return
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            order = self._write_inputs(folder, rows, seed)
            for system in missing:
                run = self._trained(system, folder, rows, seed, order)
                self._keep(rows, system, seed, run)

    def _write_inputs(self, folder: Path, rows: int, seed: int) -> NDArray[np.int64]:
        """Writes tables and first weights, and returns the (epochs, rows) order of the examples."""
        write_table(folder / "train.csv", self._train.select(drawn_rows(len(self._train), rows).tolist()))
        write_table(folder / "validation.csv", self._validation)
        config = BertConfig.from_json_file(self._encoder / "config.json")
        if not self._drops:
            config = replace(config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        # The head that `bertune train --seed` draws.
        classifier, encoder = classifier_model(config, len(self._labels), seed=seed)
        restore(encoder, self._encoder).assert_consumed()
        is_pair = self._train.texts_b is not None
        signature = ModelSignature(tuple(self._labels), is_pair=is_pair, max_length=self._settings.max_length)
        tokenizer = BertTokenizer.from_directory(self._encoder)
        save(classifier, folder / "model", tokenizer=tokenizer, signature=signature)
        return np.stack([epoch_order(rows, seed=seed, epoch=epoch) for epoch in range(self._settings.epochs)])

    def _trained(self, system: str, folder: Path, rows: int, seed: int, order: NDArray[np.int64]) -> dict[str, Any]:
        work = folder / system
        work.mkdir()
        is_ours = system == OURS
        texts = ["text_a"] if self._train.texts_b is None else ["text_a", "text_b"]
        job = Job(
            model=str(folder / "model"),
            tables={split: str(folder / f"{split}.csv") for split in ("train", "validation")},
            text_columns=texts,
            target_column="label",
            labels=self._labels,
            seed=seed,
            max_length=self._settings.max_length,
            settings=self._settings.ours() if is_ours else self._settings.peers(rows),
        )
        write_job(work, job, order)
        if is_ours:
            run_worker("own", "fit_worker", work, threads=self._threads)
        else:
            run_worker("transformers", "trainer_worker", work, threads=self._threads)
        answer, logits = read_answer(work)
        targets = np.array(job.rows("validation").targets)
        shutil.rmtree(work)
        return measured(answer, logits["validation"], targets, self._settings.epochs)

    def _runs(self, rows: int, system: str) -> dict[str, Any]:
        runs: dict[str, Any] = self._results["runs"].setdefault(str(rows), {}).setdefault(system, {})
        return runs

    def _keep(self, rows: int, system: str, seed: int, run: dict[str, Any]) -> None:
        with self._lock:
            other = self._runs(rows, PEER if system == OURS else OURS).get(str(seed))
            if other is not None:
                check_same_start(run, other)
            self._results["versions"] = self._results.get("versions", {}) | run.pop("versions")
            self._runs(rows, system)[str(seed)] = run
            self._results["summary"] = summarize(self._results["runs"])
            write_text(self._file, json.dumps(self._results, indent=2) + "\n")
            if self._results["summary"]:
                write_text(self._file.with_suffix(".md"), page(self._results))
            print(
                f"{rows} rows, seed {seed}, {system}: training loss {run['training loss, all steps']:.4f}, validation "
                f"accuracy {run['validation accuracy, last epoch']:.2%}, {run['seconds']:.0f} s",
                flush=True,
            )


def measured(answer: dict[str, Any], logits: NDArray[np.float32], targets: NDArray[Any], epochs: int) -> dict[str, Any]:
    """Returns the measures of a run.

    Args:
        answer: of a worker.
        logits: (epochs, rows, labels), after each epoch.
        targets: (rows,) of the validation rows.
        epochs: of training.
    """
    losses = answer["losses"]
    accuracies = [float((of_epoch.argmax(axis=1) == targets).mean()) for of_epoch in logits]
    validation_losses = [cross_entropy(of_epoch, targets) for of_epoch in logits]
    best = best_epoch(accuracies, validation_losses)
    last_epoch = losses[-(len(losses) // epochs) :]
    return {
        "training loss, all steps": float(np.mean(losses)),
        "training loss, last epoch": float(np.mean(last_epoch)),
        "validation loss, last epoch": validation_losses[-1],
        "validation loss, best epoch": validation_losses[best],
        "validation accuracy, last epoch": accuracies[-1],
        "validation accuracy, best epoch": accuracies[best],
        "accuracy_by_epoch": accuracies,
        "validation_loss_by_epoch": validation_losses,
        "steps": len(losses),
        "sum_of_rates": float(np.sum(answer["rates"])),
        "highest_rate": max(answer["rates"]),
        "losses": [round(loss, 5) for loss in losses],
        **{name: answer[name] for name in ("first_batch_loss", "tokens_checksum", "seconds", "versions")},
    }


def best_epoch(accuracies: list[float], losses: list[float]) -> int:
    """Returns the number, from 0, of the epoch with the highest accuracy; of equal ones that with the lowest loss."""
    return min(range(len(accuracies)), key=lambda epoch: (-accuracies[epoch], losses[epoch]))


def check_same_start(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Refuses two runs of a seed that did not begin with the same weights, tokens and number of steps.

    Raises:
        JobError: says what differs.
    """
    differing = [name for name in ("tokens_checksum", "steps") if one[name] != other[name]]
    if abs(one["first_batch_loss"] - other["first_batch_loss"]) > SAME_LOSS:
        differing.append("first_batch_loss")
    if differing:
        found = ", ".join(f"{name} {one[name]} and {other[name]}" for name in differing)
        raise JobError(["comparison"], 1, f"both systems of a seed must begin with the same: {found}")


def summarize(runs: dict[str, Any]) -> dict[str, Any]:
    """Returns, by number of rows: the means of both systems over the seeds that both have, and of the differences."""
    summary: dict[str, Any] = {}
    for rows, by_system in runs.items():
        ours, peers = by_system.get(OURS, {}), by_system.get(PEER, {})
        seeds = [seed for seed in ours if seed in peers]
        if not seeds:
            continue
        summary[rows] = {"seeds": len(seeds), "steps": ours[seeds[0]]["steps"], "measures": {}}
        for system, of_system in ((OURS, ours), (PEER, peers)):
            # The same for every seed: a schedule that is another one shows here.
            summary[rows][system] = {name: of_system[seeds[0]][name] for name in ("sum_of_rates", "highest_rate")}
        for measure in MEASURES:
            values = [{seed: of_system[seed][measure] for seed in seeds} for of_system in (ours, peers)]
            difference = paired(*values)
            assert difference is not None
            means = {OURS: mean_of(list(values[0].values())).mean, PEER: mean_of(list(values[1].values())).mean}
            summary[rows]["measures"][measure] = {"means": means, "difference": difference.to_dict()}
    return summary


def page(results: dict[str, Any]) -> str:
    """Writes the result file: a table of the differences, and what both were given."""
    settings = results["settings"]
    lines = [
        f"# {settings['task']}: bertune beside transformers' Trainer at equal settings",
        "",
        "| training rows | seeds | measure | bertune | Trainer | difference | standard error | t | 95 % interval |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_rows = sorted(results["summary"].items(), key=lambda item: int(item[0]))
    for rows, of_rows in by_rows:
        for measure, unit in MEASURES.items():
            values = of_rows["measures"][measure]
            ours, peers = (shown(values["means"][system], unit) for system in (OURS, PEER))
            cells = difference_cells(Mean(**values["difference"]), unit)
            lines.append(f"| {rows} | {of_rows['seeds']} | {measure} | {ours} | {peers} | {cells} |")
    lines += [
        "",
        "| training rows | steps | sum of the rates: bertune | Trainer | highest rate: bertune | Trainer |",
        "|---|---|---|---|---|---|",
    ]
    for rows, of_rows in by_rows:
        rates = [f"{of_rows[system]['sum_of_rates']:.6f}" for system in (OURS, PEER)]
        rates += [f"{of_rows[system]['highest_rate']:.3e}" for system in (OURS, PEER)]
        lines.append(f"| {rows} | {of_rows['steps']} | {' | '.join(rates)} |")
    facts = settings | results["machine"] | results["versions"]
    dropout = "there is no dropout" if settings.get("dropout") == 0 else "what dropout drops is drawn by each"
    return "\n".join(
        [
            *lines,
            "",
            "Differences are bertune's value less Trainer's, paired by seed; the interval is Student's t over seeds. "
            f"Both began with the same weights, head included, and read the same tokens in the same order; {dropout}. "
            "fp32, adamw_torch with betas 0.9 and 0.999 and epsilon 1e-8, linear schedule. "
            "Validation is GLUE's; the best epoch is that of the highest accuracy, of equal ones the lowest loss.",
            "",
            ", ".join(f"{key} {value}" for key, value in facts.items()) + ".",
            "",
        ]
    )


def shown(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "share" else f"{value:.4f}"


def difference_cells(difference: Mean, unit: str) -> str:
    """Returns difference, standard error, t and interval as the cells of a table's row; accuracies in points."""
    scale, digits = (100, 2) if unit == "share" else (1, 4)

    def signed(value: float) -> str:
        # What four digits hide, such as rounding alone, has an exponent.
        return f"{value:+.1e}" if 0 < abs(value) < 10**-digits / 2 else f"{value:+.{digits}f}"

    if difference.error is None or difference.low is None or difference.high is None:
        return f"{signed(scale * difference.mean)} |  |  | "
    t = "" if difference.t is None else f"{difference.t:+.2f}"
    interval = f"{signed(scale * difference.low)} to {signed(scale * difference.high)}"
    error = signed(scale * difference.error).removeprefix("+")
    return f"{signed(scale * difference.mean)} | {error} | {t} | {interval}"


def compare(options: argparse.Namespace) -> int:
    """Runs what is missing, seeds outermost, and returns how many groups of runs failed."""
    settings = Settings(options.task, options.learning_rate, options.epochs, options.batch_size)
    file = options.out.with_suffix(".json")
    encoder, drops = options.encoder or DEFAULT_MODEL, not options.without_dropout
    comparison = Comparison(settings, options.data, encoder, file, options.threads, drops=drops)
    systems = {"bertune": [OURS], "trainer": [PEER], None: [OURS, PEER]}[options.only]
    for rows in options.rows:
        comparison.rows_known(rows)
    groups = [(rows, seed) for seed in range(1, options.seeds + 1) for rows in options.rows]
    return run_groups(groups, lambda group: comparison.run(*group, systems), at_a_time=options.jobs)
