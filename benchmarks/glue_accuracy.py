"""Scores on GLUE over seeds, ours beside transformers' Trainer: same encoder, hyper-parameters, epochs and rows.

    python -m benchmarks.glue_accuracy --task stsb --data DIR --seeds 3 --out benchmarks/results/NAME

Each seed trains both, one after the other. DIR holds the task's original files. Writes NAME.json and NAME.md after
each seed; run again, it goes on after the last one.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import machine, versions
from bertune.cli.terminal import keep_quiet
from bertune.data.examples import Examples
from bertune.data.glue_tasks import GlueTask
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.evaluation.metrics import compute_metrics
from bertune.fetch.resolve import DEFAULT_MODEL, resolve_model
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_settings import RunSettings

MAX_LENGTH: Final = 128


@dataclass(frozen=True)
class Job:
    """What to train on, and from what.

    Args:
        task: of GLUE.
        folder: its files.
        encoder: a model folder.
        pooling: of our classifier; the peer's is always cls.
    """

    task: GlueTask
    folder: Path
    encoder: Path
    pooling: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's; the first chooses the best epoch, in both systems."""
        return self.task.metrics


def cut_rows(data: Path, task: GlueTask, rows: int | None, into: Path) -> Path:
    """Copies training and validation file, of the training rows a sample drawn with seed 0; None takes all in place."""
    if rows is None:
        return data
    files = {name: split.paths[0] for name, split in find_splits(str(data), task).items()}
    head, *lines = files["train"].read_bytes().splitlines(keepends=True)
    kept = np.sort(np.random.default_rng(0).choice(len(lines), rows, replace=False))
    (into / "train.tsv").write_bytes(b"".join([head, *(lines[row] for row in kept)]))
    (into / "dev.tsv").write_bytes(files["validation"].read_bytes())
    return into


def train_ours(job: Job, config: TrainingConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            data=str(job.folder),
            task=job.task.name,
            model=str(job.encoder),
            out=Path(folder) / "run",
            pooling=job.pooling,  # type: ignore[arg-type]
            max_length=MAX_LENGTH,
        )
        prepared = prepare(settings, config, say=keep_quiet)
        started = time.perf_counter()
        finished = execute(prepared)
        seconds = time.perf_counter() - started
    epochs = [epoch.scores.values for epoch in finished.history.epochs if epoch.scores is not None]
    scores = finished.best.scores
    return {"epochs": epochs, "seconds": seconds, "collapsed": scores is not None and scores.is_majority}


def train_transformers(job: Job, config: TrainingConfig) -> dict[str, Any]:
    """The Trainer with its defaults but for the given precision, padding to the batch's longest; scored each epoch."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(job.encoder))
    splits = find_splits(str(job.folder), job.task)
    rows = {name: _encoded(read_split(splits[name]), job.task, tokenizer) for name in ("train", "validation")}
    transformers.set_seed(config.seed)
    outputs = 1 if job.task.labels is None else len(job.task.labels)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(str(job.encoder), num_labels=outputs)
    assert config.epochs is not None
    assert config.batch_size is not None
    assert config.learning_rate is not None
    assert config.warmup_fraction is not None
    assert config.weight_decay is not None
    assert config.max_gradient_norm is not None
    steps = config.epochs * -(-len(rows["train"]) // config.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=config.epochs,
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=64,
            learning_rate=config.learning_rate,
            warmup_steps=int(steps * config.warmup_fraction),
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_gradient_norm,
            seed=config.seed,
            bf16=config.precision == "bf16",
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
        )
        trainer = transformers.Trainer(
            model=classifier,
            args=arguments,
            train_dataset=rows["train"],
            eval_dataset=rows["validation"],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=_metrics_of(job),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    log = [entry for entry in trainer.state.log_history if "eval_answers" in entry]
    epochs = [{name: entry[f"eval_{name}"] for name in job.metrics} for entry in log]
    return {"epochs": epochs, "seconds": seconds, "collapsed": log[-1]["eval_answers"] == 1}


def _encoded(examples: Examples, task: GlueTask, tokenizer: Any) -> list[dict[str, Any]]:
    texts = [examples.texts_a] if examples.texts_b is None else [examples.texts_a, examples.texts_b]
    encoded = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH)
    targets = examples.targets() if task.labels is None else examples.label_ids(task.labels)
    return [
        {key: encoded[key][row] for key in encoded} | {"labels": target} for row, target in enumerate(targets.tolist())
    ]


def _metrics_of(job: Job) -> Callable[[Any], dict[str, float]]:
    def compute(both: Any) -> dict[str, float]:
        answers = both.predictions[:, 0] if job.task.labels is None else both.predictions.argmax(axis=1)
        return compute_metrics(job.metrics, answers, both.label_ids) | {"answers": float(np.unique(answers).size)}

    return compute


def summarize(runs: list[dict[str, Any]], metrics: tuple[str, ...]) -> dict[str, Any]:
    """Of each metric: over the seeds, the mean and so on of the epoch that the first metric chooses."""
    best = [max(run["epochs"], key=lambda epoch: epoch[metrics[0]]) for run in runs]
    summary: dict[str, Any] = {}
    for name in metrics:
        values = [epoch[name] for epoch in best]
        summary[name] = {
            "mean": statistics.mean(values),
            "std": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "last_epoch_mean": statistics.mean(run["epochs"][-1][name] for run in runs),
        }
    summary["seconds_median"] = statistics.median(run["seconds"] for run in runs)
    summary["collapsed"] = sum(run["collapsed"] for run in runs)
    return summary


def table(results: dict[str, Any], metrics: tuple[str, ...]) -> str:
    lines = [
        "| system | metric | mean of best epochs | std | lowest | mean of last epochs | median time | collapsed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system, summary in results["summary"].items():
        for name in metrics:
            values = summary[name]
            lines.append(
                f"| {system} | {name} | {values['mean']:.2%} | {values['std']:.2%} | {values['min']:.2%} | "
                f"{values['last_epoch_mean']:.2%} | {summary['seconds_median']:.0f} s | {summary['collapsed']} |"
            )
    about = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    settings = ", ".join(f"{key} {value}" for key, value in results["settings"].items())
    return "\n".join([f"# {results['title']}", "", *lines, "", f"Settings: {settings}.", "", f"Machine: {about}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="mrpc")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="training rows, sampled; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--poolings", nargs="+", default=["cls"])
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--peer-precisions", nargs="*", default=["fp32"])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    task, encoder = glue_task(options.task), resolve_model(DEFAULT_MODEL)
    settings = {"epochs": options.epochs, "batch_size": options.batch_size, "learning_rate": options.learning_rate}
    same = settings | {"recipe": "lesson", "warmup_fraction": 0.1, "weight_decay": 0.01, "max_gradient_norm": 1.0}
    about = settings | {"task": task.name, "rows": options.rows, "encoder": DEFAULT_MODEL, "max_length": MAX_LENGTH}
    runs = earlier_runs(options.out.with_suffix(".json"), about)
    done = min((len(of_system) for of_system in runs.values()), default=0)
    with tempfile.TemporaryDirectory() as folder:
        data = cut_rows(options.data, task, options.rows, Path(folder))
        for seed in range(done + 1, options.seeds + 1):
            for pooling in options.poolings:
                config = TrainingConfig(seed=seed, precision=options.precision, **same)
                run = train_ours(Job(task, data, encoder, pooling), config)
                report(runs, f"bertune, {pooling}, {options.precision}", seed, run)
            for precision in options.peer_precisions:
                config = TrainingConfig(seed=seed, precision=precision, **same)
                run = train_transformers(Job(task, data, encoder, "cls"), config)
                report(runs, f"transformers Trainer, cls, {precision}", seed, run)
            results = {
                "title": f"{task.name} validation, {seed} seeds",
                "settings": about,
                "machine": machine() | versions("bertune", "torch", "transformers", "tokenizers"),
                "summary": {name: summarize(of_system, task.metrics) for name, of_system in runs.items()},
                "runs": runs,
            }
            options.out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
            options.out.with_suffix(".md").write_text(table(results, task.metrics))


def earlier_runs(file: Path, settings: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The seeds that an interrupted run of the same settings has finished."""
    if not file.is_file():
        return {}
    earlier = json.loads(file.read_text())
    if earlier["settings"] != settings:
        raise SystemExit(f"{file} has other settings: {earlier['settings']}")
    found: dict[str, list[dict[str, Any]]] = earlier["runs"]
    return found


def report(runs: dict[str, list[dict[str, Any]]], name: str, seed: int, run: dict[str, Any]) -> None:
    runs.setdefault(name, []).append({"seed": seed, **run})
    print(f"seed {seed}  {name}  {run['epochs']}  {run['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
