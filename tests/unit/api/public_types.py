"""The types that the public names of bertune take and return, found in their annotations."""

import ast
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache, cached_property
from typing import Any, get_args, get_origin, get_type_hints

import bertune


def types_in(hint: Any) -> Iterator[type]:
    """Gives every class of bertune that an annotation names."""
    for part in get_args(hint):
        if isinstance(part, list):  # the arguments of a Callable
            for each in part:
                yield from types_in(each)
        elif not isinstance(part, str | int | float | bool | None):
            yield from types_in(part)
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and kind.__module__.partition(".")[0] == "bertune":
        yield kind


def hints_of(function: Any, home: Any) -> dict[str, Any]:
    """The annotations of a function; names under TYPE_CHECKING are imported here, or are those of bertune."""
    names = {name: getattr(bertune, name) for name in bertune.__all__ if name[0].isupper()}
    module = inspect.getmodule(home)
    assert module is not None
    return get_type_hints(function, vars(module) | imported_for_types(module) | names, include_extras=False)


@cache
def imported_for_types(module: types.ModuleType) -> dict[str, Any]:
    """What a module imports for its annotations alone."""
    found: dict[str, Any] = {}
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(statement.body, []), str(module.__file__), "exec"), found)
    return found


def methods_of(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions and properties that bertune's own classes define, in a class or above it."""
    for above in kind.__mro__:
        if above.__module__.partition(".")[0] != "bertune":
            continue
        for name, member in vars(above).items():
            if name.startswith("_") and name not in ("__init__", "__iter__", "__getitem__"):
                continue
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            function = function.fget if isinstance(function, property) else function
            function = function.func if isinstance(function, cached_property) else function
            if isinstance(function, types.FunctionType):
                yield f"{kind.__name__}.{name}", function


def annotations() -> Iterator[tuple[str, Any]]:
    """Every annotation of a public name: of its parameters, results, fields and methods."""
    for name in bertune.__all__:
        value = getattr(bertune, name)
        if isinstance(value, type):
            for where, function in methods_of(value):
                yield from ((f"{where} {part}", hint) for part, hint in hints_of(function, function).items())
            if is_dataclass(value):
                hints = hints_of(value, value)
                yield from (
                    (f"{name}.{field.name}", hints[field.name]) for field in fields(value) if field.name[0] != "_"
                )
        elif inspect.isfunction(value):
            yield from ((f"{name} {part}", hint) for part, hint in hints_of(value, value).items())
