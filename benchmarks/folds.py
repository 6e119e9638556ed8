"""Does the interval of a cross-validated score cover the truth? `--folds` beside held-out rows, over many small tables.

Each subset of SST-2 is a table of its own: `bertune train --folds K` gives its score with an interval, and the model of
all its rows is scored on the same held-out rows, which no training saw: that accuracy is called the truth here. It has
an error of its own, as the held-out rows are some of many (0.8 points with 2,000 of them), which counts against the
interval. Beside it stand the interval over rows without the widening for folds, and the score that each fold would have
by the step that is best on its own rows.

    python -m benchmarks.folds --glue GLUE --out build/folds --subsets 20 --epochs 5

With `--frozen` each model is a logistic regression on the features of the encoder before training, which takes no time,
so that many tables can be measured.

A line of `lines.jsonl` for each subset; what is there is not measured again. The last line printed is the summary.
"""

import argparse
import csv
import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from bertune.evaluation.intervals import share_interval
from bertune.experiments.cross_validation import FinishedFolds, execute_folds, prepare_folds
from bertune.experiments.fold_settings import FoldSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

LABELS: Final = {"0": "negative", "1": "positive"}


def rows_of(glue: Path) -> list[tuple[str, str]]:
    """Reads SST-2's training rows, each text once, shuffled the same way every time."""
    with (glue / "SST-2" / "train.tsv").open(encoding="utf-8") as stream:
        read = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        found = {row["sentence"].strip(): LABELS[row["label"]] for row in read}
    rows = sorted(found.items())
    random.Random(0).shuffle(rows)
    return rows


def write_table(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return path


def measure(folder: Path, table: Path, held_out: Path, folds: int, config: TrainingConfig) -> dict[str, Any]:
    """Cross-validates one table, and scores its model on the held-out rows; keeps no model."""
    started = time.perf_counter()
    settings = RunSettings(data=str(table), out=folder, text_a="text", label="label", test=str(held_out))
    prepared = prepare_folds(settings, config, FoldSettings(folds=folds), say=lambda _: None)
    finished = execute_folds(prepared, say=lambda _: None)
    shutil.rmtree(finished.directory.model)
    found = finished.scores.metrics["accuracy"]
    low, high = share_interval(found.value, finished.scores.rows)
    return {
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "low_over_rows": low,
        "high_over_rows": high,
        "accuracy_by_own_best": _by_own_best(finished, prepared.folds, prepared.run.train.targets),
        "truth": finished.also["test"].values["accuracy"],
        "steps": finished.steps,
        "seconds": time.perf_counter() - started,
    }


def measure_frozen(
    features: Any, rows: Sequence[tuple[str, str]], begin: int, given: argparse.Namespace
) -> dict[str, Any]:
    """Does the same with regressions on frozen features: the rows before `given.held_out` are held out."""
    from sklearn.linear_model import LogisticRegression

    from bertune.data.examples import Examples
    from bertune.data.folds import folds_of
    from bertune.data.task_kind import TaskKind
    from bertune.evaluation.cross_validated import widened
    from bertune.evaluation.scores import Scoring, score

    targets = np.array([label == LABELS["1"] for _, label in rows], np.int64)
    own = slice(begin, begin + given.rows)
    texts, labels = zip(*rows[own], strict=True)
    folds = folds_of(Examples.from_lists(texts, None, labels, name="subset"), TaskKind.CLASSIFICATION, given.folds)
    inside, known = features[own], targets[own]

    def fitted(chosen: Any) -> Any:
        return LogisticRegression(C=10, max_iter=300).fit(inside[chosen], known[chosen])

    logits = np.zeros((given.rows, 2))
    for fold in range(1, given.folds + 1):
        logits[folds == fold, 1] = fitted(folds != fold).decision_function(inside[folds == fold])
    scores = score(logits, known, Scoring(TaskKind.CLASSIFICATION, ("accuracy",)))
    plain, found = scores.metrics["accuracy"], widened(scores, given.folds).metrics["accuracy"]
    model = fitted(np.ones(given.rows, np.bool_))
    return {
        "accuracy": found.value,
        "low": found.low,
        "high": found.high,
        "low_over_rows": plain.low,
        "high_over_rows": plain.high,
        "truth": float(model.score(features[: given.held_out], targets[: given.held_out])),
    }


def features_of(texts: Sequence[str]) -> Any:
    """What the default encoder makes of texts before training."""
    import torch

    from bertune.checkpoints.model_files import config_file, tokenizer_folder
    from bertune.checkpoints.restore import restore
    from bertune.evaluation.mean_features import mean_features
    from bertune.fetch.resolve import resolve_model
    from bertune.models.classifier import undrawn_model
    from bertune.models.registry import read_config
    from bertune.tokenization.encode_texts import encode_examples
    from bertune.tokenization.read_tokenizer import read_tokenizer

    folder = resolve_model(RunSettings.model)
    _, encoder = undrawn_model(read_config(config_file(folder)), 2)
    restore(encoder, folder).assert_consumed()
    tokenizer = read_tokenizer(tokenizer_folder(folder))
    return mean_features(encoder, encode_examples(list(texts), None, tokenizer, 128), precision=torch.float32)


def _by_own_best(finished: FinishedFolds, folds: Any, targets: Any) -> float:
    """The score if each fold's rows were answered by the step that is best on them."""
    earlier = finished.directory.earlier()
    assert earlier is not None
    right = 0
    for result in earlier.results:
        answered = finished.directory.logits(result, result.best_step).argmax(axis=1)
        right += int(np.sum(answered == targets[folds == result.fold]))
    return right / len(targets)


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def covered(low: str, high: str) -> int:
        return sum(line[low] <= line["truth"] <= line[high] for line in lines)

    return {
        "subsets": len(lines),
        "covered": covered("low", "high"),
        "covered_over_rows": covered("low_over_rows", "high_over_rows"),
        "accuracy": fmean(line["accuracy"] for line in lines),
        **{
            name: fmean(line[name] for line in lines)
            for name in ("accuracy_by_own_best", "seconds")
            if all(name in line for line in lines)
        },
        "truth": fmean(line["truth"] for line in lines),
        "half_width": fmean((line["high"] - line["low"]) / 2 for line in lines),
        "half_width_over_rows": fmean((line["high_over_rows"] - line["low_over_rows"]) / 2 for line in lines),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glue", type=Path, required=True, help="folder with SST-2/train.tsv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subsets", type=int, default=20)
    parser.add_argument("--rows", type=int, default=500, help="of each subset")
    parser.add_argument("--held-out", type=int, default=2_000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="by default the recipe's")
    parser.add_argument("--frozen", action="store_true", help="regressions on frozen features in the place of models")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = rows_of(given.glue)
    held_out = write_table(given.out / "held-out.csv", rows[: given.held_out])
    place = given.out / "lines.jsonl"
    lines = [json.loads(line) for line in place.read_text("utf-8").splitlines()] if place.exists() else []
    features = (
        features_of([text for text, _ in rows[: given.held_out + given.subsets * given.rows]]) if given.frozen else None
    )
    for number in range(len(lines), given.subsets):
        begin = given.held_out + number * given.rows
        if features is not None:
            lines.append({"subset": number, **measure_frozen(features, rows, begin, given)})
            with place.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(lines[-1]) + "\n")
            continue
        table = write_table(given.out / f"subset-{number}.csv", rows[begin : begin + given.rows])
        found = measure(
            given.out / f"run-{number}", table, held_out, given.folds, TrainingConfig(seed=number, epochs=given.epochs)
        )
        lines.append({"subset": number, **found})
        with place.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps(lines[-1]), flush=True)
    print(json.dumps(summary(lines)))


if __name__ == "__main__":
    main()
