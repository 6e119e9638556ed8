"""A checkpoint with flipped bits and cuts: each is found before a step is made, and the one before it serves."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.run_readers import an_interrupted_run
from tests.faults.sections import Part, Settings, part

from bertune.errors import CheckpointError
from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.run_checkpoints import newest_state
from bertune.training.run_state import read_state

_FLIPS, _CUTS, _EVERY = 1000, 100, 20


def bits(settings: Settings) -> Iterator[Part]:
    """Flips bits, cuts files and swaps two."""
    with tempfile.TemporaryDirectory(prefix="bertune-faults-") as name:
        places = Path(shutil.copytree(an_interrupted_run() / "checkpoints", Path(name) / "checkpoints"))
        draw = random.Random(settings.seed)
        files = sorted(checkpoints_in(places)[0].iterdir())
        sizes = [file.stat().st_size for file in files]
        # Half of them in proportion to the sizes, half in files that are small.
        count = settings.some(_FLIPS)
        flips = [*draw.choices(files, sizes, k=count // 2), *draw.choices(files, k=count - count // 2)]
        yield "a flipped bit of a checkpoint", _damaged(places, flips, draw, is_cut=False)
        cuts = draw.choices(files, k=settings.some(_CUTS))
        yield "a checkpoint cut short", _damaged(places, cuts, draw, is_cut=True)


def _damaged(places: Path, files: list[Path], draw: random.Random, *, is_cut: bool) -> dict[str, object]:
    newest, older = checkpoints_in(places)[:2]
    faults = []
    for number, file in enumerate(files):
        content = file.read_bytes()
        if is_cut:
            file.write_bytes(content[: draw.randrange(len(content))])
        else:
            changed = bytearray(content)
            changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
        faults += [problem] if (problem := _not_found(newest, file)) else []
        if number % _EVERY == 0:
            said: list[str] = []
            state = newest_state(places, said.append)
            if state is None or not older.name.startswith(f"step-{state.fitting.step:09d}") or str(file) not in said[0]:
                faults.append(f"{file.name}: the checkpoint before it does not serve")
        file.write_bytes(content)
    read_state(newest)
    return part(len(files), faults, measured="before a step is made, exit code 3, the file is named")


def _not_found(place: Path, file: Path) -> str | None:
    try:
        read_state(place)
    except CheckpointError as error:
        return None if str(file) in error.message else f"the message does not name {file.name}: {error.message}"
    except Exception as error:
        return f"{file.name}: {type(error).__name__} {error!s:.100}"
    return f"{file.name}: read as if nothing were wrong"
