"""The checkpoints in the folder of a run, by their names."""

import re
import shutil
from pathlib import Path
from typing import Final

from bertune.system.atomic import remove_leftovers, temporary_name
from bertune.system.committed_folder import is_committed

#: Of one step there may be two: before and after the evaluation that ends its epoch.
_NAME: Final = re.compile(r"step-(?P<step>[0-9]{9,})(?P<evaluated>-evaluated)?", re.ASCII)


def checkpoint_name(step: int, *, is_evaluated: bool) -> str:
    """Returns the name of a checkpoint.

    Args:
        step: optimizer steps that are behind it.
        is_evaluated: whether the evaluation of an epoch that ended there is behind it as well.
    """
    return f"step-{step:09d}{'-evaluated' if is_evaluated else ''}"


def order_of(place: Path) -> tuple[int, bool]:
    """Returns what checkpoints are sorted by: steps, then whether they are evaluated."""
    parts = _NAME.fullmatch(place.name)
    assert parts is not None, "the name of a checkpoint"
    return int(parts["step"]), parts["evaluated"] is not None


def named_checkpoints(folder: Path) -> list[Path]:
    """Returns what is called a checkpoint in a folder, the newest first; it need not be whole."""
    found = [each for each in folder.iterdir() if _NAME.fullmatch(each.name)] if folder.is_dir() else []
    return sorted(found, key=order_of, reverse=True)


def checkpoints_in(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder that were completed, the newest first."""
    return [place for place in named_checkpoints(folder) if is_committed(place)]


def remove_checkpoint(place: Path) -> None:
    """Deletes a checkpoint; half deleted it is none."""
    doomed = temporary_name(place)
    place.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_checkpoints(folder: Path) -> None:
    """Deletes all checkpoints of a run that has ended, and their folder."""
    if not folder.is_dir() or folder.is_symlink():
        return
    remove_leftovers(folder)
    for place in named_checkpoints(folder):
        remove_checkpoint(place)
    if not any(folder.iterdir()):
        folder.rmdir()
