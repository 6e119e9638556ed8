"""Does the order of doubtful rows find planted label errors better than cleanlab's, on the same out-of-fold answers?

5 % of the labels of a table are replaced by another one, drawn evenly. The table is cross-validated as by `--folds 3`,
without the training on all rows, and each ranking is judged by its average precision: 1 where all planted rows come
first, 0.05 for a random order. Labels that were wrong before count as right, which costs every ranking the same.

    python -m benchmarks.label_errors train --glue GLUE --out build/label-errors
    python -m benchmarks.label_errors rank --out build/label-errors

The second needs cleanlab and scikit-learn, and no torch. What is there of a seed is not trained again. The ranking was
chosen on the seeds 0 to 2; by default others are measured, 3 to 7.
"""

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.evaluation.label_quality import label_quality, neighbour_shares

MESSAGES: Final = Path(__file__).parent / "data" / "messages"
NOISE: Final = 0.05
FOLDS: Final = 3
ROWS: Final = 500
EPOCHS: Final = {"sst2": 3, "messages": 5}
# Rows of SST-2 before these are those of `benchmarks.folds`.
FIRST: Final = 20_000


def tables(glue: Path, seed: int, *, only: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """Gives the rows of each set, or of one; of SST-2 others for each seed."""
    from benchmarks.folds import rows_of

    if only == "sst2":
        begin = FIRST + seed * ROWS
        return {"sst2": rows_of(glue)[begin : begin + ROWS]}
    messages = []
    for split in ("train", "validation", "test"):
        with (MESSAGES / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
            messages += [(row["text"], row["label"]) for row in csv.DictReader(stream)]
    return {"messages": messages} if only else {**tables(glue, seed, only="sst2"), "messages": messages}


def planted(rows: Sequence[tuple[str, str]], seed: int) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
    """Gives other labels to some rows, and says which."""
    draws = np.random.default_rng(seed)
    labels = sorted({label for _, label in rows})
    wrong = np.zeros(len(rows), np.bool_)
    wrong[draws.choice(len(rows), round(NOISE * len(rows)), replace=False)] = True
    noisy = []
    for (text, label), is_wrong in zip(rows, wrong, strict=True):
        others = [other for other in labels if other != label]
        noisy.append((text, others[draws.integers(len(others))] if is_wrong else label))
    return noisy, wrong


def out_of_fold(folder: Path, rows: Sequence[tuple[str, str]], epochs: int, seed: int) -> dict[str, NDArray[Any]]:
    """Trains the folds, and gives answers to all rows, with the features that rankings may use."""
    from benchmarks.folds import write_table
    from bertune.evaluation import answers
    from bertune.experiments.cross_validation import prepare_folds
    from bertune.experiments.fold_directory import FoldDirectory
    from bertune.experiments.fold_run import run_fold, steps_for_fold
    from bertune.experiments.fold_settings import FoldSettings
    from bertune.training.calibrated import calibrated
    from bertune.training.config import TrainingConfig
    from bertune.training.out_of_fold import features_of
    from bertune.training.run_settings import RunSettings

    folder.mkdir(parents=True, exist_ok=True)
    table = write_table(folder / "table.csv", rows)
    settings = RunSettings(data=str(table), out=folder / "run", text_a="text", label="label", overwrite=True)
    prepared = prepare_folds(
        settings, TrainingConfig(seed=seed, epochs=epochs), FoldSettings(folds=FOLDS), say=lambda _: None
    )
    run, directory = prepared.run, FoldDirectory(settings.out)
    features = features_of(run)
    targets = run.train.targets
    assert targets is not None
    assert features is not None
    with directory.started(overwrite=True):
        directory.write_settings({})
        results = [run_fold(run, prepared.folds, fold, directory, None) for fold in range(1, FOLDS + 1)]
        logits = np.empty((len(rows), run.signature.num_outputs), np.float32)
        means = np.empty((len(rows), run.signature.num_outputs))
        for result in results:
            own = prepared.folds == result.fold
            logits[own] = directory.logits(result, steps_for_fold(results, result.fold))
            each = [answers.probabilities(directory.logits(result, step), run.signature) for step in result.evaluated]
            means[own] = np.mean(each[1:] or each, axis=0)
    signature, scores, _ = calibrated(run.signature, logits, targets, run.settings)
    print(f"{folder}: {scores.verdict}", flush=True)
    return {
        "probabilities": answers.probabilities(logits, signature),
        "plain": answers.probabilities(logits, replace(signature, temperature=1.0)),
        "means": means,
        "features": features,
        "targets": targets,
    }


def train(given: argparse.Namespace) -> None:
    for seed in given.seeds:
        for name, rows in tables(given.glue, seed).items():
            place = given.out / f"{name}-{seed}.npz"
            if place.exists():
                continue
            noisy, wrong = planted(rows, seed)
            found = out_of_fold(given.out / f"{name}-{seed}", noisy, EPOCHS[name], seed)
            np.savez(place, **found | {"wrong": wrong})  # type: ignore[arg-type]


def frozen(given: argparse.Namespace) -> None:
    """Makes the same files with regressions on frozen features in the place of models, in seconds a seed."""
    for seed in given.seeds:
        for name in [given.only] if given.only else EPOCHS:
            noisy, wrong = planted(tables(given.glue, seed, only=name)[name], seed)
            found = frozen_out_of_fold(noisy) | {"wrong": wrong}
            np.savez(given.out / f"{name}-{seed}.npz", **found)  # type: ignore[arg-type]


def frozen_out_of_fold(rows: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """Gives answers of logistic regressions on frozen features, of five folds, to all rows."""
    from sklearn.linear_model import LogisticRegression

    from benchmarks.folds import features_of
    from bertune.data.examples import Examples
    from bertune.data.folds import folds_of
    from bertune.data.task_kind import TaskKind

    texts, words = [text for text, _ in rows], [label for _, label in rows]
    labels = sorted(set(words))
    targets, features = np.array([labels.index(word) for word in words]), features_of(texts)
    folds = folds_of(Examples.from_lists(texts, None, words, name="table"), TaskKind.CLASSIFICATION, 5)
    probabilities = np.zeros((len(texts), len(labels)))
    for fold in range(1, 6):
        others = folds != fold
        model = LogisticRegression(C=10, max_iter=300).fit(features[others], targets[others])
        probabilities[~others] = model.predict_proba(features[~others])
    return {"probabilities": probabilities, "features": features, "targets": targets}


def rankings() -> dict[str, Callable[[Any], NDArray[np.float64]]]:
    """Gives each ranking, lower where a label is more doubtful; cleanlab's by its own functions."""
    from cleanlab.rank import get_label_quality_scores

    def of_cleanlab(method: str) -> Callable[[Any], NDArray[np.float64]]:
        return lambda found: get_label_quality_scores(found["targets"], found["probabilities"], method=method)

    return {
        "bertune": lambda found: label_quality(
            found["probabilities"],
            found["targets"],
            neighbour_shares(found["features"], found["targets"], found["probabilities"].shape[1]),
        ),
        "bertune, without neighbours": lambda found: label_quality(found["probabilities"], found["targets"]),
        "cleanlab self_confidence": of_cleanlab("self_confidence"),
        "cleanlab normalized_margin": of_cleanlab("normalized_margin"),
        "cleanlab confidence_weighted_entropy": of_cleanlab("confidence_weighted_entropy"),
    }


def rank(given: argparse.Namespace) -> None:
    from sklearn.metrics import average_precision_score

    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in EPOCHS:
        for seed in given.seeds:
            place = given.out / f"{name}-{seed}.npz"
            if not place.exists():
                continue
            arrays = dict(np.load(place))
            for ranking, quality in rankings().items():
                value = average_precision_score(arrays["wrong"], -quality(arrays))
                found.setdefault(name, {}).setdefault(ranking, {})[str(seed)] = float(value)
    for name, by_ranking in found.items():
        for ranking, by_seed in by_ranking.items():
            shown = ", ".join(f"{value:.3f}" for value in by_seed.values())
            print(f"{name:10} {ranking:38} mean {fmean(by_seed.values()):.3f}  ({shown})")
    (given.out / "rank.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "frozen", "rank"])
    parser.add_argument("--glue", type=Path, help="folder with SST-2/train.tsv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[3, 4, 5, 6, 7])
    parser.add_argument("--only", choices=list(EPOCHS), help="of `frozen`: one set")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    {"train": train, "frozen": frozen, "rank": rank}[given.what](given)


if __name__ == "__main__":
    main()
