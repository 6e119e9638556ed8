"""Tries what reliability promises, and writes what was tried, what survived and what was lost.

    python -m tests.faults                                 # all of it, as `make faults`
    python -m tests.faults --only mutations --count 200    # one section, fewer cases
    python -m tests.faults --only mutations --parts TOML JSON

Results of one machine and day are one file, `benchmarks/results/faults_MACHINE_DATE.json` and `.md`; a section that is
run again replaces what it found before.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.machine import hardware_name, machine, versions
from tests.faults.page import page
from tests.faults.sections import SECTIONS, Settings

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class Results:
    """What was found so far, on disk after every part."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"faults_{hardware_name()}_{date.today().isoformat()}.json"

    def add(self, section: str, part: str, values: dict[str, Any]) -> None:
        """Keeps one part of a section."""
        # Read again: another section may be run at the same time.
        found: dict[str, Any] = json.loads(self._path.read_text()) if self._path.is_file() else {}
        found |= {"machine": machine(), "versions": versions("bertune", "torch", "pyarrow", "tokenizers")}
        found.setdefault(section, {})[part] = values
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(found, indent=1) + "\n")
        self._path.with_suffix(".md").write_text(page(found))
        line = f"{section}: {part}: {values['tried']:,} tried, {values['survived']:,} survived, {values['lost']:,} lost"
        print(line, flush=True)
        for fault in values["faults"]:
            print(f"    {fault}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--count", type=int, default=10_000, help="damaged files of each format")
    parser.add_argument("--share", type=float, default=1.0, help="of the other counts, such as 0.1")
    parser.add_argument(
        "--parts", nargs="+", default=None, metavar="PART", help="formats of mutations, verbs of writes"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    settings = Settings(given.count, given.share, given.parts, given.seed)
    results, lost = Results(given.out), 0
    for section in given.only:
        for part, values in _timed(SECTIONS[section], settings):
            results.add(section, part, values)
            lost += values["lost"]
    return int(lost > 0)


def _timed(
    section: Callable[[Settings], Iterator[tuple[str, dict[str, Any]]]], settings: Settings
) -> Iterator[tuple[str, dict[str, Any]]]:
    began = _seconds()
    for part, values in section(settings):
        yield part, values | {"processor_seconds": round(_seconds() - began, 1), "seed": settings.seed}
        began = _seconds()


def _seconds() -> float:
    """Of the processor, with those of processes that have ended; the time of a busy machine says nothing."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started:,.0f} s", file=sys.stderr)
    sys.exit(code)
