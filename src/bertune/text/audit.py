"""Looks at the data before anything is learned from them: duplicates, contradictions, leaks between splits, balance."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from bertune.errors import DataError
from bertune.text.examples import Examples, LabelSet
from bertune.text.nearest import shorten

Severity = Literal["note", "warning"]
TextKey = tuple[str, str | None]

_QUANTILES = {"minimum": 0.0, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "maximum": 1.0}
_RARE = 0.2
"""A label is rare below this fraction of its even share: below 10 % with two labels."""
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Finding:
    """Something about the data that its user should know.

    Args:
        code: a fixed word for programs, such as ``overlap_exact``.
        severity: ``warning`` where scores may mislead or rows are doubtful, ``note`` otherwise.
        message: one sentence with numbers, and an example's place where there is one.
    """

    code: str
    severity: Severity
    message: str


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
        findings += _repeated_texts(name, examples, _answers(examples, labels), audits[name])
    findings += _overlaps(splits, {name: _answers(examples, labels) for name, examples in splits.items()})
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


def _answers(examples: Examples, labels: LabelSet | None) -> Sequence[str | float] | None:
    """Gives what contradictions are judged by: label words, or targets as numbers, so that 5.0 agrees with 5.000."""
    if examples.labels is None or labels is not None:
        return examples.labels
    answers: list[float] = examples.targets().tolist()
    return answers


def _repeated_texts(
    name: str, examples: Examples, answers: Sequence[str | float] | None, audit: SplitAudit
) -> Iterator[Finding]:
    """Counts repetitions and contradictions inside one split."""
    first_row: dict[TextKey, int] = {}
    contradicted: dict[TextKey, int] = {}
    first_repeat: int | None = None
    for row, key in enumerate(_exact_keys(examples)):
        first = first_row.setdefault(key, row)
        if first == row:
            continue
        audit.duplicates += 1
        first_repeat = row if first_repeat is None else first_repeat
        if answers is not None and answers[row] != answers[first]:
            contradicted.setdefault(key, row)
    audit.conflicts = len(contradicted)
    if first_repeat is not None:
        original = first_row[_key(examples, first_repeat)]
        yield Finding(
            "duplicates",
            "note",
            f"{name}: {_count(audit.duplicates, 'repeats', 'repeat')} the texts of an earlier one, the first: "
            f"{examples.where(first_repeat)} repeats {_place(examples, original, first_repeat)}",
        )
    if contradicted:
        key, row = next(iter(contradicted.items()))
        first = first_row[key]
        yield Finding(
            "conflicting_labels",
            "warning",
            f"{name}: texts with conflicting labels: {len(contradicted):,}, the first: {examples.where(row)} says "
            f"'{_word(examples, row)}', {_place(examples, first, row)} says '{_word(examples, first)}'",
        )


def _overlaps(splits: Mapping[str, Examples], answers: Mapping[str, Sequence[str | float] | None]) -> Iterator[Finding]:
    """Finds examples of a split whose texts an earlier split has, as they are and after normalising."""
    names = list(splits)
    exact: dict[str, dict[TextKey, int]] = {}
    normal: dict[str, dict[TextKey, int]] = {}
    for position, name in enumerate(names):
        examples = splits[name]
        exact_rows = list(_exact_keys(examples))
        normal_rows = [_normalised(key) for key in exact_rows]
        for earlier in names[:position]:
            same = [row for row, key in enumerate(exact_rows) if key in exact[earlier]]
            alike = [row for row, key in enumerate(normal_rows) if key in normal[earlier]]
            known = set(same)
            alike = [row for row in alike if row not in known]
            if same:
                origin = exact[earlier][exact_rows[same[0]]]
                yield _overlap("overlap_exact", splits, name, earlier, same, origin)
                origins = [(row, exact[earlier][exact_rows[row]]) for row in same]
                yield from _contradictions(splits, answers, name, earlier, origins)
            if alike:
                origin = normal[earlier][normal_rows[alike[0]]]
                yield _overlap("overlap_normalised", splits, name, earlier, alike, origin)
        exact[name] = _first_rows(exact_rows)
        normal[name] = _first_rows(normal_rows)


def _overlap(
    code: str, splits: Mapping[str, Examples], name: str, earlier: str, rows: list[int], origin: int
) -> Finding:
    how = "" if code == "overlap_exact" else " but for case, space and punctuation"
    examples = splits[name]
    return Finding(
        code,
        "warning",
        f"{name}: {len(rows):,} of {len(examples):,} examples ({len(rows) / len(examples):.1%}) with the texts of an "
        f"example in {earlier}{how}, the first: {examples.where(rows[0])} and {splits[earlier].where(origin)}",
    )


def _contradictions(
    splits: Mapping[str, Examples],
    answers: Mapping[str, Sequence[str | float] | None],
    name: str,
    earlier: str,
    pairs: list[tuple[int, int]],
) -> Iterator[Finding]:
    """Tells of rows whose label differs from that of the same texts in an earlier split."""
    mine, theirs = answers[name], answers[earlier]
    if mine is None or theirs is None:
        return
    differing = [(row, origin) for row, origin in pairs if mine[row] != theirs[origin]]
    if not differing:
        return
    row, origin = differing[0]
    yield Finding(
        "conflicting_labels",
        "warning",
        f"{name}: {_count(len(differing), 'contradicts', 'contradict')} the label of the same texts in {earlier}, the "
        f"first: {splits[name].where(row)} says '{_word(splits[name], row)}', "
        f"{splits[earlier].where(origin)} says '{_word(splits[earlier], origin)}'",
    )


def _word(examples: Examples, row: int) -> str:
    return "" if examples.labels is None else shorten(examples.labels[row])


def _count(number: int, one: str, many: str) -> str:
    return f"1 example {one}" if number == 1 else f"{number:,} examples {many}"


def _place(examples: Examples, row: int, beside: int) -> str:
    """Names a row shortly when it is in the same file as the one named before."""
    same_file = examples.paths is None or examples.paths[row] == examples.paths[beside]
    return f"line {examples.lines[row]}" if same_file else examples.where(row)


def _first_rows(keys: list[TextKey]) -> dict[TextKey, int]:
    first: dict[TextKey, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return first


def _exact_keys(examples: Examples) -> Iterator[TextKey]:
    if examples.texts_b is None:
        return ((text, None) for text in examples.texts_a)
    return iter(zip(examples.texts_a, examples.texts_b, strict=True))


def _key(examples: Examples, row: int) -> TextKey:
    return examples.texts_a[row], None if examples.texts_b is None else examples.texts_b[row]


def _normalised(key: TextKey) -> TextKey:
    return _normalised_text(key[0]), None if key[1] is None else _normalised_text(key[1])


def _normalised_text(text: str) -> str:
    # A text of punctuation alone stays as it is: "!" and "?" are not the same.
    return _NOT_WORDS.sub(" ", text.casefold()).strip() or text
