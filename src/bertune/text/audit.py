"""Looks at the data before anything is learned from them: duplicates, contradictions, leaks between splits, balance."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bertune.errors import DataError
from bertune.text.examples import Examples, LabelSet
from bertune.text.findings import Finding
from bertune.text.nearest import shorten
from bertune.text.repeated_texts import Answers, overlaps_between, repetitions_in

__all__ = ["Audit", "Finding", "SplitAudit", "audit_splits"]

_QUANTILES = {"minimum": 0.0, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "maximum": 1.0}
_RARE = 0.2
"""A label is rare below this fraction of its even share: below 10 % with two labels."""


@dataclass
class SplitAudit:
    """What one split holds.

    Args:
        path: where it was read.
        rows_in: data rows of the file.
        rows_used: examples.
        rows_refused: rows that could not be used.
        rows_other_split: rows of the file that belong to another split.
        blank_texts: text cells that are empty or only spaces.
        duplicates: examples whose texts occur earlier in the same split.
        conflicts: distinct texts that occur in this split with different labels.
        label_counts: examples of each label, in label order; empty for a regression or without labels.
        targets: minimum, mean and maximum of a regression; empty otherwise.
        characters: quantiles of the number of characters of an example.
    """

    path: str
    rows_in: int
    rows_used: int
    rows_refused: int
    rows_other_split: int
    blank_texts: int
    duplicates: int = 0
    conflicts: int = 0
    label_counts: dict[str, int] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)


@dataclass
class Audit:
    """The audit of all splits.

    Args:
        splits: what each split holds.
        findings: what its user should know, in the order of the splits.
    """

    splits: dict[str, SplitAudit]
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Gives everything as plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Gives plain text lines for a terminal: one block a split, then the findings."""
        lines: list[str] = []
        for name, split in self.splits.items():
            other = f", {split.rows_other_split:,} of another split" if split.rows_other_split else ""
            lines.append(
                f"{name}: {split.rows_used:,} of {split.rows_in:,} rows used, {split.rows_refused:,} refused{other}"
            )
            if split.label_counts:
                shares = ", ".join(
                    f"{label} {count:,} ({count / max(split.rows_used, 1):.1%})"
                    for label, count in split.label_counts.items()
                )
                lines.append(f"  labels      {shares}")
            if split.targets:
                lines.append("  targets     " + ", ".join(f"{key} {value:.3g}" for key, value in split.targets.items()))
            lines.append("  characters  " + ", ".join(f"{key} {value:,}" for key, value in split.characters.items()))
            lines.append(
                f"  texts       {split.blank_texts:,} blank, {split.duplicates:,} repeated, "
                f"{split.conflicts:,} with conflicting labels"
            )
        lines += [f"{finding.severity}: {finding.message}" for finding in self.findings]
        return lines


def audit_splits(splits: Mapping[str, Examples], labels: LabelSet | None) -> Audit:
    """Audits the splits of a task. Time is linear in the rows.

    Args:
        splits: the examples of each split, ``train`` first.
        labels: the labels of a classification; None for a regression.

    Returns:
        Numbers and findings.

    Raises:
        DataError: the training data have one class only, or one target only; or a label is none of the task's.
    """
    audits: dict[str, SplitAudit] = {}
    findings: list[Finding] = []
    for name, examples in splits.items():
        audits[name] = _describe(examples, labels)
        if name == "train":
            _require_variety(examples, audits[name], labels)
        findings += _findings_of_reading(name, examples, audits[name])
        findings += _findings_of_labels(name, audits[name], labels)
        repetitions = repetitions_in(name, examples, _answers(examples, labels))
        audits[name].duplicates, audits[name].conflicts = repetitions.duplicates, repetitions.conflicts
        findings += repetitions.findings
    findings += overlaps_between(splits, {name: _answers(examples, labels) for name, examples in splits.items()})
    return Audit(audits, findings)


def _describe(examples: Examples, labels: LabelSet | None) -> SplitAudit:
    report = examples.report
    audit = SplitAudit(
        path=report.path,
        rows_in=report.rows_in,
        rows_used=len(examples),
        rows_refused=len(report.refused),
        rows_other_split=report.rows_other_split,
        blank_texts=report.blank_texts,
    )
    lengths = np.fromiter(map(len, examples.texts_a), dtype=np.int64, count=len(examples))
    if examples.texts_b is not None:
        lengths += np.fromiter(map(len, examples.texts_b), dtype=np.int64, count=len(examples))
    if len(examples):
        # "higher": a length that some example has.
        values = np.quantile(lengths, list(_QUANTILES.values()), method="higher")
        audit.characters = {name: int(value) for name, value in zip(_QUANTILES, values, strict=True)}
    if examples.label_sets is not None and labels is not None:
        counts = examples.label_rows(labels).sum(axis=0)
        audit.label_counts = {name: int(count) for name, count in zip(labels.names, counts, strict=True)}
    if examples.labels is None or not len(examples):
        return audit
    if labels is None:
        targets = examples.targets().astype(np.float64)
        audit.targets = {
            "minimum": targets.min().item(),
            "mean": targets.mean().item(),
            "maximum": targets.max().item(),
        }
    else:
        counts = np.bincount(examples.label_ids(labels), minlength=len(labels))
        audit.label_counts = {name: int(count) for name, count in zip(labels.names, counts, strict=True)}
    return audit


def _require_variety(examples: Examples, audit: SplitAudit, labels: LabelSet | None) -> None:
    if labels is None:
        if audit.targets and audit.targets["minimum"] == audit.targets["maximum"]:
            raise DataError(
                f"{audit.path}: every target is {audit.targets['minimum']:g}, so there is nothing to learn",
                hint="is this the column with the targets?",
            )
        return
    present = [name for name, count in audit.label_counts.items() if count]
    if len(present) == 1:
        raise DataError(
            f"{audit.path}: one class only: all {len(examples):,} rows have the label '{shorten(present[0])}'",
            hint="training needs at least two; is this the column with the labels?",
        )


def _findings_of_reading(name: str, examples: Examples, audit: SplitAudit) -> Iterator[Finding]:
    report = examples.report
    for warning in report.warnings:
        yield Finding("reading", "warning", warning)
    if report.refused:
        yield Finding(
            "refused_rows", "warning", f"{name}: {len(report.refused):,} rows refused, the first: {report.refused[0]}"
        )
    if audit.blank_texts:
        yield Finding("blank_texts", "warning", f"{name}: {audit.blank_texts:,} texts are blank and used as they are")


def _findings_of_labels(name: str, audit: SplitAudit, labels: LabelSet | None) -> Iterator[Finding]:
    if labels is None or not audit.label_counts:
        return
    absent = [f"'{shorten(label)}'" for label, count in audit.label_counts.items() if not count]
    if absent:
        yield Finding("absent_label", "warning", f"{name}: no example of {', '.join(absent[:10])}")
    single = [f"'{shorten(label)}'" for label, count in audit.label_counts.items() if count == 1]
    if single:
        yield Finding("single_example", "warning", f"{name}: only one example of {', '.join(single[:10])}")
    rarest = min(audit.label_counts, key=lambda label: audit.label_counts[label])
    share = audit.label_counts[rarest] / audit.rows_used
    if not absent and share * len(labels) < _RARE:
        yield Finding("imbalance", "note", f"{name}: '{shorten(rarest)}' makes up {share:.1%} of the examples")


def _answers(examples: Examples, labels: LabelSet | None) -> Answers:
    """Gives what contradictions are judged by: label words, or targets as numbers, so that 5.0 agrees with 5.000."""
    if examples.label_sets is not None:
        return [", ".join(sorted(words)) for words in examples.label_sets]
    if examples.labels is None or labels is not None:
        return examples.labels
    answers: list[float] = examples.targets().tolist()
    return answers
