"""What `bertune distill` takes from the run of the teacher where the command does not say it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bertune.errors import BertuneError

VERB: Final = "distill"
NO_MODEL: Final = ""
"""Stands for a student that the command does not name."""
# The rows, and how they are read; how the teacher was trained says nothing about a student.
_OF_DATA: Final = (
    *("data", "task", "validation", "test", "group", "relabel", "text-a", "text-b", "label", "kind", "label-separator"),
    *(
        "positive",
        "allow-no-label",
        "target-range",
        "max-length",
        "long-text",
        "window-stride",
        "delimiter",
        "encoding",
    ),
    *("no-header", "quoting", "on-bad-row", "max-bad-rows", "label-file"),
)


def settings_of_teacher(tokens: Sequence[str]) -> dict[str, Any]:
    """Returns settings below all others, by the names of the flags; nothing for another verb.

    They are the data of the teacher's run, unless the command names data of its own. Paths are found again from where
    that run was started.

    Args:
        tokens: of the command line.

    Raises:
        DataError: there is no such teacher.
    """
    if tokens[:1] != [VERB]:
        return {}
    from bertune.system.toml_file import read_toml

    found: dict[str, Any] = {"model": NO_MODEL}
    is_named = len(tokens) > 1 and not tokens[1].startswith("-")
    teacher = Path(tokens[1]) if is_named else Path()
    if is_named and not teacher.exists():
        from bertune.checkpoints.model_files import find_model_folder

        find_model_folder(teacher)  # says what is missing, before the flags that would follow from it are
    if any(token.partition("=")[0] == "--data" for token in tokens) or not (teacher / "run.toml").is_file():
        return found
    try:
        settings = read_toml(teacher / "run.toml").get("train", {})
    except BertuneError:
        return found
    if not isinstance(settings, dict) or str(settings.get("data", "")).endswith(" in memory"):
        return found
    # It imports torch, which the help need not wait for.
    from bertune.training.named_paths import NAMES_OF_PATHS, place_of
    from bertune.training.run_directory import RunDirectory

    start = RunDirectory(teacher).started_in
    for name in _OF_DATA:
        if name in settings:
            found[name] = place_of(settings[name], start) if name in NAMES_OF_PATHS else settings[name]
    return found
