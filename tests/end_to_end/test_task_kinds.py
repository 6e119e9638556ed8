"""Every kind of task through the real command line, with scores beside scikit-learn's and SciPy's."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from tests.end_to_end.world import BAD, GOOD, OTHER, Run

WORDS = {"good": GOOD[:1], "bad": BAD[:1], "loud": ["music"]}
TRAINING = ["--text-a", "text", "--epochs", "8", "--learning-rate", "1e-2", "--batch-size", "16", "--max-length", "32"]
SPLITS = (("train", 240, 1), ("validation", 60, 2), ("test", 60, 3))


def moods(rows: int, seed: int) -> list[tuple[str, list[str]]]:
    """Texts whose labels, one or more of three, are told by their words."""
    source = random.Random(seed)
    made = []
    for _ in range(rows):
        labels = [label for label in WORDS if source.random() < 0.5] or ["bad"]
        words = [
            *source.sample([word for word in OTHER if word != "music"], 2),
            *(source.choice(WORDS[name]) for name in labels),
        ]
        source.shuffle(words)
        made.append((" ".join(words), labels))
    return made


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def write_lists(folder: Path) -> list[str]:
    for name, size, seed in SPLITS:
        lines = [json.dumps({"text": text, "moods": labels}) + "\n" for text, labels in moods(size, seed)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return ["--label", "moods"]


def write_separated(folder: Path) -> list[str]:
    for name, size, seed in SPLITS:
        rows = [(text, "|".join(labels)) for text, labels in moods(size, seed)]
        write_csv(folder / f"{name}.csv", ("text", "moods"), rows)
    return ["--label", "moods", "--label-separator", "|"]


def write_flags(folder: Path) -> list[str]:
    for name, size, seed in SPLITS:
        rows = [(text, *(int(label in labels) for label in sorted(WORDS))) for text, labels in moods(size, seed)]
        write_csv(folder / f"{name}.csv", ("text", *sorted(WORDS)), rows)
    return ["--label", ",".join(sorted(WORDS))]


def answers_of(run: Run, out: Path, data: Path) -> list[dict[str, Any]]:
    done = run("predict", str(out), "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def scores_of(run: Run, out: Path, data: Path, *flags: str) -> dict[str, Any]:
    done = run("evaluate", str(out), "--data", str(data), "--split", "test", "--json", *flags)
    assert done.returncode == 0, done.stderr
    scores: dict[str, Any] = json.loads(done.stdout)["scores"]
    return scores


@pytest.fixture(scope="module")
def multi_label(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Form of the labels → data and run folder, trained with the same settings."""
    made = {}
    for write in (write_lists, write_separated, write_flags):
        folder = tmp_path_factory.mktemp(write.__name__)
        out = folder / "run"
        flags = [
            "--data",
            str(folder),
            *write(folder),
            "--kind",
            "multi-label",
            "--model",
            str(model),
            "--out",
            str(out),
        ]
        done = run("train", *flags, *TRAINING, "--label-smoothing", "0.05", "--class-weights", "balanced")
        assert done.returncode == 0, done.stderr
        made[write.__name__] = (folder, out)
    return made


def test_several_labels_are_learned_alike_from_a_list_a_separator_and_columns(
    run: Run, multi_label: dict[str, tuple[Path, Path]]
) -> None:
    answers = [answers_of(run, out, folder) for folder, out in multi_label.values()]
    for answer in answers[0]:
        answer["line"] += 1  # JSON Lines have no header
    assert answers[0] == answers[1] == answers[2]
    truth = moods(60, 3)
    assert [answer["text"] for answer in answers[0]] == [text for text, _ in truth]
    for answer in answers[0]:
        assert answer["predicted_labels"] == [name for name, chance in answer["probabilities"].items() if chance >= 0.5]
    given = np.array([[name in answer["predicted_labels"] for name in sorted(WORDS)] for answer in answers[0]], int)
    targets = np.array([[name in labels for name in sorted(WORDS)] for _, labels in truth], int)
    expected = {
        "f1_micro": sklearn.metrics.f1_score(targets, given, average="micro", zero_division=0),
        "f1_macro": sklearn.metrics.f1_score(targets, given, average="macro", zero_division=0),
        "subset_accuracy": sklearn.metrics.accuracy_score(targets, given),
        "hamming_loss": sklearn.metrics.hamming_loss(targets, given),
    }
    assert expected["subset_accuracy"] > 0.6  # it has learned them
    by_label = np.array(sklearn.metrics.precision_recall_fscore_support(targets, given, zero_division=0)).T
    for folder, out in multi_label.values():
        scores = scores_of(run, out, folder)
        assert {name: metric["value"] for name, metric in scores["metrics"].items()} == pytest.approx(
            expected, abs=1e-9
        )
        ours = [[label[name] for name in ("precision", "recall", "f1", "support")] for label in scores["labels"]]
        np.testing.assert_allclose(ours, by_label, rtol=0, atol=1e-9)


def test_several_labels_are_printed_in_one_cell(run: Run, multi_label: dict[str, tuple[Path, Path]]) -> None:
    _, out = multi_label["write_lists"]
    done = run("predict", str(out), stdin="the good music\nthe bad plot\n")
    header, first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["row", "text", "predicted_labels", *(f"probability_{label}" for label in sorted(WORDS))]
    assert (first[2], second[2]) == ("good;loud", "bad")
    given = [
        name.removeprefix("probability_")
        for name, cell in zip(header[3:], first[3:], strict=True)
        if float(cell) >= 0.5
    ]
    assert given == ["good", "loud"]


def test_a_thresholds_of_its_own_decides_each_label(
    run: Run, multi_label: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    from bertune import load, predict, save
    from bertune.checkpoints.signature import ModelSignature

    folder, out = multi_label["write_flags"]
    made = load(out / "model")
    signature = ModelSignature(**(vars(made.signature) | {"thresholds": (0.999, 0.5, 0.001), "temperature": 2.0}))
    save(made.classifier, tmp_path / "m", tokenizer=made.tokenizer, signature=signature)
    answers = answers_of(run, tmp_path / "m", folder)
    assert all("bad" not in answer["predicted_labels"] and "loud" in answer["predicted_labels"] for answer in answers)
    given = np.array([[name in answer["predicted_labels"] for name in sorted(WORDS)] for answer in answers], int)
    targets = np.array([[name in labels for name in sorted(WORDS)] for _, labels in moods(60, 3)], int)
    value = scores_of(run, tmp_path / "m", folder)["metrics"]["f1_micro"]["value"]
    assert value == pytest.approx(sklearn.metrics.f1_score(targets, given, average="micro"), abs=1e-9)
    python = list(predict(load(tmp_path / "m"), [text for text, _ in moods(60, 3)]))
    assert [list(answer.labels or ()) for answer in python] == [answer["predicted_labels"] for answer in answers]


def test_rows_without_a_label_are_refused_unless_they_are_meant(
    run: Run, multi_label: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    _, out = multi_label["write_lists"]
    (tmp_path / "test.jsonl").write_text('{"text": "the plot", "moods": ["bad"]}\n{"text": "a story", "moods": []}\n')
    done = run("evaluate", str(out), "--data", str(tmp_path / "test.jsonl"))
    assert done.returncode == 3
    assert (
        "test.jsonl:2: 'moods' holds no label; if such rows are meant, take them with --allow-no-label" in done.stderr
    )
    done = run("evaluate", str(out), "--data", str(tmp_path / "test.jsonl"), "--allow-no-label", "--json")
    assert json.loads(done.stdout)["scores"]["rows"] == 2


def test_many_classes_are_scored_as_scikit_learn_does(run: Run, model: Path, tmp_path: Path) -> None:
    words = {"good": "great", "bad": "awful", "loud": "music", "slow": "very"}
    for name, size, seed in SPLITS:
        source = random.Random(seed)
        kinds = [source.choice(list(words)) for _ in range(size)]
        write_csv(tmp_path / f"{name}.csv", ("text", "kind"), [(f"the film was {words[kind]}", kind) for kind in kinds])
    flags = ["--data", str(tmp_path), "--label", "kind", "--model", str(model), "--out", str(tmp_path / "run")]
    done = run("train", *flags, *TRAINING, "--class-weights", "slow=2", "--class-weights", "bad=0.5")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "test.csv").open() as stream:
        truth = [row["kind"] for row in csv.DictReader(stream)]
    given = [answer["predicted_label"] for answer in answers_of(run, tmp_path / "run", tmp_path)]
    scores = scores_of(run, tmp_path / "run", tmp_path)
    assert scores["metrics"]["accuracy"]["value"] == pytest.approx(
        sklearn.metrics.accuracy_score(truth, given), abs=1e-9
    )
    expected = sklearn.metrics.f1_score(truth, given, average="macro", zero_division=0)
    assert scores["metrics"]["f1_macro"]["value"] == pytest.approx(expected, abs=1e-9)
    assert scores["confusion"] == sklearn.metrics.confusion_matrix(truth, given, labels=sorted(words)).tolist()


def test_a_regression_stays_within_its_range(run: Run, model: Path, tmp_path: Path) -> None:
    for name, size, seed in SPLITS:
        source = random.Random(seed)
        counts = [source.choice((0, 0, 1, 2, 2)) for _ in range(size)]
        rows = [(" ".join([*["great"] * count, *["awful"] * (2 - count), "film"]), count / 2) for count in counts]
        write_csv(tmp_path / f"{name}.csv", ("text", "score"), rows)
    out = tmp_path / "run"
    flags = ["--label", "score", "--kind", "regression", "--target-range", "0", "1", "--model", str(model)]
    done = run("train", "--data", str(tmp_path), *flags, "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    values = [answer["predicted_value"] for answer in answers_of(run, out, tmp_path)]
    assert 0 <= min(values) <= max(values) <= 1
    with (tmp_path / "test.csv").open() as stream:
        truth = [float(row["score"]) for row in csv.DictReader(stream)]
    scores = scores_of(run, out, tmp_path)
    assert scores["metrics"]["pearson"]["value"] == pytest.approx(scipy.stats.pearsonr(values, truth)[0], abs=1e-9)
    assert scores["metrics"]["spearman"]["value"] == pytest.approx(scipy.stats.spearmanr(values, truth)[0], abs=1e-9)
    # The epoch's scores were made of clipped values as well, so that evaluating gives them again.
    written = json.loads((out / "scores.json").read_text())["validation"]["metrics"]
    done = run("evaluate", str(out), "--data", str(tmp_path), "--json")
    assert json.loads(done.stdout)["scores"]["metrics"] == written
    write_csv(tmp_path / "test.csv", ("text", "score"), [("film", 0.5), ("film", 1.5)])
    done = run("evaluate", str(out), "--data", str(tmp_path), "--split", "test")
    assert done.returncode == 3
    assert "test.csv:3: the target is 1.5, but targets lie between 0 and 1" in done.stderr


@pytest.mark.slow
def test_a_run_of_any_kind_repeats_from_its_settings(
    run: Run, multi_label: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    for _, out in multi_label.values():
        again = tmp_path / out.parent.name
        done = run("train", "--config", str(out / "run.toml"), "--out", str(again))
        assert done.returncode == 0, done.stderr
        weights = "model/model.safetensors"
        assert (again / weights).read_bytes() == (out / weights).read_bytes()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--label", "mood", "--class-weights", "happy=2"], "no label is called 'happy'"),
        (["--label", "id", "--kind", "regression", "--target-range", "-inf", "inf"], "the lowest and the highest"),
        (["--label", "mood", "--kind", "multi-label", "--label-separator", ""], "--label-separator is empty"),
    ],
)
def test_settings_that_cannot_work_are_told_before_anything_is_written(
    run: Run, model: Path, tables: Path, tmp_path: Path, flags: list[str], says: str
) -> None:
    out = tmp_path / "run"
    done = run("train", "--data", str(tables), "--text-a", "first", *flags, "--model", str(model), "--out", str(out))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert not out.exists(), "the mended command would be refused: the folder holds a run"
