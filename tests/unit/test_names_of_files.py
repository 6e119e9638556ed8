"""Every file of the package is found by its name alone."""

from collections import Counter
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "bertune"
VAGUE = {"utils", "common", "helpers", "misc", "base", "core", "manager", "handler"}


def test_no_two_files_have_the_same_name() -> None:
    names = Counter(path.name for path in SOURCES.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_every_name_says_what_is_inside() -> None:
    stems = {path.stem for path in SOURCES.rglob("*.py")} | {path.name for path in SOURCES.rglob("*") if path.is_dir()}
    assert stems & VAGUE == set()
