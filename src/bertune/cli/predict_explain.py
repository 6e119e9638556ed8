"""`bertune predict --explain`: words shaded on a terminal that has colours, marked with signs elsewhere."""

import re
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from bertune.checkpoints.model_folder import LoadedModel
from bertune.cli.progress import RowsProgress
from bertune.cli.terminal import printable, show
from bertune.data.examples import Examples
from bertune.errors import ConfigError
from bertune.evaluation.explain import explain
from bertune.evaluation.explanation import Explanation, Method, Reason, WordReason
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.prediction_files import json_line, json_record
from bertune.evaluation.prediction_rows import prediction_columns, prediction_rows

# An explanation costs as much as dozens of predictions.
_MOST_ROWS = 1000
_LISTED = 8
_BAR = 12
# By strength: a third of the strongest word's attribution, two thirds, more.
_FOR = ("", "cyan", "bold cyan", "bold black on cyan")
_AGAINST = ("", "red", "bold red", "bold white on red")


def explain_rows(
    model: LoadedModel,
    examples: Examples,
    method: Method,
    limit: int | None,
    *,
    has_lines: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Explains the predictions of examples, and shows them.

    Args:
        model: whose predictions.
        examples: to explain.
        method: how to explain.
        limit: rows to explain, the first ones; None explains all.
        has_lines: see `prediction_columns`.
        as_json: one JSON object a line.
        quiet: no progress.

    Raises:
        ConfigError: a limit below 1, or many rows without a limit.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {limit}")
    if limit is None and len(examples) > _MOST_ROWS:
        raise ConfigError(
            f"{len(examples):,} rows are many to explain: each costs as much as dozens of predictions",
            hint=f"add --limit, for instance --limit {_MOST_ROWS}",
        )
    chosen = examples if limit is None else examples.select(range(min(limit, len(examples))))
    with RowsProgress("explaining", len(chosen), enabled=not quiet) as progress:
        explanations = explain(model, chosen, method=method, on_row=progress.advance)
    columns = prediction_columns(model.signature, TextRows(chosen), has_lines=has_lines)
    predicted = prediction_rows(columns, TextRows(chosen), [explanation.prediction for explanation in explanations])
    rows = [row for row in predicted if row.prediction is not None]
    if as_json:
        for row, explanation in zip(rows, explanations, strict=True):
            record = json_record(columns, row) | {"explanation": explanation.to_dict()["explanation"]}
            sys.stdout.write(json_line(record))
    else:
        numbers = [row.place[columns.place.index("row")] for row in rows]
        _show_explanations(zip(numbers, explanations, strict=True))


def _show_explanations(explanations: Iterable[tuple[int, Explanation]]) -> None:
    """Writes explanations for people to standard output, each with the number of its row."""
    console = Console(soft_wrap=True, highlight=False)
    coloured = console.is_terminal and not console.no_color and console.color_system is not None
    for number, explanation in explanations:
        for line in _explanation_lines(number, explanation, coloured=coloured):
            if coloured:
                console.print(line)
            else:
                show([line.plain])


def _explanation_lines(number: int, explanation: Explanation, *, coloured: bool) -> Iterator[Text]:
    """Yields the lines of one example.

    Args:
        number: of the row, from 1.
        explanation: of the example.
        coloured: whether words are shaded; else signs behind them say the same.
    """
    answer = explanation.prediction
    for reason in explanation.reasons:
        if reason.label is None:
            yield Text(f"{number}. {reason.score:.4f}, with every word blank {reason.blank_score:.4f}")
        else:
            given = "" if _is_given(explanation, reason) else " (not given; the most probable)"
            yield _safe(
                f"{number}. {reason.label}{given}  {answer.probabilities[reason.label]:.4f}  "
                f"log-odds {reason.score:+.2f}, with every word blank {reason.blank_score:+.2f}"
            )
        for text in range(len(explanation.texts)):
            yield _shaded_text(explanation, reason, text, coloured=coloured)
        yield from _listed_words(reason, coloured=coloured)
    for text, pieces in enumerate(explanation.unread):
        if pieces:
            which = "the text" if len(explanation.texts) == 1 else f"text {'ab'[text]}"
            yield Text(f"   not read, since there are too many: {pieces} word pieces of {which}")


def _is_given(explanation: Explanation, reason: Reason) -> bool:
    answer = explanation.prediction
    return reason.label in ((answer.label,) if answer.labels is None else answer.labels)


def _shaded_text(explanation: Explanation, reason: Reason, text: int, *, coloured: bool) -> Text:
    """The text as it is, each word in the strength of its attribution; what was not read is left out as '…'."""
    whole, cut = explanation.texts[text], explanation.unread[text] > 0
    line, position = Text("   "), 0
    words = [word for word in reason.words if word.text == text]
    for word in words:
        line.append_text(_gap(whole[position : word.start], cut=cut))
        line.append_text(_shaded_word(word.word, word.attribution, _largest(reason), coloured=coloured))
        position = word.end
    return line.append_text(_gap(whole[position:], cut=cut))


def _gap(between: str, *, cut: bool) -> Text:
    return Text(" … ") if cut and between.strip() else _safe(re.sub(r"\s+", " ", between))


def _shaded_word(word: str, attribution: float, largest: float, *, coloured: bool) -> Text:
    strength = min(3, int(3 * abs(attribution) / largest + 0.5)) if largest else 0
    if coloured:
        return Text(printable(word), style=(_FOR if attribution > 0 else _AGAINST)[strength])
    return _safe(word + (f"[{('+' if attribution > 0 else '-') * strength}]" if strength else ""))


def _listed_words(reason: Reason, *, coloured: bool) -> Iterator[Text]:
    """The words that matter most, with bars and their pieces, and what the others are together."""
    by_size = sorted(reason.words, key=lambda word: -abs(word.attribution))
    listed, others = by_size[:_LISTED], by_size[_LISTED:]
    width = max((len(printable(word.word)) for word in listed), default=0)
    for word in listed:
        yield _listed_word(word, width, _largest(reason), coloured=coloured)
    if others:
        together = sum(word.attribution for word in others)
        yield Text(f"   {together:+8.2f}  {'':{_BAR}}  the other {len(others)} words together")


def _listed_word(word: WordReason, width: int, largest: float, *, coloured: bool) -> Text:
    bar = "█" * round(_BAR * abs(word.attribution) / largest) if largest else ""
    style = (_FOR if word.attribution > 0 else _AGAINST)[1] if coloured else ""
    line = Text.assemble(f"   {word.attribution:+8.2f}  ", (f"{bar:{_BAR}}", style), "  ")
    line.append_text(_safe(f"{printable(word.word):{width}}"))
    if len(word.pieces) > 1:
        line.append_text(_safe("  " + " ".join(f"{piece.piece} {piece.attribution:+.2f}" for piece in word.pieces)))
    line.rstrip()
    return line


def _largest(reason: Reason) -> float:
    return max((abs(word.attribution) for word in reason.words), default=0.0)


def _safe(text: str) -> Text:
    return Text(printable(text))
