"""Lengths of examples: counts, and their summary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BUCKETS: Final = 10
_BARS: Final = "▁▂▃▄▅▆▇█"
_QUANTILES: Final = {"minimum": 0.0, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "maximum": 1.0}


class LengthCounts:
    """Counts how many examples have how many tokens; as large as there are different lengths."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, length: int) -> None:
        """Counts one example."""
        self._counts[length] += 1

    def add_all(self, lengths: NDArray[Any]) -> None:
        """Counts examples by their lengths, (examples,)."""
        found, times = np.unique(lengths, return_counts=True)
        self._counts.update(dict(zip(found.tolist(), times.tolist(), strict=True)))

    def update(self, other: "LengthCounts") -> None:
        """Counts what was counted elsewhere."""
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def summary(self) -> dict[str, float]:
        """Gives quantiles, each a length that some example has, and the mean; nothing without examples."""
        if not self._counts:
            return {}
        lengths = np.array(sorted(self._counts))
        cumulated = np.cumsum([self._counts[length] for length in lengths.tolist()])
        total = int(cumulated[-1])
        # As `numpy.quantile(…, method="higher")` of all lengths.
        values: dict[str, float] = {
            name: int(lengths[np.searchsorted(cumulated, np.ceil(share * (total - 1)), side="right")])
            for name, share in _QUANTILES.items()
        }
        values["mean"] = sum(length * count for length, count in self._counts.items()) / total
        return values

    def above(self, length: float) -> int:
        """Counts the examples that are longer."""
        return sum(count for known, count in self._counts.items() if known > length)

    def histogram(self) -> list[dict[str, int]]:
        """Gives at most ten ranges of equal width, each ``from``, ``to`` (both inside) and ``count``."""
        if not self._counts:
            return []
        lowest, highest = min(self._counts), max(self._counts)
        width = -(-(highest - lowest + 1) // _BUCKETS)
        ranges = [
            {"from": start, "to": min(start + width - 1, highest), "count": 0}
            for start in range(lowest, highest + 1, width)
        ]
        for length, count in self._counts.items():
            ranges[(length - lowest) // width]["count"] += count
        return ranges


def length_line(summary: Mapping[str, float], histogram: Sequence[Mapping[str, int]]) -> str:
    """Gives lengths on one line: a bar for each range between the least and the greatest, then quantiles."""
    if not histogram:
        return "none"
    most = max(bucket["count"] for bucket in histogram)
    bars = (-(-bucket["count"] * len(_BARS) // most) for bucket in histogram)
    drawn = "".join(_BARS[bar - 1] if bar else " " for bar in bars)
    quantiles = ", ".join(f"{name} {summary[name]:,}" for name in ("median", "95 %", "99 %"))
    return f"{histogram[0]['from']:,} {drawn} {histogram[-1]['to']:,}; {quantiles}"
