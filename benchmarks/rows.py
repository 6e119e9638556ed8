"""The rows of a CSV table as a peer reads them. Needs no package, so that workers in any environment can use it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rows:
    """Texts and targets.

    Args:
        first: the texts, or the first texts of pairs.
        second: the second texts; None where there are none.
        targets: the index of each row's label, or its value.
    """

    first: list[str]
    second: list[str] | None
    targets: list[int] | list[float]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def texts(self) -> list[list[str]]:
        """The columns of texts, for a tokenizer."""
        return [self.first] if self.second is None else [self.first, self.second]


def read_rows(path: Path, text_columns: Sequence[str], target_column: str, labels: Sequence[str] | None) -> Rows:
    """Reads a table.

    Args:
        path: a CSV file with a header, UTF-8.
        text_columns: one, or two for pairs.
        target_column: of the label or value.
        labels: in the order of the outputs; None reads values.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        records = list(csv.DictReader(stream))
    texts = [[record[column] for record in records] for column in text_columns]
    words = [record[target_column] for record in records]
    targets: list[int] | list[float]
    if labels is None:
        targets = [float(word) for word in words]
    else:
        index = {label: number for number, label in enumerate(labels)}
        targets = [index[word] for word in words]
    return Rows(texts[0], texts[1] if len(texts) > 1 else None, targets)


def labels_of(path: Path, target_column: str) -> list[str]:
    """Returns the labels of a table, sorted."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return sorted({record[target_column] for record in csv.DictReader(stream)})
