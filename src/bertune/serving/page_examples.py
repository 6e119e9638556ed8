"""Examples to pick on the page: validation rows that a run kept; loads torch, as a run is computed by."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final

from bertune.errors import BertuneError
from bertune.reports.compared_runs import read_compared_run
from bertune.system.json_file import JsonObject
from bertune.training.saved_run import LabelledRow

_MOST_EXAMPLES: Final = 8
# What is longer was not kept whole, and is tedious to read.
_MOST_CHARACTERS: Final = 600


def example_rows(run: Path) -> list[JsonObject]:
    """Chooses validation rows of a run, short ones, with each label among them; none where it kept none."""
    try:
        rows = read_compared_run(run).rows
    except (BertuneError, OSError):
        return []
    return [_entry(row) for row in chosen(rows)]


def chosen(rows: Sequence[LabelledRow], *, most: int = _MOST_EXAMPLES) -> list[LabelledRow]:
    """Takes rows of each target in turn; of values, rows evenly from the lowest to the highest."""
    short = [row for row in rows if row.text_a and len(row.text_a) + len(row.text_b or "") <= _MOST_CHARACTERS]
    if short and isinstance(short[0].target, float):
        ordered = sorted(short, key=lambda row: row.target)
        count = min(most, len(ordered))
        return [ordered[round(at * (len(ordered) - 1) / max(1, count - 1))] for at in range(count)]
    by_target: dict[Hashable, list[LabelledRow]] = {}
    for row in short:
        by_target.setdefault(row.target, []).append(row)
    longest = max(map(len, by_target.values()), default=0)
    in_turn = [rows[at] for at in range(min(longest, most)) for rows in by_target.values() if at < len(rows)]
    return in_turn[:most]


def _entry(row: LabelledRow) -> JsonObject:
    return {"text_a": row.text_a, "text_b": row.text_b, "target": row.target}
