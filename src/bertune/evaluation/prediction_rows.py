"""Predictions as rows that can be joined back: the place of each, columns of the table, and what is predicted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.data.kept_columns import KeptColumns
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.predictions import Prediction
from bertune.system.json_file import JsonObject

# Their rows are numbered and have no lines.
_WITHOUT_LINES = re.compile(r"\.(parquet|arrow|feather|tfrecord|array_record|tf_record)\b", re.IGNORECASE)
NOT_READ: Final = "not_read"


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A row of the data with its prediction.

    Args:
        place: where it stands; one value for each name of `PredictionColumns.place`.
        kept: one value for each name of `PredictionColumns.kept`.
        prediction: of the row; None where the row could not be read.
        not_read: why it could not be.
    """

    place: tuple[Any, ...]
    kept: Sequence[Any]
    prediction: Prediction | None
    not_read: str | None = None


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of predictions, in their order: place, what is kept of the table, what is predicted.

    The table's columns have their own names. A column of ours gives way: it is called ``bertune_row`` where the table
    has a column ``row``.

    Args:
        place: names of what tells a row: the file where there are several, row number, line.
        kept: names of the columns that are kept.
        signature: of the model.
        top_k: how many labels are given, the most probable first; None gives the probability of each.
        has_not_read: whether there is a column that says why a row was not read.
    """

    place: tuple[str, ...]
    kept: tuple[str, ...]
    signature: ModelSignature
    top_k: int | None = None
    has_not_read: bool = False

    def __post_init__(self) -> None:
        check_top_k(self.top_k, self.signature.labels)

    @property
    def predicted(self) -> str:
        """The name of the column of what is predicted: by the kind of task a label, labels, or a value."""
        names = {TaskKind.MULTI_LABEL: "predicted_labels", TaskKind.REGRESSION: "predicted_value"}
        return names.get(self.signature.kind, "predicted_label")

    @property
    def names(self) -> list[str]:
        """All names, for a format of cells."""
        ours = self.prediction_names
        return [*map(self._own, self.place), *self.kept, *map(self._own, ours)]

    @property
    def renamed(self) -> dict[str, str]:
        """The columns of ours that give way, and how they are called."""
        ours = [*self.place, *self.prediction_names]
        return {name: self._own(name) for name in ours if name in self.kept}

    def cells(self, row: PredictionRow) -> list[Any]:
        """Returns place, kept cells and prediction for a format of cells; None where there is nothing."""
        prediction = row.prediction
        if prediction is None:
            cells: list[Any] = [None] * (len(self.prediction_names) - self.has_not_read)
        else:
            cells = [_given(prediction)]
            if prediction.probability is not None:
                cells.append(prediction.probability)
            if self.top_k is not None:
                cells += [part for label_and_share in self.top(prediction) for part in label_and_share]
            else:
                cells += prediction.probabilities.values()
        return [*row.place, *row.kept, *cells, *([row.not_read] if self.has_not_read else [])]

    def record(self, row: PredictionRow) -> JsonObject:
        """Returns the same as one object, in which the probabilities are an object of their own."""
        prediction = row.prediction
        ours: JsonObject = {self.predicted: None if prediction is None else _given(prediction)}
        if prediction is not None and prediction.probability is not None:
            ours["probability"] = prediction.probability
        if prediction is not None and self.top_k is not None:
            ours["top"] = [{"label": label, "probability": share} for label, share in self.top(prediction)]
        elif prediction is not None and prediction.probabilities:
            ours["probabilities"] = prediction.probabilities
        if self.has_not_read:
            ours[NOT_READ] = row.not_read
        place = dict(zip(map(self._own, self.place), row.place, strict=True))
        kept = dict(zip(self.kept, row.kept, strict=True))
        return place | kept | {self._own(name): value for name, value in ours.items()}

    @property
    def prediction_names(self) -> list[str]:
        """The names of what is predicted, before any of them gives way."""
        names = [self.predicted]
        if self.signature.kind.has_one_label:
            names.append("probability")
        if self.top_k is not None:
            for number in range(1, self.top_k + 1):
                names += [f"top_{number}_label", f"top_{number}_probability"]
        else:
            names += [f"probability_{label}" for label in self.signature.labels]
        return [*names, NOT_READ] if self.has_not_read else names

    def top(self, prediction: Prediction) -> list[tuple[str, float]]:
        """Returns the most probable labels with their probabilities."""
        return sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])[: self.top_k]

    def _own(self, name: str) -> str:
        while name in self.kept:
            name = f"bertune_{name}"
        return name


def prediction_columns(
    signature: ModelSignature,
    rows: LabelledRows,
    kept: KeptColumns | None = None,
    *,
    top_k: int | None = None,
    has_not_read: bool = False,
    has_lines: bool = True,
) -> PredictionColumns:
    """Names the columns of the predictions of rows.

    Args:
        signature: of the model.
        rows: what is predicted.
        kept: the columns to keep; None keeps the texts, under the names that their columns have, or else had in
            training.
        top_k: see `PredictionColumns`.
        has_not_read: see `PredictionColumns`.
        has_lines: False where the lines of the rows are no lines of a file.
    """
    examples = rows.texts
    if examples is None:
        return PredictionColumns(("example_id",), (), signature, top_k)
    place: tuple[str, ...] = ("file",) if examples.paths is not None else ()
    has_lines = has_lines and not any(map(_WITHOUT_LINES.search, {examples.report.path, *(examples.paths or ())}))
    place += ("row", "line") if has_lines else ("row",)
    names = text_names(signature, examples.report.header) if kept is None else kept.names
    return PredictionColumns(place, names, signature, top_k, has_not_read)


def text_names(signature: ModelSignature, header: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns how the texts are called: by a header, else as in training, else by their role."""
    named = [signature.text_a, signature.text_b] if signature.is_pair else [signature.text_a]
    if len(header) >= len(named):
        return tuple(header[: len(named)])
    words = ["" if name is None else str(name) for name in named]
    if any(not word or word.isdecimal() for word in words):
        return ("text_a", "text_b") if len(named) == 2 else ("text",)
    return tuple(words)


def prediction_rows(
    columns: PredictionColumns,
    rows: LabelledRows,
    predictions: Iterable[Prediction],
    kept: KeptColumns | None = None,
    *,
    rows_before: int = 0,
) -> Iterator[PredictionRow]:
    """Yields a row for each row of the data, in their order, those that could not be read in their places.

    Args:
        columns: from `prediction_columns`.
        rows: what was predicted.
        predictions: of the rows that could be read.
        kept: as for `prediction_columns`.
        rows_before: rows of the same source that were predicted before.
    """
    examples = rows.texts
    if examples is None:
        for number, prediction in zip(rows.example_ids.tolist(), predictions, strict=True):
            yield PredictionRow((number,), (), prediction)
        return
    texts = [column for column in (examples.texts_a, examples.texts_b) if column is not None]
    predicted = iter(predictions)
    file, row = "", rows_before
    for path, line, number, reason in _in_order(examples):
        row = row + 1 if path == file or not file else 1
        file = path
        values = {"file": path, "row": row, "line": line}
        place = tuple(values[name] for name in columns.place)
        if kept is not None:
            cells = kept.cells(path, line)
        else:
            cells = [None] * len(texts) if number is None else [column[number] for column in texts]
        yield PredictionRow(place, cells, None if number is None else next(predicted), reason)


def _in_order(examples: Examples) -> Iterator[tuple[str, int, int | None, str | None]]:
    """Yields file, line, number of the example and why there is none, file by file in the order of the lines."""
    usual = examples.report.path
    paths = [usual] * len(examples) if examples.paths is None else examples.paths
    used = [(path, line, number, None) for number, (path, line) in enumerate(zip(paths, examples.lines, strict=True))]
    refused = examples.report.refused
    if not refused:
        yield from used
        return
    place_of = {path: place for place, path in enumerate(dict.fromkeys([*paths, *(row.path for row in refused)]))}
    left = [(row.path, row.line, None, row.reason) for row in refused]
    yield from sorted([*used, *left], key=lambda entry: (place_of[entry[0]], entry[1]))


def _given(prediction: Prediction) -> Any:
    if prediction.value is not None:
        return prediction.value
    return list(prediction.labels) if prediction.labels is not None else prediction.label


def check_top_k(top_k: int | None, labels: Sequence[str]) -> None:
    """Refuses to give more labels than a model has.

    Raises:
        ConfigError: it has fewer, or none.
    """
    if top_k is None:
        return
    if not labels:
        raise ConfigError("this model answers with values, which have no probabilities, so --top-k has no effect")
    if top_k > len(labels):
        raise ConfigError(f"this model has {len(labels)} labels, so --top-k is {len(labels)} at most, not {top_k}")
