"""Predictions on standard output: aligned on a terminal, else as tab-separated lines or as JSON."""

import sys
from collections.abc import Iterable

from bertune.cli.terminal import printable, printable_cells, show
from bertune.evaluation.prediction_files import delimited_lines, json_lines
from bertune.evaluation.prediction_rows import PredictionColumns, PredictionRow
from bertune.evaluation.predictions import Prediction
from bertune.wording.aligned import aligned, output_width
from bertune.wording.nearest import shown_label


class PredictionWriter:
    """Writes predictions to standard output, all at once or as they come.

    Args:
        columns: of the predictions.
        as_json: one JSON object a line.
    """

    def __init__(self, columns: PredictionColumns, *, as_json: bool) -> None:
        self._columns = columns
        self._as_json = as_json
        self._is_first = True

    def show(self, rows: Iterable[PredictionRow]) -> None:
        """Writes rows, and does not keep them back."""
        if self._as_json:
            sys.stdout.writelines(json_lines(self._columns, rows))
        elif sys.stdout.isatty():
            lines = prediction_table(self._columns, rows)
            show(lines if self._is_first else lines[1:])
        else:
            for line in delimited_lines(self._columns, rows, "\t", header=self._is_first):
                sys.stdout.write(printable_cells(line))
        sys.stdout.flush()
        self._is_first = False


def prediction_table(columns: PredictionColumns, rows: Iterable[PredictionRow]) -> list[str]:
    """Lays predictions out for a terminal, what is kept of the table broken inside its columns.

    The place of a row is shown where some may not have been read, and where there is nothing else to tell it by.
    """
    is_placed = columns.has_not_read or not columns.kept
    place = [name for name in columns.place if name != "line"] if is_placed else []
    shares = {"classification": ["label", "probability"], "multi-label": ["labels", "probabilities"]}
    names = shares.get(columns.signature.kind, ["value"])
    names = ["labels", "probabilities"] if columns.top_k is not None and len(names) > 1 else names
    table = [[*place, *names, *columns.kept]]
    # Predictions that come one by one stand below each other.
    widest = max(map(len, map(shown_label, columns.signature.labels)), default=0)
    for row in rows:
        predicted = _cells(columns, row.prediction)
        if len(names) > 1 and "labels" not in names:
            predicted[0] = predicted[0].ljust(widest)
        kept = [printable(" ".join(_text(value).split())) for value in row.kept]
        if row.prediction is None and kept:
            kept[0] = printable(row.not_read or "")
        at = [str(value) for name, value in zip(columns.place, row.place, strict=True) if name in place]
        table.append([*at, *predicted, *kept])
    before = len(place) + len(names)
    return aligned(
        table, width=output_width(sys.stdout), left=[len(place)], texts=range(before, before + len(columns.kept))
    )


def prediction_line(columns: PredictionColumns, prediction: Prediction) -> str:
    """Returns a prediction for people in one line."""
    if prediction.value is not None:
        return f"{prediction.value:.4f}"
    given = "   ".join(f"{shown_label(label)}  {share:.4f}" for label, share in _given(columns, prediction))
    return given or "no label"


def _cells(columns: PredictionColumns, prediction: Prediction | None) -> list[str]:
    """Returns label and probability, several of both with semicolons between them, or a value."""
    if prediction is None:
        return ["not read"] + [""] * columns.signature.kind.has_labels
    if prediction.value is not None:
        return [f"{prediction.value:.4f}"]
    given = _given(columns, prediction)
    return [";".join(shown_label(label) for label, _ in given), ";".join(f"{share:.4f}" for _, share in given)]


def _given(columns: PredictionColumns, prediction: Prediction) -> list[tuple[str, float]]:
    if columns.top_k is not None:
        return columns.top(prediction)
    given = [str(prediction.label)] if prediction.labels is None else prediction.labels
    return [(label, prediction.probabilities[label]) for label in given]


def _text(value: object) -> str:
    return "" if value is None else str(value)
