"""What is installed with bertune: how much it is, and that versions with known faults are ruled out."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
MOST = 52


def needed() -> list[Requirement]:
    return [Requirement(each) for each in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]]


def installed_with(requirements: list[Requirement]) -> set[str]:
    found: set[str] = set()
    waiting = [(each.name, extra) for each in requirements for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (seen := f"{canonicalize_name(name)}[{extra}]") in found:
            continue
        found.add(seen)
        for text in metadata.distribution(name).requires or []:
            each = Requirement(text)
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                waiting += [(each.name, inner) for inner in ("", *each.extras)]
    # Builds of torch for GPUs bring the vendor's libraries.
    return {name.partition("[")[0] for name in found if not name.startswith(("nvidia-", "cuda-", "triton"))}


def test_few_distributions_are_installed_with_it() -> None:
    names = installed_with(needed())
    assert 20 < len(names) <= MOST, sorted(names)


@pytest.mark.parametrize(
    ("name", "faulty"),
    # CVE-2026-24747 and CVE-2023-47248: files that corrupt memory, or run code.
    [("torch", "2.9.1"), ("pyarrow", "14.0.0")],
    ids=lambda value: value,
)
def test_versions_with_known_faults_are_ruled_out(name: str, faulty: str) -> None:
    (requirement,) = [each for each in needed() if each.name == name]
    assert faulty not in requirement.specifier
