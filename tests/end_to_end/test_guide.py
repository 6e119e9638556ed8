"""The guide from the Model Garden: every new name is there and takes what is shown, every test it names is there."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bertune
from bertune.cli.app import make_app

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "from-model-garden.md"
# What stands in code there and is no name of bertune's.
OTHERS = {"gelu", "argmax", "manifest.json", "bert_config.json", "classifier(batch)"}


def rows() -> list[tuple[str, str, str]]:
    """The rows of all tables: old, new, tests."""
    lines = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]
    return [(row[0], row[1], row[2]) for row in cells if row[0] != "the tutorial"]


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def resolve(dotted: str) -> Any:
    """Finds what a dotted name means: in bertune itself, or from a module of bertune on."""
    parts = dotted.split(".")
    if parts[0] == "bertune":
        depth = max(d for d in range(1, len(parts) + 1) if is_module(".".join(parts[:d])))
        value, rest = importlib.import_module(".".join(parts[:depth])), parts[depth:]
    else:
        assert parts[0] in bertune.__all__, f"{parts[0]} is no public name"
        value, rest = getattr(bertune, parts[0]), parts[1:]
    for name in rest:
        value = getattr(value, name)
    return value


def is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_rows_and_each_has_three_cells() -> None:
    assert len(rows()) > 30
    assert all(spans(old) and spans(new) and spans(tests) for old, new, tests in rows() if "the same" not in old)


@pytest.mark.parametrize("new", [row[1] for row in rows()])
def test_every_new_name_is_there_and_takes_what_is_shown(new: str) -> None:
    ours = [code for code in spans(new) if code not in OTHERS]
    assert ours, f"nothing of bertune in {new}"
    for code in ours:
        if code.startswith("bertune "):
            assert code.split()[1] in make_app()
            continue
        tree = ast.parse(code, mode="eval").body
        for call in calls(tree):
            arguments = {str(each.arg): each.value for each in call.keywords}
            # Raises TypeError where an argument is missing or unknown.
            inspect.signature(resolve(ast.unparse(call.func))).bind(*call.args, **arguments)
        if not list(calls(tree)):
            resolve(ast.unparse(tree))


def test_every_test_the_guide_names_is_in_the_file_it_links_to() -> None:
    links = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert len(links) > len(rows())
    for name, link in links:
        assert name in functions_in((GUIDE.parent / link).resolve()), f"{name} is not in {link}"


def test_every_row_names_a_test() -> None:
    assert [new for _, new, tests in rows() if not re.search(r"\[`test_\w+`\]\(", tests)] == []


def test_every_other_file_the_guide_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)[^)]*\)", GUIDE.read_text(encoding="utf-8"))
    assert [link for link in links if not (GUIDE.parent / link).exists()] == []
