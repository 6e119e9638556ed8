"""No JSON that is written may hold NaN: other readers, and bertune's own, refuse the whole file."""

import ast
from pathlib import Path

import bertune

SOURCES = sorted(Path(bertune.__file__).parent.rglob("*.py"))


def dumps_in(source: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("dump", "dumps")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "json"
    ]


def refuses_nan(call: ast.Call) -> bool:
    values = [keyword.value for keyword in call.keywords if keyword.arg == "allow_nan"]
    return any(isinstance(value, ast.Constant) and value.value is False for value in values)


def test_every_dump_of_json_refuses_nan() -> None:
    calls = [(path, call) for path in SOURCES for call in dumps_in(path.read_text(encoding="utf-8"))]
    assert len(calls) > 20
    assert [f"{path}:{call.lineno}" for path, call in calls if not refuses_nan(call)] == []
