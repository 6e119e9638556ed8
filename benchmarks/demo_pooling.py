"""Which pooling for the demo: [CLS] or mean, over seeds, on the demo's validation questions.

    python benchmarks/demo_pooling.py --seeds 5 --out benchmarks/results/demo-pooling

Uses the demo's own settings but for pooling and seed. Writes NAME.json and NAME.md.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Literal

from bertune.cli.terminal import keep_quiet
from bertune.data.demo_data import demo_folder
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_directory import versions
from bertune.training.run_settings import RunSettings

Pooling = Literal["cls", "mean"]


def best_accuracy(pooling: Pooling, seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            data=str(demo_folder()),
            out=Path(folder) / "run",
            text_a="question1",
            text_b="question2",
            label="label",
            pooling=pooling,
        )
        prepared = prepare(settings, TrainingConfig(seed=seed), say=keep_quiet)
        scores = execute(prepared).best.scores
        assert scores is not None
        return scores.values["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    accuracies: dict[Pooling, list[float]] = {"cls": [], "mean": []}
    for seed in range(1, options.seeds + 1):
        for pooling, values in accuracies.items():
            values.append(best_accuracy(pooling, seed))
            print(f"seed {seed}  {pooling}  {values[-1]:.4f}", flush=True)
    results = {"accuracies": accuracies, "versions": versions()}
    options.out.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    rows = [
        f"| {name} | {statistics.mean(values):.2%} | {statistics.stdev(values):.2%} | {min(values):.2%} |"
        for name, values in accuracies.items()
    ]
    head = ["| pooling | mean accuracy | standard deviation | lowest |", "|---|---|---|---|"]
    title = f"# Demo, validation accuracy of the best epoch, {options.seeds} seeds"
    about = ", ".join(f"{name} {version}" for name, version in versions().items())
    options.out.with_suffix(".md").write_text("\n".join([title, "", *head, *rows, "", about, ""]))


if __name__ == "__main__":
    main()
