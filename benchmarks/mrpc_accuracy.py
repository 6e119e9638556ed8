"""MRPC accuracy over seeds, ours beside transformers' Trainer: same encoder, pooling, hyper-parameters and epochs.

    python benchmarks/mrpc_accuracy.py --data DIR --seeds 5 --out benchmarks/results/NAME

Each seed trains both, one after the other. DIR holds the original MRPC files. Writes NAME.json and NAME.md
after each seed; run again, it goes on after the last one.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bertune.checkpoints.hub import DEFAULT_MODEL, resolve_model
from bertune.cli.terminal import keep_quiet
from bertune.text.glue import find_splits, glue_task, read_split
from bertune.training.config import TrainingConfig
from bertune.training.run import execute, prepare
from bertune.training.run_settings import RunSettings

MAX_LENGTH = 128


def train_ours(data: str, model: str, pooling: str, config: TrainingConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            data=data, task="mrpc", model=model, out=Path(folder) / "run", pooling=pooling, max_length=MAX_LENGTH
        )
        prepared = prepare(settings, config, say=keep_quiet)
        started = time.perf_counter()
        finished = execute(prepared)
        seconds = time.perf_counter() - started
    epochs = [epoch.scores.values["accuracy"] for epoch in finished.history.epochs]
    collapsed = finished.best.scores.is_majority
    return {"accuracy_by_epoch": epochs, "seconds": seconds, "collapsed": collapsed}


def train_transformers(data: str, model: Path, config: TrainingConfig, precision: str) -> dict[str, Any]:
    """The Trainer with its defaults (fp32, padding to the batch's longest), evaluated after each epoch."""
    import numpy as np
    import transformers

    transformers.utils.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    task = glue_task("mrpc")
    splits = find_splits(data, task)
    columns = {}
    for name in ("train", "validation"):
        examples = read_split(splits[name])
        encoded = tokenizer(examples.texts_a, examples.texts_b, truncation=True, max_length=MAX_LENGTH)
        labels = examples.label_ids(task.labels)
        columns[name] = [
            {key: encoded[key][row] for key in encoded} | {"labels": int(labels[row])} for row in range(len(labels))
        ]
    transformers.set_seed(config.seed)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(str(model), num_labels=2)
    steps = config.epochs * -(-len(columns["train"]) // config.batch_size)
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
            bf16=precision == "bf16",
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
            train_dataset=columns["train"],
            eval_dataset=columns["validation"],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda both: {
                "accuracy": float((both.predictions.argmax(axis=1) == both.label_ids).mean()),
                "classes": float(np.unique(both.predictions.argmax(axis=1)).size),
            },
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    epochs = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    classes = [entry["eval_classes"] for entry in trainer.state.log_history if "eval_classes" in entry]
    return {"accuracy_by_epoch": epochs, "seconds": seconds, "collapsed": classes[-1] == 1}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    best = [max(run["accuracy_by_epoch"]) for run in runs]
    last = [run["accuracy_by_epoch"][-1] for run in runs]
    return {
        "best_epoch_mean": statistics.mean(best),
        "best_epoch_min": min(best),
        "best_epoch_std": statistics.stdev(best) if len(best) > 1 else 0.0,
        "last_epoch_mean": statistics.mean(last),
        "seconds_median": statistics.median(run["seconds"] for run in runs),
        "seconds_max": max(run["seconds"] for run in runs),
        "collapsed": sum(run["collapsed"] for run in runs),
    }


def machine() -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = names[0].partition(":")[2].strip() if names else "unknown"
    packages = {name: metadata.version(name) for name in ("torch", "transformers", "tokenizers", "bertune")}
    capabilities = {"avx512_bf16": torch.cpu._is_avx512_bf16_supported(), "amx": torch.cpu._is_amx_tile_supported()}
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **capabilities, **packages}


def table(results: dict[str, Any]) -> str:
    lines = [
        "| system | mean of best epochs | std | lowest | mean of last epochs | median time | collapsed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, summary in results["summary"].items():
        lines.append(
            f"| {name} | {summary['best_epoch_mean']:.2%} | {summary['best_epoch_std']:.2%} | "
            f"{summary['best_epoch_min']:.2%} | {summary['last_epoch_mean']:.2%} | {summary['seconds_median']:.0f} s | "
            f"{summary['collapsed']} |"
        )
    about = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    settings = ", ".join(f"{key} {value}" for key, value in results["settings"].items())
    return "\n".join([f"# {results['title']}", "", *lines, "", f"Settings: {settings}.", "", f"Machine: {about}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--poolings", nargs="+", default=["cls"])
    parser.add_argument("--precisions", nargs="+", default=["bf16"])
    parser.add_argument("--peer-precisions", nargs="*", default=["fp32"])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = resolve_model(DEFAULT_MODEL)
    settings = {"epochs": options.epochs, "batch_size": options.batch_size, "learning_rate": options.learning_rate}
    about = settings | {"encoder": DEFAULT_MODEL, "max_length": MAX_LENGTH}
    runs = earlier_runs(options.out.with_suffix(".json"), about)
    done = min((len(of_system) for of_system in runs.values()), default=0)
    for seed in range(done + 1, options.seeds + 1):
        for pooling in options.poolings:
            for precision in options.precisions:
                config = TrainingConfig(seed=seed, precision=precision, **settings)
                run = train_ours(options.data, DEFAULT_MODEL, pooling, config)
                report(runs, f"bertune, {pooling}, {precision}", seed, run)
        for precision in options.peer_precisions:
            config = TrainingConfig(seed=seed, **settings)
            run = train_transformers(options.data, model, config, precision)
            report(runs, f"transformers Trainer, cls, {precision}", seed, run)
        results = {
            "title": f"MRPC validation accuracy, {seed} seeds",
            "settings": about,
            "machine": machine(),
            "summary": {name: summarize(of_system) for name, of_system in runs.items()},
            "runs": runs,
        }
        options.out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
        options.out.with_suffix(".md").write_text(table(results))


def earlier_runs(file: Path, settings: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The seeds that an interrupted run of the same settings has finished."""
    if not file.is_file():
        return {}
    earlier = json.loads(file.read_text())
    if earlier["settings"] != settings:
        raise SystemExit(f"{file} has other settings: {earlier['settings']}")
    return earlier["runs"]


def report(runs: dict[str, list[dict[str, Any]]], name: str, seed: int, run: dict[str, Any]) -> None:
    runs.setdefault(name, []).append({"seed": seed, **run})
    accuracies = " ".join(f"{value:.4f}" for value in run["accuracy_by_epoch"])
    print(f"seed {seed}  {name}  {accuracies}  {run['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
