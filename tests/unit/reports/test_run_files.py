"""What a run folder holds: damage is named, and a study's answers are those of the model that it keeps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reports.some_run import with_accuracy
from tests.unit.scored import scored

from bertune.errors import DataError
from bertune.reports.numbers import command_of, warnings_of
from bertune.reports.run_files import read_run, read_scores, read_study
from bertune.reports.run_metrics import AnswerNumbers, Group

DATA: dict[str, Any] = {"splits": {}, "findings": [], "reports": {}}
ROW = {"where": "a.csv:2", "text_a": "good", "tokens": 3, "target": "up", "logits": [0.5, -0.5]}


def write(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(exist_ok=True)
    text = content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n"
    (folder / name).write_bytes(text)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.json", {}, "data.json: not as bertune writes it: 'splits' is missing"),
        ("data.json", {"splits": {}, "findings": None, "reports": {}}, "'findings' is no list"),
        ("data.json", DATA | {"long_texts": []}, "long_texts is no object"),
        (
            "data.json",
            DATA | {"long_texts": {"train": {"long_text": "first"}}},
            "'long_texts.train.max_length' is missing",
        ),
        ("data.json", DATA | {"long_texts": {"train": {"long_text": []}}}, "'long_texts.train.long_text' is none of"),
        ("receipt.json", {"summary": "", "tensors": [{"name": "a"}]}, r"'tensors\[0\].status' is missing"),
        ("scores.json", {"epoch": 1}, "'validation' is missing"),
        ("scores.json", {"epoch": 1, "validation": []}, "validation is no object"),
        ("calibration.json", {"rows": 3}, "'temperature' is missing"),
        ("metrics.jsonl", {}, "metrics.jsonl:1: not as bertune writes it: 'event' is missing"),
        ("metrics.jsonl", b"\x00\xff\n", "metrics.jsonl:1: not JSON"),
        ("validation.jsonl", {**ROW, "logits": ["x"]}, r"'logits\[0\]' is of another kind"),
        ("validation.jsonl", {**ROW, "logits": [1e300]}, r"'logits\[0\]' is of another kind, or beyond what a model"),
        ("validation.jsonl", {**ROW, "target": -1e300}, "'target' is of another kind, or beyond what a model"),
        ("validation.jsonl", [], "validation.jsonl:1: not as bertune writes it: the content is no object"),
        ("doubtful.jsonl", {}, "'where' is missing"),
    ],
)
def test_a_file_that_no_run_wrote_is_named_with_what_it_lacks(
    tmp_path: Path, name: str, content: Any, says: str
) -> None:
    write(tmp_path, "run.toml", b"[train]\n")
    write(tmp_path, name, content)
    with pytest.raises(DataError, match=says):
        read_run(tmp_path)


def test_scores_without_an_epoch_are_damaged(tmp_path: Path) -> None:
    scores = scored([[0.1, 0.9], [0.9, 0.1]], [1, 0], task_kind="classification", metrics=["accuracy"])
    write(tmp_path, "scores.json", {"validation": scores.to_dict()})
    with pytest.raises(DataError, match="'epoch' is missing"):
        read_scores(tmp_path)


@pytest.mark.parametrize("where", ["validation", "frozen_features"])
def test_scores_of_no_metric_are_damaged(tmp_path: Path, where: str) -> None:
    scores = scored([[0.1, 0.9], [0.9, 0.1]], [1, 0], task_kind="classification", metrics=["accuracy"]).to_dict()
    frozen = {"name": "x", "metrics": {"accuracy": 0.5}, "rows_trained": 2, "rows_scored": 2}
    content = {"epoch": 1, "validation": scores, "frozen_features": frozen}
    write(tmp_path, "scores.json", content | {where: content[where] | {"metrics": {}}})
    with pytest.raises(DataError, match=r"metrics' is empty"):
        read_scores(tmp_path)


def test_the_answers_of_a_study_are_those_of_the_model_it_keeps(tmp_path: Path) -> None:
    """An average has logits of its own; the best seed's do not belong to its temperature and thresholds."""
    for folder, logit in ((tmp_path, 2.0), (tmp_path / "seed-1", 1.0)):
        write(folder, "run.toml", b"[train]\n")
        write(folder, "validation.jsonl", {**ROW, "logits": [logit, 0.0]})
    results = [{"seed": seed, "folder": f"seed-{seed}", "status": "finished", "seconds": 1.5} for seed in (1, 2)]
    ended = {
        "chosen_by": "validation accuracy",
        "test": "not used",
        "model": {"seeds": [1, 2], "recipe": "mean"},
        "summary": {"metrics": {}, "best": 1, "collapsed": [], "diverged": []},
        "averages": [],
    }
    write(tmp_path, "seeds.json", ended | {"results": results, "settings": {}, "data": ""})
    assert read_study(tmp_path).validation[0].logits == (2.0, 0.0)
    write(tmp_path, "seeds.json", ended | {"results": results[1:], "settings": {}})
    with pytest.raises(DataError, match="the best seed is not among the results"):
        read_study(tmp_path)


def test_the_command_of_a_sweep_is_a_sweep() -> None:
    assert command_of({"trials": 3, "search-learning-rate": [1e-3, 1e-2]}, "sweep") == (
        "bertune sweep --trials 3 --search-learning-rate 0.001 0.01"
    )


@pytest.mark.parametrize(("now", "told"), [(0.75, False), (0.5, True)])
def test_metrics_from_before_a_new_calibration_are_told_from_the_answers_of_now(now: float, told: bool) -> None:
    overall = Group(rows=400, value=now, low=None, high=None)
    answers = AnswerNumbers(measure="right", rows=400, wrong=100, overall=overall, by_length=(), errors=())
    numbers = replace(with_accuracy(value=0.75), answers=answers)
    assert any("recalibrated" in warning.message for warning in warnings_of(numbers)) is told


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ({"value": "0.5"}, "'validation.metrics.accuracy.value' is of another kind"),
        ({"against_baseline": "perhaps"}, "'validation.metrics.accuracy.against_baseline' is none of better, unclear"),
        (None, "validation.metrics.accuracy is no object"),
    ],
)
def test_a_metric_that_is_none_is_named(tmp_path: Path, metric: Any, says: str) -> None:
    scores = scored([[0.1, 0.9], [0.9, 0.1]], [1, 0], task_kind="classification", metrics=["accuracy"]).to_dict()
    scores["metrics"]["accuracy"] = None if metric is None else scores["metrics"]["accuracy"] | metric
    write(tmp_path, "scores.json", {"epoch": 1, "validation": scores})
    with pytest.raises(DataError, match=says):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"event": "step", "step": 1, "epoch": 1, "loss": 0.5, "learning_rate": 0.1}, "'gradient_norm' is missing"),
        ({"event": "epoch", "epoch": "1"}, "'epoch' is of another kind"),
        ({"event": "start", "precision": None}, "'precision' is of another kind"),
    ],
)
def test_a_line_of_the_journal_is_held_to_what_its_event_has(tmp_path: Path, line: dict[str, Any], says: str) -> None:
    write(tmp_path, "run.toml", b"[train]\n")
    write(tmp_path, "metrics.jsonl", line)
    with pytest.raises(DataError, match=rf"metrics\.jsonl:1: not as bertune writes it: {says}"):
        read_run(tmp_path)
