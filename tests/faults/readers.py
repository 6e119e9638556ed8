"""Every reader of a file from outside, with small sound files that it reads, and ways to damage what checksums cover.

A flipped bit under a checksum tells of the checksum alone. Where a format has one, a second entry mends it after the
damage, so that what reads behind it is tried too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.mutations import Mutation, of_bytes

Mend = Callable[[Path], None]


def _no_mending(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Reader:
    """A reader to be tried.

    Args:
        name: of the format.
        make: writes sound files into an empty folder.
        files: those that are damaged, one at a time, and how.
        read: reads the folder.
        mend: makes checksums fit again after the damage.
        mended: the files that `mend` changes.
    """

    name: str
    make: Callable[[Path], object]
    files: dict[str, tuple[Mutation, ...]]
    read: Callable[[Path], object]
    mend: Mend = _no_mending
    mended: tuple[str, ...] = ()

    def damage(self, folder: Path, number: int) -> Path:
        """Damages a file of the folder, always the same one in the same way for a number; returns it."""
        draw = Random(f"{self.name} {number}")
        name = list(self.files)[number % len(self.files)]
        mutation = draw.choice(self.files[name] or (of_bytes,))
        path = folder / name
        path.write_bytes(mutation(path.read_bytes(), draw))
        self.mend(folder)
        return path


def readers_by_format() -> dict[str, list[Reader]]:
    """Returns them all, by the formats that they read."""
    from tests.faults import model_readers, run_readers, table_readers

    return {**table_readers.READERS, **model_readers.READERS, **run_readers.READERS}


def all_readers() -> list[Reader]:
    """Returns them all."""
    return [reader for group in readers_by_format().values() for reader in group]
