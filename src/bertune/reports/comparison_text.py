"""A comparison as people read it in a terminal, and as programs do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bertune.evaluation.answers import words_of
from bertune.evaluation.comparison import Comparison, Difference, Pair
from bertune.reports.compared_runs import ComparedRun, decisions_of
from bertune.reports.words import answer_text
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.training.saved_run import LabelledRow
from bertune.wording.aligned import aligned
from bertune.wording.excerpt import excerpt
from bertune.wording.metric_text import is_percentage, metric_name, metric_text

_MINUS = "\N{MINUS SIGN}"
_LONGEST_TEXT = 300


def difference_text(metric: str, value: float) -> str:
    """Returns a difference with its sign: in points of a percentage, or as a number."""
    scaled, digits = (100 * value, 1) if is_percentage(metric) else (value, 3)
    shown = f"{abs(scaled):.{digits}f}"
    if not float(shown):
        return shown
    return f"{'+' if scaled > 0 else _MINUS}{shown}"


def interval_text(metric: str, difference: Difference) -> str:
    """Returns the ends of an interval of differences."""
    return f"{difference_text(metric, difference.low)} to {difference_text(metric, difference.high)}"


def p_text(p: float) -> str:
    """Returns a p-value with two digits that count."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def verdict(pair: Pair, runs: Sequence[ComparedRun], *, pairs: int) -> str:
    """Returns one sentence: which of two runs is better, or that no difference is shown.

    Args:
        pair: the two.
        runs: all that are compared.
        pairs: how many pairs there are.
    """
    name, difference = next(iter(pair.metrics.items()))
    first, second = runs[pair.first].name, runs[pair.second].name
    points = " points" if is_percentage(name) else ""
    spoken = metric_name(name, runs[0].signature.labels)
    corrected = f" after Holm's correction for {pairs} pairs" if pairs > 1 else ""
    found = (
        f"{spoken} {difference_text(name, difference.value)}{points} "
        f"({interval_text(name, difference)}), {p_text(pair.corrected_p)}{corrected}"
    )
    if pair.better is None:
        return f"no difference shown between {first} and {second}: {found}"
    winner, loser = (second, first) if pair.better == pair.second else (first, second)
    return f"{winner} is better than {loser}: {found}"


def comparison_lines(comparison: Comparison, runs: Sequence[ComparedRun], *, most_rows: int) -> list[str]:
    """Returns a comparison for a terminal.

    Args:
        comparison: of the runs.
        runs: in the same order.
        most_rows: how many flipped rows of each direction are shown; with more than two runs they are only counted.
    """
    pairs = comparison.pairs
    lines = [verdict(pair, runs, pairs=len(pairs)) for pair in pairs]
    metrics = list(pairs[0].metrics)
    labels = runs[0].signature.labels
    table = [("run", *(metric_name(name, labels) for name in metrics))]
    for run, scores in zip(runs, comparison.scores, strict=True):
        table.append((run.name, *(metric_text(name, scores[name]) for name in metrics)))
    lines += ["", *aligned(table)]
    for pair in pairs:
        lines += ["", *_pair_lines(pair, runs)]
        if len(runs) == 2:
            lines += _flipped_lines(pair, runs, most_rows)
    lines += ["", f"{comparison.rows:,} rows; differences are second minus first, with 95 % intervals of "]
    lines[-1] += f"{comparison.samples:,} paired bootstrap samples, seed {comparison.seed}"
    return lines


def comparison_values(comparison: Comparison, runs: Sequence[ComparedRun]) -> JsonObject:
    """Returns a comparison for programs: everything, with every flipped row and its texts."""
    values = comparison.to_dict()
    for pair, content in zip(comparison.pairs, values["pairs"], strict=True):
        content["verdict"] = verdict(pair, runs, pairs=len(comparison.pairs))
        for name in ("only_first", "only_second"):
            content[name] = [to_json(row) for row in flipped_rows(getattr(pair, name), pair, runs)]
    return {"runs": [run.name for run in runs], **values}


@dataclass(frozen=True, kw_only=True)
class FlippedRow(LabelledRow):
    """A row that only one of two models answers right.

    Args:
        answers: of both, in words.
    """

    answers: tuple[str, ...]


def flipped_rows(rows: Sequence[int], pair: Pair, runs: Sequence[ComparedRun]) -> Iterator[FlippedRow]:
    """Yields rows with their texts, their target, and what both models of a pair answer.

    Args:
        rows: their numbers.
        pair: the two models.
        runs: all that are compared.
    """
    signature = runs[0].signature
    given = [decisions_of(runs[place], signature.labels) for place in (pair.first, pair.second)]
    for row in rows:
        kept = runs[0].rows[row]
        yield FlippedRow(
            where=kept.where,
            text_a=kept.text_a,
            text_b=kept.text_b,
            target=kept.target,
            answers=tuple(words_of(decisions[row], signature) for decisions in given),
        )


def flipped_titles(pair: Pair, runs: Sequence[ComparedRun]) -> tuple[str, str]:
    """Returns what the two lists of a pair's rows are called."""
    first, second = runs[pair.first].name, runs[pair.second].name
    if pair.mcnemar_p is None:
        return f"{first} is nearer", f"{second} is nearer"
    return f"right in {first}, wrong in {second}", f"wrong in {first}, right in {second}"


def _pair_lines(pair: Pair, runs: Sequence[ComparedRun]) -> list[str]:
    labels = runs[0].signature.labels
    table = [(f"{runs[pair.first].name} -> {runs[pair.second].name}", "difference", "95 % interval", "bootstrap")]
    for name, difference in pair.metrics.items():
        points = " points" if is_percentage(name) else ""
        table.append(
            (
                metric_name(name, labels),
                difference_text(name, difference.value) + points,
                interval_text(name, difference),
                p_text(difference.p),
            )
        )
    lines = aligned(table)
    titles = flipped_titles(pair, runs)
    if pair.mcnemar_p is not None:
        lines.append(
            f"{titles[0]}: {len(pair.only_first)} rows; the other way round: {len(pair.only_second)}; "
            f"McNemar's exact test {p_text(pair.mcnemar_p)}"
        )
    return lines


def _flipped_lines(pair: Pair, runs: Sequence[ComparedRun], most: int) -> list[str]:
    lines: list[str] = []
    for title, rows in zip(flipped_titles(pair, runs), (pair.only_first, pair.only_second), strict=True):
        if not rows or not most:
            continue
        lines += ["", f"{title}: {len(rows)} rows" + (f", the first {most}" if len(rows) > most else "")]
        for row in flipped_rows(rows[:most], pair, runs):
            answers = " -> ".join(row.answers)
            lines.append(f"  {row.where}: {answer_text(row.target)}; answered {answers}")
            texts = [words for words in (row.text_a, row.text_b) if words is not None]
            lines += [f"    {excerpt(' '.join(words.split()), _LONGEST_TEXT)}" for words in texts]
    return lines
