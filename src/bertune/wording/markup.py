"""HTML that cannot be broken by what is put into it: every string is escaped unless it was made here."""

import html
import re
from collections.abc import Iterable, Sequence

# What no page can hold (controls, halves of surrogate pairs) or what would turn the direction of the text after it.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_WITHOUT_CONTENT = frozenset({"br", "circle", "col", "line", "meta", "path", "rect"})


class Html(str):
    """Markup made by this module; what is no `Html` is text, and is escaped wherever it is put in."""

    __slots__ = ()


def text(value: object) -> Html:
    """Returns a value as markup: `Html` as it is, None as nothing, all else escaped.

    Characters that a page cannot hold, and those that turn the direction of text, become U+FFFD.
    """
    if isinstance(value, Html):
        return value
    return Html("" if value is None else html.escape(_UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))))


def join(children: Iterable[object], separator: str = "") -> Html:
    """Puts markup and texts one after another."""
    return Html(text(separator).join(text(child) for child in children))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Returns an element; a child that is no `Html` is escaped, an attribute always.

    Args:
        tag: its name.
        *children: markup or texts.
        **attributes: None leaves one out; `class_` is `class`, an underscore is a hyphen.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_CONTENT and not children:
        return Html(f"<{tag}{given}/>")
    return Html(f"<{tag}{given}>{join(children)}</{tag}>")


def table(rows: Sequence[Sequence[object]], *, caption: str = "", left: int = 1) -> Html:
    """Returns a plain table, which a notebook shows in its own style.

    Args:
        rows: the headings, then the rows; as many cells each.
        caption: a line above; empty for none.
        left: how many columns, from the first, stand to the left; the others stand to the right.
    """
    head, *body = rows
    sides = [f"text-align: {'left' if place < left else 'right'}" for place in range(len(head))]

    def cells(tag: str, row: Sequence[object]) -> Html:
        return element("tr", *(element(tag, cell, style=side) for cell, side in zip(row, sides, strict=True)))

    return element(
        "table",
        element("caption", caption, style="text-align: left; caption-side: top") if caption else None,
        element("thead", cells("th", head)),
        element("tbody", *(cells("td", row) for row in body)),
    )
