"""The top of a report: how good the model is, beside always answering the same, and what to beware of."""

from typing import Any

from bertune.reports import charts
from bertune.reports.markup import Html, element
from bertune.reports.page import note, warning
from bertune.reports.words import is_percentage, metric_interval, metric_name, metric_text, name_of


def headline(numbers: dict[str, Any]) -> list[Html]:
    """Returns the verdict with its picture, and the warnings."""
    warnings = [warning(words) for words in numbers["warnings"]]
    scores = numbers["validation"]
    if scores is None:
        return [element("p", "No score", class_="headline"), *warnings]
    name, first = next(iter(scores["metrics"].items()))
    spoken = metric_name(name, scores["label_names"])
    value, interval = metric_text(name, first["value"]), metric_interval(name, first["low"], first["high"])
    sides = {"better": "better than", "unclear": "not clearly different from", "worse": "worse than"}
    against = element("b", sides[first["against_baseline"]], class_=first["against_baseline"])
    answer = scores["baseline"]["answer"]
    always = f"the mean, {answer:.4g}" if isinstance(answer, float) else repr(name_of(answer))
    ends = (0.0, 1.0) if is_percentage(name) or min(first["low"], first["baseline"]) >= 0 else (-1.0, 1.0)
    return [
        element("p", value, " ", element("small", spoken), class_="headline"),
        element(
            "p",
            f"95 % interval {interval}: ",
            against,
            f" always answering {always}, which scores {metric_text(name, first['baseline'])}.",
            class_="verdict",
        ),
        charts.strip(
            first["value"],
            first["low"],
            first["high"],
            first["baseline"],
            ends,
            lambda number: metric_text(name, number),
            label=f"{spoken} {value}, interval {interval}",
        ),
        note(
            f"Measured on {scores['rows']:,} validation rows after epoch {numbers['best_epoch']}, which was chosen on "
            "the same rows: expect a little less on new ones."
        ),
        *warnings,
    ]
