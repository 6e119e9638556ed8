import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.wording.test_markup import HOSTILE, Tags

from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError, DataError
from bertune.reports.compared_runs import ComparedRun, compare_runs, read_compared_run
from bertune.reports.comparison_page import comparison_page
from bertune.reports.comparison_text import comparison_lines, comparison_values
from bertune.system.hinted_values import to_json
from bertune.training.saved_run import LabelledRow

LABELS = ("no", "yes")
SIGNATURE = ModelSignature(labels=LABELS, is_pair=False, max_length=32, metrics=("accuracy", "f1"))


def run_of(
    name: str, given: list[int], targets: list[int], signature: ModelSignature = SIGNATURE, **rows: Any
) -> ComparedRun:
    texts = [
        replace(LabelledRow(where=f"dev.csv:{row + 2}", text_a=f"text {row}", target=LABELS[target]), **rows)
        for row, target in enumerate(targets)
    ]
    logits = np.where(np.eye(2, dtype=bool)[given], 2.0, -2.0).astype(np.float32)
    return ComparedRun(name, signature, texts, logits)


TARGETS = [0, 1] * 100
RIGHT = TARGETS
WORSE = [1 - target if row < 30 else target for row, target in enumerate(TARGETS)]
HARDLY_WORSE = [1 - target if row < 2 else target for row, target in enumerate(TARGETS)]


def test_a_clear_difference_is_called_one_and_the_flipped_rows_are_shown() -> None:
    runs = [run_of("runs/a", WORSE, TARGETS), run_of("runs/b", RIGHT, TARGETS)]
    lines = comparison_lines(compare_runs(runs), runs, most_rows=2)
    assert lines[0].startswith("runs/b is better than runs/a: accuracy +15.0 points (+10.")
    text = "\n".join(lines)
    assert "right in runs/a, wrong in runs/b: 0 rows; the other way round: 30; McNemar's exact test p < 0.001" in text
    assert (
        "wrong in runs/a, right in runs/b: 30 rows, the first 2\n  dev.csv:2: no; answered yes -> no\n    text 0"
        in text
    )
    assert "dev.csv:4" not in text


def test_a_small_difference_is_not_called_one() -> None:
    runs = [run_of("runs/a", RIGHT, TARGETS), run_of("runs/b", HARDLY_WORSE, TARGETS)]
    comparison = compare_runs(runs)
    assert comparison_lines(comparison, runs, most_rows=5)[0].startswith(
        "no difference shown between runs/a and runs/b: accuracy \N{MINUS SIGN}1.0 points"
    )
    page = comparison_page(comparison, runs)
    assert "No difference shown" in Tags(page).words
    assert comparison_lines(compare_runs([runs[0]] * 2), runs, most_rows=5)[0].endswith(
        "0.0 points (\N{MINUS SIGN}1.9 to +1.9), p = 1"
    )


def test_each_run_answers_by_its_own_thresholds() -> None:
    strict = replace(SIGNATURE, thresholds=(0.99,))
    runs = [run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS, strict)]
    (pair,) = compare_runs(runs).pairs
    assert (len(pair.only_first), len(pair.only_second)) == (100, 0)  # sigmoid(4) = 0.982 is not enough for a yes


def test_labels_in_another_order_are_the_same_labels() -> None:
    turned = replace(SIGNATURE, labels=("yes", "no"))
    runs = [run_of("a", RIGHT, TARGETS), run_of("b", [1 - given for given in RIGHT], TARGETS, turned)]
    assert compare_runs(runs).pairs[0].metrics["accuracy"].value == 0


def test_with_three_runs_every_pair_is_corrected_and_rows_are_only_counted() -> None:
    runs = [run_of(name, given, TARGETS) for name, given in (("a", RIGHT), ("b", HARDLY_WORSE), ("c", WORSE))]
    comparison = compare_runs(runs)
    lines = comparison_lines(comparison, runs, most_rows=5)
    assert "after Holm's correction for 3 pairs" in lines[0]
    assert not any("dev.csv" in line for line in lines)
    values = comparison_values(comparison, runs)
    assert len(values["pairs"]) == 3
    assert [row["where"] for row in values["pairs"][0]["only_first"]] == ["dev.csv:2", "dev.csv:3"]
    assert values["pairs"][0]["only_first"][0]["answers"] == ["no", "yes"]
    json.dumps(values, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"text_a": "another"},
            r"a and b answered other rows: at dev\.csv:2 text_a is 'text 0', at dev\.csv:2 'another'",
        ),
        ({"text_b": "second"}, "text_b is None"),
        ({"target": "yes"}, "target is 'no'"),
    ],
)
def test_other_rows_are_refused_and_the_first_that_differs_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS, **change)])


def test_fewer_rows_are_other_rows() -> None:
    with pytest.raises(DataError, match="a answered 200 rows, b 199"):
        compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT[:-1], TARGETS[:-1])])


def test_the_same_rows_in_another_file_are_the_same_rows() -> None:
    elsewhere = compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS, where="copy.csv:2")])
    assert elsewhere == compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS)])


def test_other_tasks_and_labels_are_refused() -> None:
    other = replace(SIGNATURE, labels=("no", "maybe"))
    with pytest.raises(ConfigError, match="do not have the same labels: 'maybe' is only in one"):
        compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS, other)])
    values = replace(SIGNATURE, labels=(), kind="regression", metrics=("pearson",))
    with pytest.raises(ConfigError, match="a does classification, b regression"):
        compare_runs([run_of("a", RIGHT, TARGETS), run_of("b", RIGHT, TARGETS, values)])
    with pytest.raises(ConfigError, match="two runs or more"):
        compare_runs([run_of("a", RIGHT, TARGETS)])


def test_the_page_shows_what_is_in_the_data_and_obeys_none_of_it() -> None:
    signature = replace(SIGNATURE, labels=("no", HOSTILE))
    rows = [LabelledRow(where=f"{HOSTILE}:7", text_a=HOSTILE, target=signature.labels[target]) for target in TARGETS]
    runs = [
        replace(run_of(f"{name}{HOSTILE}", given, TARGETS, signature), rows=rows)
        for name, given in (("a", WORSE), ("b", RIGHT))
    ]
    page = comparison_page(compare_runs(runs), runs)
    seen = Tags(page)
    assert "script" not in seen.tags
    assert not {name for name, _ in seen.attributes if name.startswith("on")}
    assert any("<script>alert(1)</script>" in words for words in seen.words)  # shown as it is
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_has_every_pair_with_its_rows() -> None:
    runs = [run_of(name, given, TARGETS) for name, given in (("a", RIGHT), ("b", HARDLY_WORSE), ("c", WORSE))]
    seen = Tags(comparison_page(compare_runs(runs), runs))
    assert [value for name, value in seen.attributes if name == "id"] == ["scores", "pair-1", "pair-2", "pair-3"]
    assert "right in a, wrong in b: 2 rows" in seen.words
    assert seen.words.count("text 0") == 2  # flipped between a and b, and a and c


def test_values_are_compared_and_the_rows_that_moved_most_come_first() -> None:
    signature = ModelSignature(labels=(), is_pair=False, max_length=32, kind="regression", metrics=("pearson",))
    source = np.random.default_rng(0)
    targets = source.normal(size=200)
    rows = [LabelledRow(where=f"dev.csv:{row}", text_a=str(row), target=float(t)) for row, t in enumerate(targets)]
    runs = [
        ComparedRun(name, signature, rows, (targets + source.normal(scale=scale, size=200))[:, None].astype(np.float32))
        for name, scale in (("a", 1.0), ("b", 0.5))
    ]
    comparison = compare_runs(runs)
    lines = comparison_lines(comparison, runs, most_rows=1)
    assert lines[0].startswith("b is better than a: Pearson correlation +0.")
    moved = np.abs(runs[0].logits[:, 0] - targets) - np.abs(runs[1].logits[:, 0] - targets)
    assert any(line.startswith(f"  dev.csv:{int(moved.argmax())}: ") for line in lines)
    assert "is nearer" in comparison_page(comparison, runs)


def write_run(folder: Path, given: list[int]) -> None:
    (folder / "model").mkdir(parents=True)
    (folder / "run.toml").write_text("[train]\n")
    (folder / "model" / "bertune.json").write_text(json.dumps(SIGNATURE.to_dict()))
    run = run_of("a", given, TARGETS)
    lines = [
        json.dumps(to_json(row) | {"tokens": 4, "logits": logits.tolist()})
        for row, logits in zip(run.rows, run.logits, strict=True)
    ]
    (folder / "validation.jsonl").write_text("\n".join(lines) + "\n")


def test_a_run_is_read_and_a_study_is_its_best_seed(tmp_path: Path) -> None:
    write_run(tmp_path / "study" / "seed-1", RIGHT)
    write_run(tmp_path / "study" / "seed-2", WORSE)
    (tmp_path / "study" / "run.toml").write_text("[train]\n")
    (tmp_path / "study" / "seeds.json").write_text(json.dumps({"model": {"seeds": [2], "recipe": "best seed"}}))
    runs = [read_compared_run(tmp_path / "study" / "seed-1"), read_compared_run(tmp_path / "study")]
    assert compare_runs(runs).pairs[0].metrics["accuracy"].value == pytest.approx(-0.15)
    (tmp_path / "study" / "seeds.json").write_text(json.dumps({"model": {"seeds": [1, 2], "recipe": "soup"}}))
    with pytest.raises(ConfigError, match="does not keep the model of one seed"):
        read_compared_run(tmp_path / "study")


def test_a_run_without_answers_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", RIGHT)
    rows = tmp_path / "a" / "validation.jsonl"
    content = rows.read_text()
    rows.write_text(content.replace("-2.0, 2.0", "2.0", 1))
    with pytest.raises(DataError, match=r"validation\.jsonl: not as it was written"):
        read_compared_run(tmp_path / "a")
    rows.write_text(content.replace("yes", "perhaps"))
    with pytest.raises(DataError, match="'perhaps'"):
        compare_runs([read_compared_run(tmp_path / "a")] * 2)
    rows.unlink()
    with pytest.raises(ConfigError, match="has no answers to validation rows"):
        read_compared_run(tmp_path / "a")
    with pytest.raises(ConfigError, match="not the folder of a run"):
        read_compared_run(tmp_path)


def test_several_labels_a_row_are_compared_and_shown_by_name() -> None:
    signature = ModelSignature(
        labels=("a", "b"), is_pair=False, max_length=32, kind="multi-label", metrics=("f1_micro",)
    )
    source = np.random.default_rng(1)
    targets = source.integers(0, 2, (120, 2))
    rows = [
        LabelledRow(
            where=f"dev.csv:{row}",
            text_a="t",
            target=tuple(name for name, is_in in zip("ab", each, strict=True) if is_in),
        )
        for row, each in enumerate(targets)
    ]
    noise = [source.normal(scale=scale, size=targets.shape) for scale in (1.5, 0.1)]
    runs = [
        ComparedRun(name, signature, rows, (2 * targets - 1 + each).astype(np.float32))
        for name, each in zip("xy", noise, strict=True)
    ]
    comparison = compare_runs(runs)
    assert comparison_lines(comparison, runs, most_rows=3)[0].startswith("y is better than x: micro F1 +")
    answers = [row["answers"][1] for row in comparison_values(comparison, runs)["pairs"][0]["only_second"]]
    assert set(answers) <= {"a", "b", "a, b", "no label"}
    assert len(answers) > 10
    comparison_page(comparison, runs)
