"""Paths among the settings of a run: kept as they were given, and found again from another folder.

A run that was started with relative paths can be sent to others, who repeat it in a folder that has the same data, and
it does not show where on whose machine it was made.
"""

from pathlib import Path
from typing import Any, Final

Setting = str | int | float | bool | list[str | int | float | bool]
Settings = dict[str, Setting]
"""Settings by the names of their flags, as `run.toml`, `seeds.json` and `sweep.json` hold them."""

NAMES_OF_PATHS: Final = frozenset(
    {"data", "validation", "test", "label-file", "relabel", "model", "tokenizer", "teacher"}
)
"""Settings that may be paths, by the names of their flags; what is read is told by what is there."""


def place_of(name: Any, start: Path) -> Any:
    """Returns where a file or folder is, absolute and without links, that was named in a folder.

    Args:
        name: a setting: a path, or a name of the hub, an address, a pattern, a share.
        start: the folder that relative paths are of.

    Returns:
        The path; `name` itself where there is no such file or folder.
    """
    if not isinstance(name, str):
        return name
    path = start.absolute() / Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def started_in(run: Path, out: str | None) -> Path:
    """Returns the folder in which the command of a run was given, as its own place and `--out` tell; else this one.

    Args:
        run: the folder of the run.
        out: `--out` as it was given.
    """
    parts = () if out is None else Path(out).parts
    place = run.absolute()
    if parts and not Path(out or "").is_absolute() and ".." not in parts and place.parts[-len(parts) :] == parts:
        return Path(*place.parts[: -len(parts)])
    return Path.cwd()


def same_settings(then: Settings, now: Settings, *, start: Path) -> tuple[str, Setting, Setting] | None:
    """Compares the settings of an interrupted study or sweep with those of a command; paths by where they lead.

    Args:
        then: what was interrupted.
        now: of the command that is to go on with it, in the current folder.
        start: the folder in which `then` was given.

    Returns:
        The first name that differs with both values; None where none does.
    """
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name, "not set"), now.get(name, "not set")
        if name in NAMES_OF_PATHS:
            if place_of(before, start) != place_of(after, Path.cwd()):
                return name, before, after
        elif before != after:
            return name, before, after
    return None
