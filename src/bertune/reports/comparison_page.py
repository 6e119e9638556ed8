"""A comparison as a page that opens anywhere."""

from collections.abc import Sequence

from bertune.evaluation.comparison import Comparison, Difference, Pair
from bertune.reports.compared_runs import ComparedRun
from bertune.reports.comparison_text import (
    difference_text,
    flipped_rows,
    flipped_titles,
    interval_text,
    p_text,
    verdict,
)
from bertune.reports.page import details, note, page, paragraph, section, table
from bertune.reports.words import answer_text, metric_text, place_of, texts_of
from bertune.wording.markup import Html, element
from bertune.wording.metric_text import is_percentage, metric_name

MOST_ROWS = 200
_WIDTH, _HALF = 240.0, 112.0


def comparison_page(comparison: Comparison, runs: Sequence[ComparedRun]) -> str:
    """Returns an HTML document, without scripts and without the network.

    Args:
        comparison: of the runs.
        runs: in the same order.
    """
    pairs = comparison.pairs
    count = len(pairs)
    headline = "Difference shown" if any(pair.is_shown for pair in pairs) else "No difference shown"
    header = [
        element("p", headline, class_="headline"),
        *(element("p", verdict(pair, runs, pairs=count), class_="verdict") for pair in pairs),
        note(
            "A difference is called shown when the paired bootstrap of the first metric and, for labels, McNemar's "
            "exact test both say so, at 5 %. Both answer for the choice of the rows, neither for the seed of training."
        ),
    ]
    return page(
        "Comparison",
        _scores(comparison, runs),
        *(_pair(number, pair, runs) for number, pair in enumerate(pairs, start=1)),
        header=header,
    )


def _scores(comparison: Comparison, runs: Sequence[ComparedRun]) -> Html:
    labels, metrics = runs[0].signature.labels, list(comparison.pairs[0].metrics)
    rows = [
        [run.name, *(metric_text(name, scores[name]) for name in metrics)]
        for run, scores in zip(runs, comparison.scores, strict=True)
    ]
    header = ["run", *(metric_name(name, labels) for name in metrics)]
    return section("scores", f"Scores on the same {comparison.rows:,} rows", table(header, rows))


def _pair(number: int, pair: Pair, runs: Sequence[ComparedRun]) -> Html:
    labels = runs[0].signature.labels
    # All strips of percentages share one scale, and all of other numbers.
    widest = {
        kind: max(
            (max(abs(d.low), abs(d.high)) for name, d in pair.metrics.items() if is_percentage(name) is kind),
            default=0.0,
        )
        for kind in (True, False)
    }
    rows = [
        [
            metric_name(name, labels),
            _strip(name, difference, widest[is_percentage(name)]),
            difference_text(name, difference.value) + (" points" if is_percentage(name) else ""),
            interval_text(name, difference),
            p_text(difference.p),
        ]
        for name, difference in pair.metrics.items()
    ]
    content = [table(["metric", "", "difference", "95 % interval", "bootstrap"], rows, words=2)]
    if pair.mcnemar_p is not None:
        content.append(
            paragraph(
                f"Only the first is right on {len(pair.only_first):,} rows, only the second on "
                f"{len(pair.only_second):,}: McNemar's exact test {p_text(pair.mcnemar_p)}."
            )
        )
    for title, flipped in zip(flipped_titles(pair, runs), (pair.only_first, pair.only_second), strict=True):
        content.append(_flipped(title, flipped, pair, runs))
    return section(f"pair-{number}", f"{runs[pair.first].name} and {runs[pair.second].name}", *content)


def _flipped(title: str, rows: Sequence[int], pair: Pair, runs: Sequence[ComparedRun]) -> Html:
    if not rows:
        return note(f"{title}: no row.")
    items = []
    for row in flipped_rows(rows[:MOST_ROWS], pair, runs):
        told = element(
            "div",
            "true ",
            element("b", answer_text(row.target)),
            f", answered {row.answers[0]}, then ",
            element("b", row.answers[1]),
        )
        items.append(element("li", told, texts_of(row), place_of(row)))
    more = f", the first {MOST_ROWS}" if len(rows) > MOST_ROWS else ""
    return details(f"{title}: {len(rows):,} rows{more}", element("ol", *items, class_="rows"))


def _strip(metric: str, difference: Difference, widest: float) -> Html:
    """An interval on a line with 0 in the middle."""

    def place(value: float) -> float:
        return round(_WIDTH / 2 + (value / widest if widest else 0.0) * _HALF, 1)

    low, high = place(difference.low), place(difference.high)
    label = f"{difference_text(metric, difference.value)}, interval {interval_text(metric, difference)}"
    return element(
        "svg",
        element("line", class_="axis", x1=0, x2=_WIDTH, y1=11, y2=11),
        element("line", class_="mark", x1=_WIDTH / 2, x2=_WIDTH / 2, y1=1, y2=21),
        element("rect", class_="bar s0", x=low, y=8, width=max(high - low, 1.0), height=6, rx=3, opacity=0.55),
        element("circle", class_="dot s0", cx=place(difference.value), cy=11, r=5),
        viewBox=f"0 0 {_WIDTH:g} 22",
        style="min-width: 120px",
        width=_WIDTH,
        height=22,
        role="img",
        aria_label=label,
    )
