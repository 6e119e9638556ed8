"""Shares and metrics as people read them: one name and one format for each, on the terminal and in the report.

JSON, flags and Python keep the identifiers and the fractions.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bertune.wording.aligned import shortened
from bertune.wording.nearest import shorten

_DASH: Final = "\N{EN DASH}"
_LONGEST_LABEL: Final = 24
_WIDENED: Final = ", widened for folds"
_SPOKEN: Final = {
    "accuracy": "accuracy",
    "f1": "F1",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}
_PERCENTAGES: Final = ("accuracy", "f1", "f1_macro", "f1_micro", "subset_accuracy", "hamming_loss")


def percent(share: float, digits: int = 1) -> str:
    """Gives a share as a percentage: ``74.2 %``."""
    return f"{100 * share:.{digits}f} %"


def part_of(count: int, rows: int) -> str:
    """Gives how much some rows are of all: ``7.5 %``; a few of very many are ``< 0.1 %``, never none."""
    share = count / max(rows, 1)
    return "< 0.1 %" if 0 < share < 0.0005 else percent(share)


def is_percentage(metric: str) -> bool:
    """Tells whether people read a metric as a percentage; its values are fractions all the same."""
    return metric in _PERCENTAGES


def metric_name(metric: str, labels: Sequence[str] = ()) -> str:
    """Gives what a metric is called; F1 of two labels with the one it is about.

    Args:
        metric: its identifier.
        labels: of the model, where they are known.
    """
    if metric == "f1" and len(labels) == 2:
        return f"F1 of '{shortened(shorten(labels[1]), _LONGEST_LABEL)}'"
    return _SPOKEN.get(metric, metric.replace("_", " "))


def metric_text(metric: str, value: float) -> str:
    """Gives a metric's value: a percentage, or a correlation with three digits."""
    return percent(value) if is_percentage(metric) else f"{value:.3f}"


def metric_interval(metric: str, low: float, high: float) -> str:
    """Gives the ends of an interval: ``71.0–77.1 %``."""  # noqa: RUF002 (the dash of a range)
    first = metric_text(metric, low).removesuffix(" %")
    return f"{first}{_DASH if low >= 0 else ' to '}{metric_text(metric, high)}"


def loss_text(value: float) -> str:
    """Gives a loss, with four digits."""
    return f"{value:.4f}"


def epoch_text(epoch: float) -> str:
    """Gives how many epochs are over: ``2`` at the end of the second one, ``1.25`` within it; never ``2.00``."""
    if epoch == int(epoch):
        return str(int(epoch))
    digits = next((digits for digits in (2, 3, 4) if float(f"{epoch:.{digits}f}") != round(epoch)), 6)
    return f"{epoch:.{digits}f}"


def interval_methods(methods: Mapping[str, str], samples: int, *, labels: Sequence[str] = ()) -> str:
    """Gives how intervals were found: ``accuracy by Agresti-Coull; F1 of 'yes' by bootstrap (1,000 samples, …)``.

    Args:
        methods: of each metric, by identifier.
        samples: of the bootstrap.
        labels: of the model, where they are known.
    """
    found_by = {
        "bootstrap with pseudo-rows": f"bootstrap ({samples:,} samples, 4 pseudo-rows)",
        "Fisher's z": f"Fisher's z and bootstrap ({samples:,} samples)",
    }
    found_by |= {f"{method}{_WIDENED}": f"{told}{_WIDENED}" for method, told in found_by.items()}
    names: dict[str, list[str]] = {}
    for metric, method in methods.items():
        names.setdefault(found_by.get(method, method), []).append(metric_name(metric, labels))
    return "; ".join(f"{', '.join(each)} by {method}" for method, each in names.items())
