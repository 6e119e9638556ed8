"""Every Python block of README and docs runs, one after another in a page, and every example of a public name."""

import csv
import doctest
import functools
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertune

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)
MARKDOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in MARKDOWN if BLOCK.search(page.read_text(encoding="utf-8"))]
# What a block needs that is not here, by a line of it.
NOT_RUN = {
    "import tensorflow as tf": "TensorFlow",
    'format="saved_model"': "TensorFlow",
    "gs://": "a network",
    'to("cuda")': "a GPU",
    "push_to_hub(": "a hub",
    "InferenceClient(": "a server",
}
# Made by the functions that have an example, or parts of what these give; and errors, whose example is that of one.
RESULTS = {
    "AddedToken",
    "Advice",
    "Agreement",
    "AlignedPiece",
    "ArrowStream",
    "Baseline",
    "Batch",
    "Calibration",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "Dynamics",
    "EncodedExamples",
    "EncoderOutput",
    "EpochResult",
    "Evaluation",
    "Example",
    "Explanation",
    "ExportProgress",
    "FetchProgress",
    "FoldScore",
    "GlueTask",
    "History",
    "Int8Agreement",
    "LabelScore",
    "LabelThreshold",
    "LabelledRows",
    "Layout",
    "LoadedModel",
    "LongTexts",
    "Manifest",
    "MetricScore",
    "PieceReason",
    "Prediction",
    "Predictions",
    "Quality",
    "ReadKeywords",
    "ReadOptions",
    "ReadReport",
    "Reason",
    "Receipt",
    "Recipe",
    "Records",
    "ReencodeProgress",
    "ReencodedExamples",
    "RefusedRow",
    "Reliability",
    "ResourceError",
    "Run",
    "ScheduledAdam",
    "Scores",
    "SeedResult",
    "SeveralLabels",
    "Shard",
    "SoftLabels",
    "SoftRows",
    "SoftTargets",
    "Split",
    "Spread",
    "SkippedStep",
    "StepResult",
    "StoppedError",
    "Summary",
    "TensorRecord",
    "Thresholds",
    "TrainSettings",
    "WordReason",
    "errors",
}
# The page on exporting makes the same call, which proves itself on a thousand rows in a process of its own.
RUN_ELSEWHERE = {"export"}
NAMES = sorted(set(bertune.__all__) - RESULTS - RUN_ELSEWHERE - {"__version__"})
TEXTS = ["good film", "a bad plot and the music was very sad", "nice"]


def blocks(page: Path) -> list[str]:
    return [textwrap.dedent(found[2]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def is_run(code: str) -> bool:
    return not any(line in code for line in NOT_RUN)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """The files that guides and docstrings speak of."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "vocab.txt").symlink_to(model / "vocab.txt")
    (folder / "bert").symlink_to(model)
    classifier, _ = bertune.classifier_model(bertune.BertConfig.from_json_file(model / "config.json"), 2, seed=1)
    for name, labels, columns in (
        ("q", ("different", "duplicate"), ("question1", "question2")),
        ("questions", ("different", "duplicate"), ("question1", "question2")),
        ("mrpc", ("not_equivalent", "equivalent"), ("sentence1", "sentence2")),
    ):
        signature = bertune.ModelSignature(
            labels=labels, is_pair=True, max_length=128, text_a=columns[0], text_b=columns[1]
        )
        tokenizer = bertune.BertTokenizer(model / "vocab.txt")
        bertune.save(classifier, folder / "runs" / name / "model", tokenizer=tokenizer, signature=signature)
    (folder / "glue" / "MRPC").mkdir(parents=True)
    for split in ("train", "validation"):
        with (folder / "glue" / "MRPC" / f"{split}.csv").open("w", newline="") as stream:
            rows = [(text, other, number % 2) for number, text in enumerate(TEXTS) for other in TEXTS]
            csv.writer(stream).writerows([("sentence1", "sentence2", "label"), *rows])
    return folder


@pytest.fixture
def world(tmp_path: Path, files: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """These files in the current folder, and the names that stand for a user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bertune, "resolve_model", functools.wraps(bertune.resolve_model)(lambda name: model))
    monkeypatch.setattr("bertune.training.prepare.resolve_model", lambda name, **_: model)
    for file in files.iterdir():
        (tmp_path / file.name).symlink_to(file)
    classifier, _ = bertune.classifier_model(bertune.BertConfig.from_json_file(model / "config.json"), 2, seed=1)
    return {
        "bertune": bertune,
        "classifier": classifier,
        "labels": np.array([0, 1, 0]),
        "np": np,
        "tokenizer": bertune.BertTokenizer(model / "vocab.txt"),
        "torch": torch,
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_guide_runs(page: Path, world: dict[str, Any]) -> None:
    if page.stem in ("python", "scikit-learn"):
        pytest.importorskip("pandas")
    world["texts"] = list(zip(TEXTS, TEXTS, strict=True)) if page.stem == "explaining" else TEXTS
    if page.stem == "pictures":
        world["texts"] = {"sentence1": TEXTS, "sentence2": TEXTS}
    for code in filter(is_run, blocks(page)):
        exec(compile(code, f"{page.name}: {code.splitlines()[0]}", "exec"), world)


def test_what_is_not_run_is_in_the_guides_and_most_blocks_are_run() -> None:
    every = [code for page in PAGES for code in blocks(page)]
    assert [line for line in NOT_RUN if not any(line in code for code in every)] == []
    assert len(list(filter(is_run, every))) >= 13


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name: str, world: dict[str, Any]) -> None:
    source = inspect.getdoc(getattr(bertune, name)) or ""
    example = doctest.DocTestParser().get_doctest(source, world, name, None, None)
    assert example.examples, f"the docstring of {name} has no example"
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not report, "".join(report)
