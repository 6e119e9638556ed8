"""The program that `make docs` runs: what it refuses, and where its navigation comes from."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

griffe = pytest.importorskip("griffe")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_of_docs", ROOT / "docs" / "site" / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_docstrings_and_unknown_parameters_are_faults(site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(
        '''
def documented(rows):
    """Counts.

    Args:
        rows: to count.
    """

def bare(): ...

def renamed(rows):
    """Counts.

    Args:
        lines: to count.
    """

class Box:
    """A box."""

    def open(self): ...
    def _hinge(self): ...
'''
    )
    package = griffe.load("sample", search_paths=[tmp_path])
    faults = [
        fault for name in ("documented", "bare", "renamed", "Box") for fault in site.faults_of(name, package[name])
    ]
    assert faults == [
        "bare: no docstring",
        "renamed: no parameter lines",
        "renamed: parameter rows is not documented",
        "Box.open: no docstring",
    ]


def test_the_navigation_has_every_guide(site: ModuleType) -> None:
    pages = {
        page
        for section in site.navigation()
        for entries in section.values()
        for each in entries
        for page in each.values()
    }
    assert {guide.relative_to(ROOT).as_posix() for guide in (ROOT / "docs" / "guides").glob("*.md")} <= pages


def test_links_to_folders_become_text(site: ModuleType) -> None:
    page = ROOT / "docs" / "index.md"
    text = "[results](../benchmarks/results) and [guide](guides/report.md)"
    assert site._without_folders(text, page) == "results and [guide](guides/report.md)"
