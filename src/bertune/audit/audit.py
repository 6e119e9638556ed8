"""Looks at the data before anything is learned from them: duplicates, contradictions, leaks between splits, balance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bertune.audit.findings import Finding
from bertune.audit.label_faults import findings_of_labels, label_shift
from bertune.audit.length_counts import length_line
from bertune.audit.repeated_texts import Overlap, overlaps_between, repetitions_in
from bertune.audit.split_scan import SplitScan
from bertune.audit.token_figures import TokenFigures, findings_of_tokens
from bertune.data.examples import Examples, LabelSet, ReadReport
from bertune.data.row_source import RowSource
from bertune.errors import DataError
from bertune.wording.counts import counted
from bertune.wording.metric_text import part_of
from bertune.wording.nearest import shown_label

__all__ = ["Audit", "Finding", "SplitAudit", "audit_sources", "audit_splits", "warning_lines"]

_ROWS_PER_CHUNK = 2048
_LABELS_SHOWN = 12
_LABELS_ON_A_LINE = 4


@dataclass
class SplitAudit:
    """Contents of one split.

    Args:
        path: where it was read.
        rows_in: data rows of the file.
        rows_used: examples.
        rows_refused: rows that could not be used.
        rows_other_split: rows of the file that belong to another split.
        blank_texts: text cells that are empty or only spaces.
        duplicates: examples whose texts occur earlier in the same split.
        near_duplicates: examples whose texts do so but for case, space, punctuation and look-alikes.
        swapped_pairs: pairs that occur earlier with their texts swapped.
        conflicts: distinct texts that occur in this split with different labels.
        label_counts: examples of each label, in label order; empty for a regression or without labels.
        targets: minimum, mean and maximum of a regression; empty otherwise.
        characters: quantiles of the number of characters of an example.
        character_histogram: at most ten ranges of that number, each ``from``, ``to`` and ``count``.
        tokens: what the tokenizer makes of the split; None where there was none.
    """

    path: str
    rows_in: int
    rows_used: int
    rows_refused: int
    rows_other_split: int
    blank_texts: int
    duplicates: int = 0
    near_duplicates: int = 0
    swapped_pairs: int = 0
    conflicts: int = 0
    label_counts: dict[str, int] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    characters: dict[str, float] = field(default_factory=dict)
    character_histogram: list[dict[str, int]] = field(default_factory=list)
    tokens: TokenFigures | None = None

    def lines(self, name: str) -> list[str]:
        """Gives the block of one split for a terminal."""
        other = f", {self.rows_other_split:,} of another split" if self.rows_other_split else ""
        lines = [f"{name}: {self.rows_used:,} of {self.rows_in:,} rows used, {self.rows_refused:,} refused{other}"]
        if self.label_counts:
            lines.append(f"  labels      {self._shares()}")
        if self.targets:
            lines.append("  targets     " + ", ".join(f"{key} {value:.3g}" for key, value in self.targets.items()))
        lines.append(f"  characters  {length_line(self.characters, self.character_histogram)}")
        lines.append(
            f"  texts       {self.blank_texts:,} blank, {self.duplicates:,} repeated, "
            f"{self.conflicts:,} with conflicting labels"
        )
        return [*lines, *(self.tokens.lines() if self.tokens else [])]

    def line(self, name: str) -> str:
        """Gives rows and labels of one split on one line."""
        rows = counted(self.rows_used, "row")
        if self.rows_used != self.rows_in:
            rows = f"{self.rows_used:,} of {counted(self.rows_in, 'row')} used"
        if self.rows_refused:
            rows += f", {self.rows_refused:,} refused"
        if self.targets:
            return f"{name}: {rows}: " + ", ".join(f"{key} {value:.3g}" for key, value in self.targets.items())
        if len(self.label_counts) <= _LABELS_ON_A_LINE:
            return f"{name}: {rows}" + (f": {self._shares()}" if self.label_counts else "")
        rarest, commonest = (of(self.label_counts, key=lambda label: self.label_counts[label]) for of in (min, max))
        ends = f"from {self._share(rarest)} to {self._share(commonest)}"
        if self.label_counts[rarest] == self.label_counts[commonest]:
            ends = f"{counted(self.label_counts[rarest], 'row')} each"
        return f"{name}: {rows}: {len(self.label_counts):,} labels, {ends}"

    def _share(self, label: str) -> str:
        count = self.label_counts[label]
        return f"{shown_label(label)} {count:,} ({part_of(count, self.rows_used)})"

    def _shares(self) -> str:
        shown = list(self.label_counts)[:_LABELS_SHOWN]
        more = f", … ({len(self.label_counts):,} in all)" if len(self.label_counts) > len(shown) else ""
        return ", ".join(map(self._share, shown)) + more


@dataclass
class Audit:
    """The audit of all splits.

    Args:
        splits: what each split holds.
        findings: what its user should know, in the order of the splits.
        overlaps: what the splits share.
        reports: the account of the read of each split.
    """

    splits: dict[str, SplitAudit]
    findings: list[Finding]
    overlaps: list[Overlap] = field(default_factory=list)
    reports: dict[str, ReadReport] = field(default_factory=dict)

    def add_tokens(self, name: str, figures: TokenFigures) -> list[Finding]:
        """Adds what the tokenizer makes of a split, and gives what its user should know of it."""
        self.splits[name].tokens = figures
        found = list(findings_of_tokens(name, figures))
        self.findings += found
        return found

    def to_dict(self) -> dict[str, Any]:
        """Gives everything as plain values for JSON; `data.json` of a run folder is this.

        - ``splits``: name → the fields of `SplitAudit`. Quantiles are ``minimum``, ``median``, ``95 %``, ``99 %``,
          ``maximum`` and ``mean``. ``tokens`` is null or the fields of `TokenFigures`.
        - ``overlaps``: a list of ``split``, ``earlier`` and the rows of ``split`` whose texts ``earlier`` has:
          ``exact``, ``normalised`` and ``swapped``. Splits that share nothing are not listed.
        - ``findings``: a list of ``code`` (one of `bertune.audit.findings.CODES`), ``message``, ``count``, ``places``
          (``file:line`` of the first few) and ``counterparts`` (the rows these repeat or contradict, or empty).
        - ``reports``: name → the fields of `ReadReport`, with every refused row.
        """
        return {
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "overlaps": [overlap.to_dict() for overlap in self.overlaps],
            "findings": [finding.to_dict() for finding in self.findings],
            "reports": {name: report.to_dict() for name, report in self.reports.items()},
        }

    def lines(self, *, verbose: bool = True) -> list[str]:
        """Gives plain text lines for a terminal: one block a split, then the findings.

        Args:
            verbose: False gives one line a split, one a note on how it was read, and one a finding.
        """
        notes = list(dict.fromkeys(note for report in self.reports.values() for note in report.notes))
        if not verbose:
            return [
                *(split.line(name) for name, split in self.splits.items()),
                *notes,
                *warning_lines(self.findings, verbose=False),
            ]
        lines = [line for name, split in self.splits.items() for line in split.lines(name)]
        return lines + notes + warning_lines(self.findings)

    def refuse_findings(self) -> None:
        """Makes an error of what was found, for ``--strict``.

        Raises:
            DataError: anything was found; names every finding with its places.
        """
        if self.findings:
            listed = "\n".join(f"  {line}" for finding in self.findings for line in finding.lines())
            raise DataError(
                f"the audit of the data has {counted(len(self.findings), 'finding')}:\n{listed}",
                hint="mend the data, or go on as they are without --strict",
            )


def warning_lines(findings: Sequence[Finding], *, verbose: bool = True) -> list[str]:
    """Gives findings as lines for a terminal; without `verbose` one line each."""
    if not verbose:
        return [f"warning: {finding.line()}" for finding in findings]
    return [
        ("" if number else "warning: ") + line for finding in findings for number, line in enumerate(finding.lines())
    ]


def audit_splits(splits: Mapping[str, Examples], labels: LabelSet | None, *, chosen_by: str | None = None) -> Audit:
    """Audits splits that are in memory, to train on them.

    Args:
        splits: the examples of each split, ``train`` first.
        labels: the labels of a classification; None for a regression.
        chosen_by: the metric that chooses the best epoch, which a finding about rare labels names.

    Returns:
        Numbers and findings.

    Raises:
        DataError: the training data have one class only, or one target only; or a label is none of the task's.
    """
    if labels is not None:
        for examples in splits.values():
            if examples.label_sets is not None:
                examples.label_rows(labels)
            elif examples.labels is not None:
                examples.label_ids(labels)  # raises where one is none of the task's
    rows = {name: [examples] for name, examples in splits.items()}
    audit = _audit(rows, labels, is_regression=labels is None, chosen_by=chosen_by)
    for finding in audit.findings:
        if finding.code == "one_class":
            raise DataError(
                f"{audit.splits['train'].path}: {finding.message.removeprefix('train: ')}",
                hint="training needs at least two; is this the column with the labels?",
            )
    return audit


def audit_sources(
    sources: Mapping[str, RowSource],
    *,
    on_chunk: Callable[[str, Examples], object] | None = None,
) -> Audit:
    """Audits splits as their rows go by; memory grows by 33 to 44 bytes a row and never by a text.

    Nothing that is only doubtful stops it: labels that the training data have not are findings here.

    Args:
        sources: the rows of each split of one task, ``train`` first.
        on_chunk: told the split and the rows of each chunk.

    Raises:
        BertuneError: rows that cannot be read, as `read_split` raises.
    """

    def chunks(name: str, source: RowSource) -> Iterable[Examples]:
        for examples in source.chunks(_ROWS_PER_CHUNK):
            if on_chunk is not None:
                on_chunk(name, examples)
            yield examples

    task = next(iter(sources.values())).task
    rows = {name: chunks(name, source) for name, source in sources.items()}
    return _audit(rows, task.labels, is_regression=not task.kind.has_labels)


def _audit(
    splits: Mapping[str, Iterable[Examples]],
    labels: LabelSet | None,
    *,
    is_regression: bool,
    chosen_by: str | None = None,
) -> Audit:
    audits: dict[str, SplitAudit] = {}
    findings: list[Finding] = []
    scans: list[SplitScan] = []
    for name, chunks in splits.items():
        scan = SplitScan(name, is_regression=is_regression)
        for examples in chunks:
            scan.add(examples)
        scans.append(scan)
        if labels is None and not is_regression and scan.labels.counts:
            labels = LabelSet.from_values(scan.labels.words)
        names = None if labels is None else labels.names
        repetitions = repetitions_in(scan)
        audits[name] = _describe(scan, names)
        audits[name].duplicates = repetitions.duplicates
        audits[name].near_duplicates = repetitions.near_duplicates
        audits[name].swapped_pairs = repetitions.swapped_pairs
        audits[name].conflicts = repetitions.conflicts
        findings += scan.findings()
        findings += scan.labels.findings(name, scan.where)
        findings += findings_of_labels(scan, names, chosen_by=chosen_by)
        findings += repetitions.findings
        if len(scans) > 1:
            findings += label_shift(scan, scans[0])
    overlaps, found = overlaps_between(scans)
    return Audit(audits, findings + found, overlaps, {scan.name: scan.report() for scan in scans})


def _describe(scan: SplitScan, labels: tuple[str, ...] | None) -> SplitAudit:
    answers = scan.labels.answers
    audit = SplitAudit(
        path=scan.path,
        rows_in=scan.rows_in,
        rows_used=scan.rows,
        rows_refused=len(scan.refused),
        rows_other_split=scan.rows_other_split,
        blank_texts=scan.blank_texts,
        characters=scan.lengths.summary(),
        character_histogram=scan.lengths.histogram(),
    )
    if answers is None or not len(answers):
        return audit
    if scan.labels.is_regression:
        audit.targets = {
            "minimum": float(answers.min()),
            "mean": float(answers.mean(dtype="float64")),
            "maximum": float(answers.max()),
        }
    else:
        counts = scan.labels.counts
        words = labels or ()
        audit.label_counts = {word: counts[word] for word in (*words, *(word for word in counts if word not in words))}
    return audit
