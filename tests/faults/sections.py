"""The parts of `make faults`, each a stream of what was tried and what became of it."""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_SHOWN = 10


@dataclass(frozen=True)
class Settings:
    """How much is tried.

    Args:
        count: damaged files of each format.
        share: of all other counts.
        parts: formats that are damaged, or beginnings of verbs that are cut; None for all.
        seed: of all that is drawn.
    """

    count: int
    share: float
    parts: list[str] | None
    seed: int

    def some(self, count: int) -> int:
        """Returns a count, or its share."""
        return max(1, round(count * self.share))


Part = tuple[str, dict[str, Any]]


def part(tried: int, faults: list[str], **more: Any) -> dict[str, Any]:
    """Returns what is kept of a part: counts, and the first faults."""
    shown = [f"{count} x {text}" if count > 1 else text for text, count in Counter(faults).most_common(MOST_SHOWN)]
    return {"tried": tried, "survived": tried - len(faults), "lost": len(faults), "faults": shown, **more}


def mutations(settings: Settings) -> Iterator[Part]:
    """Damages the files of every reader."""
    from tests.faults.mutated import try_reader
    from tests.faults.readers import readers_by_format

    for name, readers in readers_by_format().items():
        if settings.parts is not None and name not in settings.parts:
            continue
        for number, reader in enumerate(readers):
            count = settings.count // len(readers) + (number < settings.count % len(readers))
            tried = try_reader(reader, count)
            faults = [f"{ended} (case {case})" for case, ended in tried.failed.items()]
            more = {"format": name, "read": tried.read, "refused": tried.refused}
            slowest = {"slowest_seconds": round(tried.slowest, 3), "largest_kib": tried.largest}
            yield reader.name, part(tried.count, faults, **more, **slowest)


def _section(name: str) -> Callable[[Settings], Iterator[Part]]:
    """Imports a section when it is run: each takes seconds of imports."""

    def section(settings: Settings) -> Iterator[Part]:
        found: Iterator[Part] = getattr(importlib.import_module(f"tests.faults.{name}"), name)(settings)
        return found

    return section


SECTIONS: dict[str, Callable[[Settings], Iterator[Part]]] = {
    "mutations": mutations,
    **{name: _section(name) for name in ("flushed", "kills", "writes", "bits", "memory", "code")},
}
