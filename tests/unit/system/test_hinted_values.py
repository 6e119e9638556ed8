"""Types made of what a file holds: what does not fit is named by its place, and what fits is written as it was."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest

from bertune.system.hinted_values import LEFT_OUT, NOT_EMPTY, Rule, fits, from_json, named, to_json

SMALL = Rule(lambda value: value < 10, "is too large")


@dataclass(frozen=True)
class Inner:
    size: float
    start: int = field(metadata=named("from"))
    side: Literal["left", "right"] = "left"
    note: str | None = field(default=None, metadata=LEFT_OUT)


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Outer:
    name: str
    parts: tuple[Inner, ...]
    by_name: Annotated[dict[str, Inner], NOT_EMPTY]
    answer: str | tuple[str, ...] | Annotated[float, SMALL]
    pair: tuple[float, float] | None = None
    color: Color = Color.RED

    def __post_init__(self) -> None:
        if self.name == "never":
            raise ValueError("no such name")


WHOLE: dict[str, Any] = {
    "name": "a",
    "parts": [{"size": 1, "from": 2, "side": "right", "note": "x"}],
    "by_name": {"b": {"size": 0.5, "from": 3, "side": "left"}},
    "answer": ["c", "d"],
    "pair": [1.0, 2],
    "color": "blue",
}


def test_what_was_read_is_written_as_it_stood_there() -> None:
    read = from_json(Outer, WHOLE | {"of a later version": 1})
    assert read == Outer("a", (Inner(1, 2, "right", "x"),), {"b": Inner(0.5, 3)}, ("c", "d"), (1.0, 2), Color.BLUE)
    assert to_json(read) == WHOLE
    assert list(to_json(read)) == list(WHOLE)
    assert to_json(from_json(Outer, {**WHOLE, "pair": None}))["pair"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 1}, "'name' is of another kind"),
        ({"name": None}, "'name' is of another kind"),
        ({"name": "never"}, "the content does not fit: no such name"),
        ({"parts": {}}, "'parts' is no list"),
        ({"parts": [WHOLE["parts"][0], {"size": 1}]}, r"'parts\[1\].from' is missing"),
        ({"parts": [{"size": True, "from": 1}]}, r"'parts\[0\].size' is of another kind"),
        ({"parts": [{"size": 1, "from": 1.0}]}, r"'parts\[0\].from' is of another kind"),
        ({"by_name": []}, "by_name is no object"),
        ({"by_name": {}}, "'by_name' is empty"),
        ({"by_name": {"b": None}}, "by_name.b is no object"),
        ({"by_name": {"b": {"size": 1, "from": 1, "side": []}}}, "'by_name.b.side' is none of left, right"),
        ({"answer": {}}, "'answer' is of another kind"),
        ({"answer": ["x", 1]}, r"'answer\[1\]' is of another kind"),
        ({"answer": 11.0}, "'answer' is too large"),
        ({"color": "green"}, "'color' is none of blue, red"),
        ({"color": []}, "'color' is none of blue, red"),
        ({"pair": [1.0]}, "'pair' is of another kind"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}$"):
        from_json(Outer, WHOLE | change)
    assert not fits(WHOLE | change, Outer)


def test_a_whole_that_is_no_object_says_so() -> None:
    with pytest.raises(ValueError, match=r"^the content is no object$"):
        from_json(Outer, [])
