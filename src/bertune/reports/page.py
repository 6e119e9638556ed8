"""A page and its parts: one file without scripts, whose policy forbids them and the network to whatever got into it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import bertune
from bertune.reports.style import STYLE
from bertune.wording.markup import Html, element, join, text

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, *body: object, header: Sequence[object] = ()) -> str:
    """Returns a whole HTML document.

    Args:
        title: in the tab of the browser, and small above the page.
        *body: the sections.
        header: what stands above them: the headline.
    """
    head = join(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", title),
            element("style", Html(STYLE)),
        ],
    )
    content = join(
        [
            element("header", element("h1", title), *header),
            element("main", *body),
            element("footer", f"bertune {bertune.__version__}. This page holds all it needs and runs no script."),
        ]
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{content}</body></html>\n'


def section(name: str, title: str, *content: object) -> Html:
    """Returns a part of the page.

    Args:
        name: its anchor, a word.
        title: its heading.
        *content: markup, or texts as they are.
    """
    return element("section", element("h2", title), *content, id=name)


def contents(sections: Mapping[str, str]) -> Html:
    """Returns links to the sections: anchors with their titles."""
    return element("nav", *(element("a", title, href=f"#{name}") for name, title in sections.items()))


def paragraph(*content: object) -> Html:
    """Returns a paragraph."""
    return element("p", *content)


def note(*content: object) -> Html:
    """Returns a paragraph of second rank: how a number is meant."""
    return element("p", *content, class_="note")


def warning(level: str, *content: object) -> Html:
    """Returns something that the reader must not overlook.

    Args:
        level: `severe` or `caution`.
        *content: markup, or texts as they are.
    """
    return element("div", element("b", "Warning: "), *content, class_=f"callout {level}", role="note")


def notes(messages: Sequence[object]) -> Html:
    """Returns what is good to know, gathered in one quiet box."""
    return element("ul", *(element("li", message) for message in messages), class_="notes")


def details(summary: object, *content: object) -> Html:
    """Returns something that is folded until the reader opens it."""
    return element("details", element("summary", summary), *content)


def figure(title: str, subtitle: str, *content: object) -> Html:
    """Returns a picture with its title, one line on what it shows, and its legend."""
    return element("figure", element("figcaption", title, element("span", subtitle)), *content)


def grid(figures: Iterable[Html]) -> Html:
    """Lays pictures side by side where there is room, below each other where there is none."""
    return element("div", *figures, class_="grid")


def facts(pairs: Mapping[str, object]) -> Html:
    """Returns names with their values; those that are None are left out."""
    known = [(name, value) for name, value in pairs.items() if value is not None]
    return element("dl", *(join([element("dt", name), element("dd", value)]) for name, value in known))


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, words: int = 1) -> Html:
    """Returns a table that scrolls by itself where it is wider than the page.

    Args:
        header: of the columns.
        rows: cells as markup or texts.
        words: how many columns, from the left, hold words; the others hold numbers and are aligned to the right.
    """

    def cells(tag: str, values: Sequence[object]) -> Html:
        return element(
            "tr",
            *(element(tag, value, class_=None if at < words else "number") for at, value in enumerate(values)),
        )

    body = element("tbody", *(cells("td", row) for row in rows))
    return scrolling(element("table", element("thead", cells("th", header)), body))


def scrolling(content: Html) -> Html:
    """Lets something wide scroll by itself, by touch, mouse and keyboard, so that the page never does."""
    return element("div", content, class_="scroll", tabindex="0", role="group")


def code(command: str) -> Html:
    """Returns a command or a name as it is typed."""
    return element("pre", element("code", text(command)))
