import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bertune.audit.audit import Audit, audit_splits
from bertune.data.examples import Examples, LabelSet, ReadReport, RefusedRow
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.errors import DataError

YES_NO = LabelSet(("no", "yes"))


def examples(rows: list[tuple[str, str, str]], name: str = "train.tsv") -> Examples:
    return Examples.from_lists([a for a, _, _ in rows], [b for _, b, _ in rows], [c for _, _, c in rows], name=name)


def codes(audit: Audit) -> list[str]:
    return [finding.code for finding in audit.findings]


CLEAN = [("a", "b", "yes"), ("c", "d", "no"), ("e", "f", "yes"), ("g", "h", "no")]


def test_clean_data_give_no_finding() -> None:
    audit = audit_splits(
        {
            "train": examples(CLEAN),
            "validation": examples([("x", "y", "no"), ("z", "y", "yes"), ("x", "w", "no"), ("q", "y", "yes")]),
        },
        YES_NO,
    )
    assert audit.findings == []
    assert audit.splits["train"].label_counts == {"no": 2, "yes": 2}
    assert audit.splits["train"].characters == {
        "minimum": 2,
        "median": 2,
        "95 %": 2,
        "99 %": 2,
        "maximum": 2,
        "mean": 2.0,
    }
    assert audit.splits["train"].character_histogram == [{"from": 2, "to": 2, "count": 4}]


def test_repeated_texts_and_contradictions_inside_a_split_are_counted() -> None:
    rows = [*CLEAN, ("a", "b", "yes"), ("a", "b", "no"), ("b", "a", "no")]
    audit = audit_splits({"train": examples(rows)}, YES_NO)
    assert (audit.splits["train"].duplicates, audit.splits["train"].conflicts) == (2, 1)
    assert codes(audit) == ["duplicates", "swapped_pairs", "conflicting_labels"]
    assert audit.findings[0].places == ("train.tsv:5", "train.tsv:6")
    assert audit.findings[0].counterparts == ("train.tsv:1", "train.tsv:1")
    assert audit.findings[2].message.endswith("conflicting labels: 1, the first 'no' against 'yes'")
    assert audit.findings[2].lines()[1] == "  at train.tsv:6 (train.tsv:1)"


def test_overlap_between_splits_is_found_as_it_is_and_after_normalising() -> None:
    validation = examples([("A!", "  b", "yes"), ("c", "d", "no"), ("e", "f", "no"), ("ab", "-", "yes")], "dev.tsv")
    audit = audit_splits({"train": examples(CLEAN), "validation": validation}, YES_NO)
    assert codes(audit) == ["overlap_exact", "conflicting_labels", "overlap_normalised"]
    assert "2 of 4 rows (50.0 %)" in audit.findings[0].message
    assert audit.findings[0].places == ("dev.tsv:2", "dev.tsv:3")
    assert audit.findings[0].counterparts == ("train.tsv:2", "train.tsv:3")
    assert "the first 'no' against 'yes'" in audit.findings[1].message
    assert (audit.findings[1].places, audit.findings[1].counterparts) == (("dev.tsv:3",), ("train.tsv:3",))
    assert audit.findings[2].places == ("dev.tsv:1",)
    assert [overlap.to_dict() for overlap in audit.overlaps] == [
        {"split": "validation", "earlier": "train", "exact": 2, "normalised": 1, "swapped": 0}
    ]


def test_texts_of_punctuation_alone_are_not_the_same() -> None:
    train = examples([("!", "x", "yes"), ("o", "x", "no"), ("p", "x", "no"), ("r", "x", "yes")])
    test = examples([("?", "x", "yes"), ("s", "x", "no"), ("t", "x", "yes"), ("u", "x", "no")], "t")
    assert audit_splits({"train": train, "test": test}, YES_NO).findings == []


def test_a_pair_is_not_its_texts_run_together() -> None:
    train = examples([("a b", "c", "yes"), ("x", "", "no"), ("y", "", "yes"), ("z", "", "no")])
    test = examples([("a", "b c", "yes"), ("", "x", "no"), ("", "y", "yes"), ("", "z", "no")], "t")
    assert "overlap_normalised" not in codes(audit_splits({"train": train, "test": test}, YES_NO))


def test_training_data_with_one_class_are_refused() -> None:
    with pytest.raises(DataError, match=r"train\.tsv: one class only: all 2 rows have 'yes'"):
        audit_splits({"train": examples([("a", "b", "yes"), ("c", "d", "yes")])}, YES_NO)


def test_one_class_in_validation_is_a_finding_only() -> None:
    validation = examples([("x", "y", "yes"), ("z", "y", "yes")], "dev.tsv")
    audit = audit_splits({"train": examples(CLEAN), "validation": validation}, YES_NO)
    assert codes(audit) == ["absent_label"]


def test_targets_that_are_all_equal_are_refused() -> None:
    with pytest.raises(DataError, match=r"one target only: all 2 rows have '2\.5'"):
        audit_splits({"train": Examples.from_lists(["a", "b"], labels=["2.5", "2.50"])}, None)


def test_targets_are_compared_as_numbers() -> None:
    same = Examples.from_lists(["a", "b", "a"], labels=["5.0", "1", "5.000"])
    audit = audit_splits({"train": same, "test": Examples.from_lists(["b"], labels=["1.0"], name="t")}, None)
    assert codes(audit) == ["duplicates", "overlap_exact"]
    assert audit.splits["train"].targets["maximum"] == 5.0


def test_rare_and_single_labels_are_findings() -> None:
    rows = [(f"text {number}", f"other {number}", "no") for number in range(30)]
    assert codes(audit_splits({"train": examples([*rows, ("x", "y", "yes")])}, YES_NO)) == ["single_example"]
    two = [*rows, ("x", "y", "yes"), ("z", "y", "yes")]
    assert codes(audit_splits({"train": examples(two)}, YES_NO)) == ["imbalance"]
    for chosen_by, told in {
        "accuracy": "; accuracy chooses the best epoch, which hardly counts so rare a label: --metric f1 does",
        "f1": "; f1 chooses the best epoch",
        None: "of the labels",
    }.items():
        (finding,) = audit_splits({"train": examples(two)}, YES_NO, chosen_by=chosen_by).findings
        assert finding.message.endswith(told)
    # The first of two labels has no metric of its own.
    turned = [(one, other, "yes" if label == "no" else "no") for one, other, label in two]
    (finding,) = audit_splits({"train": examples(turned)}, YES_NO, chosen_by="f1").findings
    assert finding.message.endswith("--metric f1_macro does")
    balanced = [(f"text {number}", f"b {number}", "yes" if number % 8 == 0 else "no") for number in range(32)]
    assert audit_splits({"train": examples(balanced)}, YES_NO).findings == []


def test_what_reading_left_is_reported() -> None:
    refused = [RefusedRow("train.tsv", 9, "1 cell, expected 3")]
    report = ReadReport("train.tsv", 5, 4, refused, blank_texts=2, warnings=["train.tsv: quotes look odd"])
    audit = audit_splits({"train": replace(examples([*CLEAN[:3], (" ", "", "no")]), report=report)}, YES_NO)
    assert codes(audit) == ["reading", "refused_rows", "blank_texts"]
    assert audit.findings[1].places == ("train.tsv:9",)
    assert "1 cell, expected 3" in audit.findings[1].message
    assert (audit.splits["train"].rows_in, audit.splits["train"].rows_refused) == (5, 1)


def test_splits_without_labels_are_audited_too() -> None:
    audit = audit_splits({"train": examples(CLEAN), "test": Examples.from_lists(["a"], ["b"], name="t")}, YES_NO)
    assert codes(audit) == ["overlap_exact"]
    assert audit.splits["test"].label_counts == {}


def test_the_audit_is_text_and_json() -> None:
    audit = audit_splits({"train": examples([*CLEAN, ("a", "b", "no")])}, YES_NO)
    document = json.loads(json.dumps(audit.to_dict()))
    assert document["splits"]["train"]["duplicates"] == 1
    assert document["findings"][0]["code"] == "duplicates"
    lines = audit.lines()
    assert lines[0] == "train: 5 of 5 rows used, 0 refused"
    assert "no 3 (60.0 %), yes 2 (40.0 %)" in lines[1]
    assert lines[2] == "  characters  2 █ 2; median 2, 95 % 2, 99 % 2"
    assert (
        lines[-2]
        == "warning: conflicting_labels: train: texts with conflicting labels: 1, the first 'no' against 'yes'"
    )
    assert lines[-1] == "  at train.tsv:5 (train.tsv:1)"
    assert all("\n" not in line for line in lines)


def test_fifty_thousand_rows_take_seconds() -> None:
    rows = [(f"text {number}", f"other {number}", "no" if number % 2 else "yes") for number in range(50_000)]
    start = time.perf_counter()
    audit = audit_splits({"train": examples(rows), "validation": examples(rows)}, YES_NO)
    # Linear work takes about one second; comparing every row with every other takes many minutes.
    assert time.perf_counter() - start < 30
    assert "50,000 of 50,000" in audit.findings[0].message


def test_the_real_mrpc_shares_no_exact_pair_between_splits(glue_dir: Path) -> None:
    task = glue_task("mrpc")
    splits = {name: read_split(split) for name, split in find_splits(glue_dir, task).items()}
    audit = audit_splits(splits, task.labels)
    assert codes(audit) == ["near_duplicates", "near_duplicates", "overlap_normalised"]
    assert audit.splits["validation"].label_counts == {"not_equivalent": 129, "equivalent": 279}
    assert audit.findings[2].message.startswith("test: 6 of 1,725")
