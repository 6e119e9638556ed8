"""Names and numbers as the page writes them."""

from typing import Final

from bertune.evaluation.score_parts import Baseline
from bertune.training.saved_run import PlacedRow, Target
from bertune.wording import metric_text as plain
from bertune.wording.excerpt import excerpt
from bertune.wording.markup import Html, element, join, text

_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"
# Labels, columns and file names are words; what is longer is no name, and would push all else off the page.
_LONGEST_NAME: Final = 60
_LONGEST_TEXT: Final = 1_200


def name_of(value: object) -> str:
    """Returns a label, a column or a file's name, cut where it is no name any more."""
    return excerpt(str(value), _LONGEST_NAME)


def metric_text(name: str, value: float) -> str:
    """Returns a metric as people read it: a percentage, or a correlation with three digits."""
    return plain.metric_text(name, value).replace(" ", _SPACE)


def metric_interval(name: str, low: float, high: float) -> str:
    """Returns the ends of an interval."""
    return plain.metric_interval(name, low, high).replace(" %", f"{_SPACE}%")


def percent(share: float, digits: int = 1) -> str:
    """Returns a share as a percentage."""
    return plain.percent(share, digits).replace(" ", _SPACE)


def short(number: float) -> str:
    """Returns a number with at most three digits that count: 2e-5, 0.693, 120."""
    if number != 0 and abs(number) < 0.001:
        digits, exponent = f"{number:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def constant_answer(baseline: Baseline) -> str:
    """Returns what a baseline does."""
    if baseline.kind == "constant":
        return "giving every row the same labels"
    answer = baseline.answer
    always = f"the mean, {answer:.4g}" if isinstance(answer, float) else repr(name_of(answer))
    return f"always answering {always}"


def answer_text(answer: Target) -> str:
    """Returns a target or an answer: a label, several, none, or a value."""
    if isinstance(answer, tuple):
        return ", ".join(name_of(name) for name in answer) or "no label"
    return f"{answer:.3f}" if isinstance(answer, float) else name_of(answer)


def place_of(row: PlacedRow) -> Html:
    """Returns where a row stands; of a path its last two parts are shown, and all of it under the pointer."""
    where, parts = row.where, row.where.split("/")
    shown = where if len(parts) < 4 else "…/" + "/".join(parts[-2:])
    return element("span", excerpt(shown, 2 * _LONGEST_NAME), class_="place", title=excerpt(where, _LONGEST_TEXT))


def texts_of(row: PlacedRow) -> Html:
    """Returns the texts of a row, or nothing where it has none."""
    found = [words for words in (row.text_a, row.text_b) if words is not None]
    return join(element("q", text(excerpt(words, _LONGEST_TEXT)), dir="auto") for words in found)
