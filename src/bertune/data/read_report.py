"""Report of a read: rows used and rows refused, so that nothing is dropped silently."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not used.

    Args:
        path: the file as the user named it.
        line: the physical line on which the row begins, from 1; for Parquet and Arrow the row number, from 1.
        reason: what was found and what was expected.
    """

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class ReadReport:
    """The account of one read.

    It always balances: ``rows_in == rows_used + len(refused) + rows_other_split``.

    Args:
        path: the file as the user named it.
        rows_in: data rows found in the file; the header and blank lines at the end are none.
        rows_used: rows that became examples.
        refused: the rows that did not, with line and reason.
        blank_texts: text cells that are empty or only spaces; they are used as they are.
        rows_other_split: rows of this file that a rule assigns to another split (MRPC's dev ids).
        warnings: things that look wrong but were read as they stand, one sentence each.
        notes: how the file was read where nobody said it, one sentence each.
        header: the names in the first line of the columns that were read, texts first; empty without a header.
    """

    path: str
    rows_in: int
    rows_used: int
    refused: list[RefusedRow]
    blank_texts: int
    rows_other_split: int = 0
    warnings: list[str] = field(default_factory=list)
    header: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        accounted = self.rows_used + len(self.refused) + self.rows_other_split
        if self.rows_in != accounted:
            raise ValueError(f"{self.path}: {self.rows_in} rows in, but {accounted} accounted for")

    def summary(self) -> str:
        """Says in one line how many rows were read, used and refused."""
        parts = [f"{self.path}: {self.rows_used:,} of {self.rows_in:,} rows used"]
        if self.rows_other_split:
            parts.append(f"{self.rows_other_split:,} belong to another split")
        parts.append(f"{len(self.refused):,} refused")
        if self.refused:
            first = self.refused[0]
            parts[-1] += f" (first at line {first.line}: {first.reason})"
        if self.blank_texts:
            parts.append(f"{self.blank_texts:,} blank text" + ("s" if self.blank_texts > 1 else ""))
        if self.warnings:
            parts.append(f"{len(self.warnings)} warning" + ("s" if len(self.warnings) > 1 else ""))
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """Gives the summary, then how the file was read where nobody said it, then each warning."""
        return [self.summary(), *self.notes, *(f"warning: {warning}" for warning in self.warnings)]

    def to_dict(self) -> dict[str, Any]:
        """Gives the whole account as plain values for JSON."""
        return asdict(self)


def join_reports(path: str, reports: Sequence[ReadReport]) -> ReadReport:
    """Adds up the accounts of the files of one split.

    Args:
        path: how the files together are called.
        reports: one account for each file.
    """
    return ReadReport(
        path=path,
        rows_in=sum(report.rows_in for report in reports),
        rows_used=sum(report.rows_used for report in reports),
        refused=[row for report in reports for row in report.refused],
        blank_texts=sum(report.blank_texts for report in reports),
        rows_other_split=sum(report.rows_other_split for report in reports),
        warnings=[warning for report in reports for warning in report.warnings],
        notes=[note for report in reports for note in report.notes],
        header=reports[0].header if reports else (),
    )
