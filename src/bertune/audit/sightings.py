"""Rows in which something was seen: how many, and the first few."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bertune.audit.findings import PLACES_SHOWN


@dataclass
class Sightings:
    """Counts rows and keeps the first few.

    Args:
        count: of the rows.
        rows: numbers of the first few, in order.
        sample: what was seen in the first one.
    """

    count: int = 0
    rows: list[int] = field(default_factory=list)
    sample: str = ""

    def add(self, row: int, sample: str = "") -> None:
        """Counts a row."""
        if not self.count:
            self.sample = sample
        self.count += 1
        if len(self.rows) < PLACES_SHOWN:
            self.rows.append(row)

    def add_all(self, rows: Iterable[int]) -> None:
        """Counts rows, in order."""
        for row in rows:
            self.add(row)
