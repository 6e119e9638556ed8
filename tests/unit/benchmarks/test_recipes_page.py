"""What the runs of the recipes come to, and where they go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.recipes import facts_of_journal, is_collapsed, page, read_runs, summarize


def run(system: str, seed: int, test: float | None, **other: Any) -> dict[str, Any]:
    found = {"system": system, "task": "mrpc:1000", "seed": seed, "validation": test, "test": test}
    if test is None:
        return found | {"diverged": True, "collapsed": True}
    facts = {"steps": 100, "seconds": 50.0, "rate": 1e-4, "epochs": 5.0, "batch_size": 32, "metric": "accuracy"}
    return found | {"diverged": False, "collapsed": False} | facts | other


RUNS = [
    run("auto", 1, 0.75),
    run("auto", 2, 0.77),
    run("auto", 3, 0.79),
    run("stable", 1, 0.74),
    run("stable", 2, 0.76),
    run("trainer", 1, 0.68, collapsed=True),
    run("trainer", 2, None),
]


def test_auto_is_compared_over_the_seeds_that_the_other_has() -> None:
    summary = summarize(RUNS)["mrpc:1000"]
    assert summary["systems"]["auto"]["test"]["mean"] == pytest.approx(0.77)
    difference = summary["differences"]["stable"]["test"]
    assert (difference["count"], difference["mean"]) == (2, pytest.approx(0.01))
    assert "auto" not in summary["differences"]


def test_a_run_that_diverged_counts_as_collapsed_and_has_no_score() -> None:
    trainer = summarize(RUNS)["mrpc:1000"]["systems"]["trainer"]
    assert (trainer["seeds"], trainer["collapsed"], trainer["diverged"]) == (2, 2, 1)
    assert trainer["test"]["count"] == 1


def test_the_page_has_a_row_for_each_system_and_each_difference() -> None:
    about: dict[str, Any] = {"machine": {"cores": 2}, "versions": {}, "encoder": "tiny", "clock": "wall"}
    text = page(about | {"summary": summarize(RUNS)})
    assert "| mrpc:1000 | auto | 3 | accuracy | 77.00 (72.03 to 81.97) | 2.00 | 75.00 | 77.00 | 2.00 | 0 |" in text
    assert "| mrpc:1000 | trainer | 2 | accuracy | 68.00 |  | 68.00 | 68.00 |  | 2 (1 diverged) |" in text
    assert "| mrpc:1000 | stable | +1.00 |  | neither | +1.00 |  |" in text


def test_a_system_whose_seeds_all_diverged_still_has_its_row() -> None:
    about: dict[str, Any] = {"machine": {}, "versions": {}, "encoder": "tiny", "clock": "wall"}
    text = page(about | {"summary": summarize([run("auto", 1, None), run("stable", 1, 0.7)])})
    assert "| mrpc:1000 | auto | 1 |  |  |  |  |  |  | 1 (1 diverged) |  |  |  |" in text
    cells = [line.count("|") for line in text.splitlines() if line.startswith("| mrpc:1000 | auto")]
    assert cells == [next(line.count("|") for line in text.splitlines() if line.startswith("| task | system"))]


def test_a_line_that_was_cut_off_is_dropped_and_its_run_is_done_again(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(RUNS[0]) + "\n" + json.dumps(RUNS[1])[:20])
    assert read_runs(file) == [RUNS[0]]
    assert file.read_text() == json.dumps(RUNS[0]) + "\n"
    assert read_runs(tmp_path / "missing.jsonl") == []


def test_the_journal_tells_what_was_chosen_also_where_training_stopped_early() -> None:
    start = {"event": "start", "total_steps": 20, "steps_per_epoch": 4, "precision": "fp32"}
    steps = [{"event": "step", "learning_rate": rate, "examples": 8} for rate in (0.0, 1e-4, 2e-4, 1e-4)]
    steps[-1]["examples"] = 3
    epoch = {"event": "epoch", "seconds": 12.5, "train_seconds": 10.0}
    facts = facts_of_journal([start, *steps, epoch])
    assert (facts["rate"], facts["epochs"], facts["batch_size"]) == (2e-4, 5, 8)
    assert (facts["steps"], facts["planned_steps"], facts["seconds"], facts["train_seconds"]) == (4, 20, 12.5, 10.0)


def test_answers_that_are_all_alike_are_a_collapse() -> None:
    targets = np.array([0, 1, 1])
    assert is_collapsed(np.array([1, 1, 1]), targets, is_regression=False)
    assert not is_collapsed(np.array([1, 0, 1]), targets, is_regression=False)
    values = np.array([0.0, 2.5, 5.0])
    assert is_collapsed(np.array([2.5, 2.501, 2.5]), values, is_regression=True)
    assert not is_collapsed(np.array([2.0, 2.5, 3.0]), values, is_regression=True)
