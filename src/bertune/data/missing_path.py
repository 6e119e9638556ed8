"""A path that leads nowhere, and what lies beside it."""

from pathlib import Path

from bertune.wording.nearest import nearest


def near_path(path: Path) -> str | None:
    """Makes a hint of the file or folder that a path most likely meant, or None where nothing is close.

    Args:
        path: nothing is there. Where its folder is not there either, the folder is looked for.
    """
    wanted = path
    while wanted.name and not wanted.parent.is_dir():
        wanted = wanted.parent
    try:
        beside = [entry.name for entry in wanted.parent.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return None
    found = nearest(wanted.name, beside, alike=0.6)
    return None if found is None else f"did you mean {wanted.parent / found}?"
