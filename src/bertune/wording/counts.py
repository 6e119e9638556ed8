"""Numbers with their nouns, shares and lists, as people read them."""

from collections.abc import Sequence

from bertune.wording.metric_text import part_of


def counted(count: int, one: str, many: str | None = None) -> str:
    """Gives a number with its noun: ``1 row``, ``2 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share_of(count: int, rows: int) -> str:
    """Gives ``3 of 40 rows (7.5 %)``."""
    return f"{count:,} of {counted(rows, 'row')} ({part_of(count, rows)})"


def listed(words: Sequence[str], limit: int = 10) -> str:
    """Gives ``'a', 'b', … (12 in all)``."""
    more = f", … ({len(words):,} in all)" if len(words) > limit else ""
    return ", ".join(f"'{word}'" for word in words[:limit]) + more
