"""Thousands of damaged files for every reader: each is read, or refused with one error, in little time and memory."""

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.faults.isolated import Outcome, outcomes_of
from tests.faults.readers import Reader

from bertune.errors import BertuneError

MOST_SECONDS, MOST_KILOBYTES = 1.0, 64 << 10


# What the case before has changed.
_last: list[str] = []


@dataclass(frozen=True)
class Tried:
    """What became of the damaged files of one format.

    Args:
        reader: its name.
        read: files in which the damage made no difference that a reader can see, or other sound content.
        refused: files refused with one error of ours.
        failed: numbers of the others, and what happened.
        slowest: seconds of the processor, of the file that took longest.
        largest: KiB of memory that the file which took most asked for.
    """

    reader: str
    read: int
    refused: int
    failed: dict[int, str]
    slowest: float
    largest: int

    @property
    def count(self) -> int:
        """How many were tried."""
        return self.read + self.refused + len(self.failed)


def try_reader(reader: Reader, count: int) -> Tried:
    """Damages the files of a reader so many times, and reads each.

    Args:
        reader: the reader.
        count: how many; the same number is always damaged in the same way.
    """
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        sound, folder = Path(name) / "sound", Path(name) / "tried"
        sound.mkdir()

        def prepare(_: int) -> str:
            reader.make(sound)
            reader.read(sound)
            return "read"

        # Also made in a process of its own: some libraries start threads, which no fork has.
        (made,) = outcomes_of(1, prepare)
        assert made.ended == "read", f"{reader.name}: {made}"
        shutil.copytree(sound, folder)
        _last.clear()
        found = outcomes_of(
            count, lambda number: _attempt(reader, folder, sound, number), before=lambda: reader.read(folder)
        )
    return _counted(reader, found)


def _attempt(reader: Reader, folder: Path, sound: Path, number: int) -> str:
    # All of them where a process begins: another may have died and left its damage.
    for name in _last or reader.files:
        shutil.copyfile(sound / name, folder / name)
    _last[:] = [str(reader.damage(folder, number).relative_to(folder)), *reader.mended]
    return outcome(reader, folder)


def outcome(reader: Reader, folder: Path) -> str:
    """Reads a folder and says how that ended: `read`, `refused`, or a word and what happened."""
    try:
        reader.read(folder)
    except BertuneError as error:
        return _judged(error, folder)
    except Exception as error:
        return f"untyped: {type(error).__name__} {error!s}".replace("\n", " ")
    return "read"


def _judged(error: BertuneError, folder: Path) -> str:
    """Whether an error has the right code and says where; the command line makes it printable, and cuts it."""
    if error.exit_code not in (2, 3):
        return f"code {error.exit_code}: {error.message}"
    if str(folder) not in error.message:
        return f"nameless: {error.message}"
    return "refused"


def _counted(reader: Reader, found: list[Outcome]) -> Tried:
    failed = {
        each.number: each.ended
        if each.ended not in ("read", "refused")
        else f"{each.seconds:.1f} s, {each.kilobytes:,} KiB"
        for each in found
        if each.ended not in ("read", "refused") or each.seconds > MOST_SECONDS or each.kilobytes > MOST_KILOBYTES
    }
    counts = Counter(each.ended for each in found if each.number not in failed)
    return Tried(
        reader.name,
        counts["read"],
        counts["refused"],
        failed,
        max(each.seconds for each in found),
        max(each.kilobytes for each in found),
    )
