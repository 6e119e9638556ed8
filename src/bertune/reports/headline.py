"""The top of a report: how good the model is, beside always answering the same, and what to beware of."""

from typing import Any

from bertune.reports import charts
from bertune.reports.markup import Html, element
from bertune.reports.page import note, warning
from bertune.reports.words import constant_answer, is_percentage, metric_interval, metric_name, metric_text


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
    always = constant_answer(scores["baseline"])
    ends = (0.0, 1.0) if is_percentage(name) or min(first["low"], first["baseline"]) >= 0 else (-1.0, 1.0)
    return [
        element("p", value, " ", element("small", spoken), class_="headline"),
        element(
            "p",
            f"95 % interval {interval}: ",
            against,
            f" {always}, which scores {metric_text(name, first['baseline'])}.",
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
        *_seeds(numbers["seeds"], name),
        note(
            f"Measured on {scores['rows']:,} validation rows{_when(numbers)}, chosen on the same rows: expect a "
            "little less on new ones."
        ),
        *warnings,
    ]


def _when(numbers: dict[str, Any]) -> str:
    """Which weights were measured."""
    since = ", before the model was calibrated anew" if numbers["calibrated_since"] else ""
    if numbers["seeds"] is not None and len(numbers["seeds"]["model"]["seeds"]) > 1:
        return f", an average of seeds{since}"
    seed = "" if numbers["seeds"] is None else f" of seed {numbers['seeds']['summary']['best']}"
    return since if numbers["best_epoch"] is None else f" after epoch {numbers['best_epoch']}{seed}{since}"


def _seeds(seeds: dict[str, Any] | None, metric: str) -> list[Html]:
    """What all seeds came to; nothing for a single run."""
    if seeds is None:
        return []
    spread = seeds["summary"]["metrics"][metric]
    deviation = "" if spread["std"] is None else f" \N{PLUS-MINUS SIGN} {metric_text(metric, spread['std'])}"
    told = f"{len(seeds['results'])} seeds: mean {metric_text(metric, spread['mean'])}{deviation}"
    ends = f", from {metric_text(metric, spread['minimum'])} to {metric_text(metric, spread['maximum'])}."
    return [element("p", told, ends, class_="verdict")]
