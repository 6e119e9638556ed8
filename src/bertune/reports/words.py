"""Names and numbers as the page writes them."""

from collections.abc import Sequence
from typing import Any, Final

from bertune.evaluation.metrics import METRICS
from bertune.reports.markup import Html, element, join, text
from bertune.text.excerpt import excerpt

_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"
_DASH: Final = "\N{EN DASH}"
# Labels, columns and file names are words; what is longer is no name, and would push all else off the page.
_LONGEST_NAME: Final = 60
_LONGEST_TEXT: Final = 1_200
_SPOKEN: Final = {
    "f1": "F1",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}


def name_of(value: object) -> str:
    """Returns a label, a column or a file's name, cut where it is no name any more."""
    return excerpt(str(value), _LONGEST_NAME)


def metric_name(name: str, labels: Sequence[str]) -> str:
    """Returns what a metric is called, with the label it is about."""
    if name == "f1" and len(labels) == 2:
        return f"F1 of {name_of(labels[1])!r}"
    return _SPOKEN.get(name, name.replace("_", " "))


def metric_text(name: str, value: float) -> str:
    """Returns a metric as people read it: a percentage, or a correlation with three digits."""
    return percent(value) if is_percentage(name) else f"{value:.3f}"


def metric_interval(name: str, low: float, high: float) -> str:
    """Returns the ends of an interval."""
    if is_percentage(name):
        return f"{100 * low:.1f}{_DASH}{100 * high:.1f}{_SPACE}%"
    return f"{low:.3f}{_DASH if low >= 0 else ' to '}{high:.3f}"


def is_percentage(name: str) -> bool:
    """Whether people read a metric as a percentage."""
    return name in METRICS and METRICS[name].as_percentage


def percent(share: float, digits: int = 1) -> str:
    """Returns a share as a percentage."""
    return f"{100 * share:.{digits}f}{_SPACE}%"


def short(number: float) -> str:
    """Returns a number with at most three digits that count: 2e-5, 0.693, 120."""
    if number != 0 and abs(number) < 0.001:
        digits, exponent = f"{number:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def constant_answer(baseline: dict[str, Any]) -> str:
    """Returns what a baseline does."""
    if baseline["kind"] == "constant":
        return "giving every row the same labels"
    answer = baseline["answer"]
    always = f"the mean, {answer:.4g}" if isinstance(answer, float) else repr(name_of(answer))
    return f"always answering {always}"


def answer_text(answer: Any) -> str:
    """Returns a target or an answer: a label, several, none, or a value."""
    if isinstance(answer, list):
        return ", ".join(name_of(name) for name in answer) or "no label"
    return f"{answer:.3f}" if isinstance(answer, float) else name_of(answer)


def place_of(row: dict[str, Any]) -> Html:
    """Returns where a row stands; of a path its last two parts are shown, and all of it under the pointer."""
    where = str(row["where"])
    parts = where.split("/")
    shown = where if len(parts) < 4 else "…/" + "/".join(parts[-2:])
    return element("span", excerpt(shown, 2 * _LONGEST_NAME), class_="place", title=excerpt(where, _LONGEST_TEXT))


def texts_of(row: dict[str, Any]) -> Html:
    """Returns the texts of a row, or nothing where it has none."""
    found = [row[key] for key in ("text_a", "text_b") if key in row]
    return join(element("q", text(excerpt(words, _LONGEST_TEXT)), dir="auto") for words in found)
