"""Values of files and the types that they become, by the type hints of dataclasses: one way in and one way out."""

import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bertune.errors import BertuneError
from bertune.system.json_file import JsonObject

Kind = TypeVar("Kind")
_Reader = Callable[[Any], Any]

LEFT_OUT: Final[dict[str, object]] = {"left_out": True}
"""Metadata of a field that a file has only where the value is not None."""


def named(key: str) -> dict[str, object]:
    """Returns the metadata of a field that files call otherwise, since Python cannot."""
    return {"key": key}


@dataclass(frozen=True)
class Rule:
    """What a value must be beyond its type; stands in an `Annotated` hint.

    Args:
        holds: whether a value of the type is one.
        says: what is wrong with one that is not, after its name.
    """

    holds: Callable[[Any], bool]
    says: str


NOT_EMPTY: Final = Rule(bool, "is empty")


class MisfitError(ValueError):
    """A value of a file that is not what belongs in its place.

    Args:
        says: what is wrong, after the name of the place.
        place: where it stands, `tensors[0].shape`; empty for the whole file.
    """

    def __init__(self, says: str, place: str = "") -> None:
        super().__init__(says, place)
        self.says, self.place = says, place

    def inside(self, outer: str) -> "MisfitError":
        """Returns the same fault, told from one level further out."""
        inner = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        return MisfitError(self.says, f"{outer}{inner}")

    def __str__(self) -> str:
        is_quoted = self.place and self.says != _NO_OBJECT
        return f"'{self.place}' {self.says}" if is_quoted else f"{self.place or 'the content'} {self.says}"


_NUMBERS: Final = (float, int)
_LEAVES: Final = (str, float, int, bool, types.NoneType)
_NO_OBJECT: Final = "is no object"
_OTHER_KIND: Final = "is of another kind"


def from_json(kind: type[Kind], value: Any) -> Kind:
    """Makes a value of a type, as a rule a dataclass, of what a JSON or TOML file holds.

    A list becomes a tuple where the hint says so, a text a path; nothing else is bent, and a whole number also fits a
    float. Entries that the type does not have are passed over: later versions may write more.

    Args:
        kind: a dataclass whose fields are plain, or dataclasses; or any hint that such a field may have: a plain type,
            None, an enumeration, a union, a literal, a tuple, list or mapping, each possibly `Annotated` with a `Rule`.
        value: what the file holds.

    Raises:
        MisfitError: names the first entry that is missing or of another kind.
    """
    hint: Any = kind
    return cast("Kind", _reader(hint)(value))


def to_json(value: Any) -> JsonObject:
    """Returns a dataclass as `from_json` reads it: its fields in their order, all in types that JSON knows."""
    return cast("JsonObject", _plain(value))


def fits(value: Any, hint: Any) -> bool:
    """Tells whether a value, as JSON and TOML hold it, is one of a type; for both see `from_json`."""
    try:
        _reader(hint)(value)
    except MisfitError:
        return False
    return True


def checked_fields(values: Any, kind: type) -> JsonObject:
    """Makes sure that an object of a file has what a dataclass needs, and nothing else.

    Args:
        values: what the file holds.
        kind: a dataclass whose fields are plain.

    Returns:
        The values.

    Raises:
        ValueError: says which entry is missing, unknown or of another kind.
    """
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found {type(values).__name__}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"unknown entry {name!a:.60}")
        if not fits(value, hints[name]):
            raise ValueError(f"{name} is {value!a:.60}, which does not belong there")
    for field in fields(kind):
        if field.name not in values and _is_needed(field):
            raise ValueError(f"{field.name} is missing")
    return values


@cache
def _reader(hint: Any) -> _Reader:
    """Makes what turns values into those of a hint."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _ruled(_reader(arguments[0]), arguments[1])
    if origin in (Union, types.UnionType):
        return _of_several(arguments)
    if origin is Literal:
        return _checked(lambda value: value in arguments, f"is none of {', '.join(sorted(map(str, arguments)))}")
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _of_so_many(arguments)
    if origin in (tuple, list):
        return _of_each(_reader(arguments[0]), origin)
    if origin in (dict, Mapping):
        return _of_every_key(_reader(arguments[1]))
    if is_dataclass(hint):
        return _of_object(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member_of(hint)
    if hint is float:
        return _checked(lambda value: type(value) in _NUMBERS, _OTHER_KIND)
    if hint is Path:
        return lambda value: Path(_reader(str)(value))
    return _checked(lambda value: type(value) is hint or hint is Any, _OTHER_KIND)


def _member_of(kind: type[Enum]) -> _Reader:
    members = {member.value: member for member in kind}

    def read(value: Any) -> Any:
        if not isinstance(value, Hashable) or value not in members:
            raise MisfitError(f"is none of {', '.join(sorted(map(str, members)))}")
        return members[value]

    return read


def _checked(is_one: Callable[[Any], bool], says: str) -> _Reader:
    def read(value: Any) -> Any:
        if not is_one(value):
            raise MisfitError(says)
        return value

    return read


def _ruled(read_value: _Reader, rule: Rule) -> _Reader:
    def read(value: Any) -> Any:
        found = read_value(value)
        if not rule.holds(found):
            raise MisfitError(rule.says)
        return found

    return read


def _of_several(options: tuple[Any, ...]) -> _Reader:
    """Reads by the one option that takes such a value, so that what is wrong inside of it can be said."""
    others = [option for option in options if option is not types.NoneType]
    may_be_none = len(others) < len(options)

    readers = [(_outside(option), _reader(option)) for option in others]

    def read(value: Any) -> Any:
        if value is None and may_be_none:
            return None
        if len(readers) == 1:
            return readers[0][1](value)
        for may_be, read_value in readers:
            if may_be(value):
                return read_value(value)
        raise MisfitError(_OTHER_KIND)

    return read


def _outside(hint: Any) -> Callable[[Any], bool]:
    """Makes what tells whether a value may be one of a hint, as far as that is seen without looking inside."""
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    origin = get_origin(hint)
    if origin in (tuple, list):
        return lambda value: isinstance(value, list)
    if origin in (dict, Mapping) or is_dataclass(hint):
        return lambda value: isinstance(value, dict)
    return lambda value: fits(value, hint)


def _of_each(read_one: _Reader, origin: Callable[[list[Any]], Any]) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise MisfitError("is no list")
        found: list[Any] = []
        try:
            for one in value:
                found.append(read_one(one))  # its length tells which one does not fit
        except MisfitError as error:
            raise error.inside(f"[{len(found)}]") from None
        return origin(found)

    return read


def _of_so_many(hints: tuple[Any, ...]) -> _Reader:
    readers = [_reader(hint) for hint in hints]

    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise MisfitError(_OTHER_KIND)
        return tuple(read_one(one) for read_one, one in zip(readers, value, strict=True))

    return read


def _of_every_key(read_one: _Reader) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise MisfitError(_NO_OBJECT)
        return {key: _inside(str(key), read_one, one) for key, one in value.items()}

    return read


def _inside(key: str, read_one: _Reader, value: Any) -> Any:
    try:
        return read_one(value)
    except MisfitError as error:
        raise error.inside(key) from None


def _of_object(kind: Any) -> _Reader:
    hints = get_type_hints(kind, include_extras=True)
    entries = [
        (field.name, _key(field), _reader(hints[field.name]), _is_needed(field)) for field in fields(kind) if field.init
    ]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise MisfitError(_NO_OBJECT)
        found = {}
        for name, key, read_one, is_needed in entries:
            if key in value:
                found[name] = _inside(key, read_one, value[key])
            elif is_needed:
                raise MisfitError("is missing", key)
        try:
            return kind(**found)
        except (ValueError, BertuneError) as error:
            raise MisfitError(f"does not fit: {error}") from error

    return read


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@cache
def _written(kind: Any) -> tuple[tuple[str, str, bool], ...]:
    """Of each field the name, the name in files, and whether it is left out where it is None."""
    return tuple((field.name, _key(field), bool(field.metadata.get("left_out"))) for field in fields(kind))


def _plain(value: Any) -> Any:
    if type(value) in _LEAVES:
        return value
    if is_dataclass(value):
        found, kind = {}, cast("Any", type(value))
        for name, key, is_left_out in _written(kind):
            one = getattr(value, name)
            if one is not None or not is_left_out:
                found[key] = _plain(one)
        return found
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, Enum) else value


def described(hint: Any) -> str:
    """Says what a value of a type is, to a reader who knows no Python."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(described(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)} numbers"
        return "a list of texts" if arguments[0] is str else "a list of whole numbers"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    return words[hint]
