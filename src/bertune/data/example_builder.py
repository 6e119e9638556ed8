"""Examples grown row by row from the cells of a table."""

from collections.abc import Sequence

from bertune.data.examples import Examples, ReadReport, RefusedRow
from bertune.data.several_labels import (
    Cell,
    SeveralLabels,
    UnusableLabelsError,
    labels_by_flags,
    labels_in_cell,
)
from bertune.data.soft_labels import SoftLabels, UnusableProbabilitiesError, probabilities_in
from bertune.data.table import CELL_LIMIT, Pick, Table
from bertune.wording.counts import counted


class ExampleBuilder:
    """Grows the columns of the examples row by row.

    Args:
        table: where the rows come from, for messages.
        picks: what the cells of a row are.
        several: how labels are written where a row may have several; None for one label a row.
        require_label: whether a row without a label is refused.
    """

    def __init__(
        self, table: Table, picks: Sequence[Pick], several: SeveralLabels | None, *, require_label: bool
    ) -> None:
        self._table = table
        self._several = several
        self._texts = _texts_of(picks)
        self._labels = [
            (position, pick.name) for position, pick in enumerate(picks) if pick.role in ("label", "labels", "flag")
        ]
        self._group = next((position for position, pick in enumerate(picks) if pick.role == "group"), None)
        self._soft = tuple((pick.name, pick.soft_label) for pick in picks if pick.role == "soft")
        self._places_of_soft = [position for position, pick in enumerate(picks) if pick.role == "soft"]
        self._probabilities: list[tuple[float, ...]] = []
        self._header = _header_of(table, picks)
        self._require_label = require_label
        self._columns: list[list[str]] = [[] for _ in self._texts]
        self._words: list[str] = []
        self._sets: list[tuple[str, ...]] = []
        self._groups: list[str | None] = []
        self._unlabelled = 0
        self._lines: list[int] = []
        self._blank = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: int, cells: Sequence[Cell]) -> RefusedRow | None:
        """Takes a row, or says why it cannot be used."""
        texts: list[str] = []
        for parts in self._texts:
            found = []
            for position, name in parts:
                part = cells[position]
                if not isinstance(part, str):
                    return RefusedRow(self._table.path, line, f"'{name}' is missing (null), expected a text")
                found.append(part)
            text = found[0] if len(found) == 1 else " ".join(part for part in found if part and not part.isspace())
            if len(text) > CELL_LIMIT:
                reason = f"'{name}' has {len(text):,} characters, at most {CELL_LIMIT:,} are read"
                return RefusedRow(self._table.path, line, reason)
            texts.append(text)
        try:
            probabilities = probabilities_in([cells[place] for place in self._places_of_soft], self._soft)
        except UnusableProbabilitiesError as unusable:
            return RefusedRow(self._table.path, line, str(unusable))
        if self._labels:
            problem = self._take_label(cells) if self._several is None else self._take_labels(cells, self._several)
            if problem is not None:
                return RefusedRow(self._table.path, line, problem)
        self._probabilities.append(probabilities)
        for column, text in zip(self._columns, texts, strict=True):
            column.append(text)
            self._blank += not text or text.isspace()
        self._lines.append(line)
        if self._group is not None:
            word = cells[self._group]
            self._groups.append(word if isinstance(word, str) and word.strip() else None)
        return None

    def _take_label(self, cells: Sequence[Cell]) -> str | None:
        ((position, name),) = self._labels
        word = cells[position]
        if isinstance(word, str) and word and not word.isspace():
            self._words.append(word)
        elif self._require_label:
            return f"'{name}' is {'missing' if word is None else 'blank'}, expected a label"
        else:
            self._unlabelled += 1
        return None

    def _take_labels(self, cells: Sequence[Cell], several: SeveralLabels) -> str | None:
        found = [cells[position] for position, _ in self._labels]
        names = [name for _, name in self._labels]
        if not self._require_label and all(cell is None or cell == "" for cell in found):
            self._unlabelled += 1
            return None
        try:
            labels = labels_by_flags(found, names) if several.columns else labels_in_cell(found[0], names[0], several)
        except UnusableLabelsError as problem:
            return str(problem)
        if not labels and not several.columns and not several.allow_none:
            return f"'{names[0]}' holds no label; if such rows are meant, take them with --allow-no-label"
        self._sets.append(labels)
        return None

    def examples(self, refused: list[RefusedRow], other_split: int) -> Examples:
        """Gives what was taken, with the balanced account."""
        warnings = list(self._table.warnings)
        if self._unlabelled and (self._words or self._sets):
            without = f"{self._unlabelled:,} of {counted(len(self), 'row')} without a label"
            warnings.append(f"{self._table.path}: {without}, so no label is used")
        has_labels = bool(self._labels) and not self._unlabelled
        soft = SoftLabels(tuple(label for _, label in self._soft), self._probabilities) if self._soft else None
        words = self._words if has_labels and self._several is None else None
        if soft is not None and words is None:
            words = soft.most_probable()
        return Examples(
            texts_a=self._columns[0],
            texts_b=self._columns[1] if len(self._columns) > 1 else None,
            labels=words,
            label_sets=self._sets if has_labels and self._several is not None else None,
            groups=None if self._group is None else self._groups,
            soft=soft,
            lines=self._lines,
            report=ReadReport(
                path=self._table.path,
                rows_in=len(self) + len(refused) + other_split,
                rows_used=len(self),
                refused=refused,
                blank_texts=self._blank,
                rows_other_split=other_split,
                warnings=warnings,
                notes=[*self._table.notes, *self._hints(refused)],
                header=self._header,
            ),
        )

    def _hints(self, refused: list[RefusedRow]) -> list[str]:
        hint = self._table.row_hint
        return [f"{self._table.path}: {hint}"] if refused and hint is not None else []


def _texts_of(picks: Sequence[Pick]) -> list[list[tuple[int, str]]]:
    """Gives for each text the positions and names of its parts."""
    texts: list[list[tuple[int, str]]] = []
    for position, pick in enumerate(picks):
        if pick.role == "text":
            if not pick.continues:
                texts.append([])
            texts[-1].append((position, pick.name))
    return texts


def _header_of(table: Table, picks: Sequence[Pick]) -> tuple[str, ...]:
    """Gives the names of the columns that were picked, texts first; of a text in several columns with commas."""
    header: list[str] = []
    for pick in picks:
        if table.names is None or pick.role in ("group", "soft", "plain"):
            continue
        if pick.continues:
            header[-1] += f",{table.names[pick.index]}"
        else:
            header.append(table.names[pick.index])
    return tuple(header)
