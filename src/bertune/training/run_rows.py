"""The rows of the data that a run folder keeps: what the best epoch answered, and which training rows are doubtful.

A report is made from these alone, so they hold texts of the data: whoever gets the run folder can read them. Texts are
kept up to 1,000 characters; of more than 100,000 validation rows as many are kept, evenly spaced over the file.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.answers import kept_of
from bertune.system.atomic import replaced_file
from bertune.system.hinted_values import to_json
from bertune.training.dynamics import Dynamics
from bertune.training.saved_run import AnsweredRow, DoubtfulRow, LabelledRow, PlacedRow
from bertune.wording.excerpt import KEPT_CHARACTERS, excerpt

MOST_VALIDATION_ROWS: Final = 100_000
MOST_DOUBTFUL_ROWS: Final = 100
MOST_CHARACTERS: Final = KEPT_CHARACTERS

Describe = Callable[[int], PlacedRow]
"""From a row's number to where it stands and what its texts are. Runs go to other processes, so it can be pickled."""


@dataclass(frozen=True)
class DescribeExamples:
    """Rows of a table: file, line and texts."""

    examples: Examples

    def __call__(self, row: int) -> PlacedRow:
        """Returns where a row stands and the beginning of its texts."""
        examples = self.examples
        return PlacedRow(
            where=examples.where(row),
            text_a=excerpt(examples.texts_a[row], MOST_CHARACTERS),
            text_b=None if examples.texts_b is None else excerpt(examples.texts_b[row], MOST_CHARACTERS),
        )


@dataclass(frozen=True, eq=False)
class DescribeRecords:
    """Rows of a folder that `bertune encode` made: they have no texts, but their number in the data set."""

    folder: Path
    example_ids: NDArray[np.int64] | None

    def __call__(self, row: int) -> PlacedRow:
        """Returns where a row stands."""
        number = row if self.example_ids is None else int(self.example_ids[row])
        return PlacedRow(where=f"{self.folder}: example {number}")


def write_validation_rows(
    path: Path, describe: Describe, data: Dataset, logits: NDArray[np.float32], signature: ModelSignature
) -> None:
    """Writes `validation.jsonl`.

    Args:
        path: the file.
        describe: of the validation rows.
        data: the validation data, with targets.
        logits: (rows, labels) of the model that is kept.
        signature: of the model.
    """
    count = len(data)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_VALIDATION_ROWS)).round().astype(np.int64))
    write_lines(
        path,
        (
            AnsweredRow(
                **vars(labelled_row(row, describe, data, signature)),
                # Nine digits hold every float32 to the bit.
                logits=tuple(float(f"{value:.9g}") for value in logits[row].tolist()),
            )
            for row in rows.tolist()
        ),
    )


def write_dynamics(
    folder: Path, describe: Describe, data: Dataset, dynamics: Dynamics, signature: ModelSignature
) -> None:
    """Writes `dynamics.npz`, with all rows, and `doubtful.jsonl`, with the least believed ones and their texts.

    Args:
        folder: of the run.
        describe: of the training rows.
        data: the training data, with targets.
        dynamics: what was recorded of them.
        signature: of the model.
    """
    values = dynamics.values
    arrays: dict[str, Any] = {dynamics.name: values}
    with replaced_file(folder / "dynamics.npz", follow=False) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
    write_lines(
        folder / "doubtful.jsonl",
        (
            _doubtful(labelled_row(row, describe, data, signature), dynamics.name, values[:, row])
            for row in _doubtful_rows(data, dynamics).tolist()
        ),
    )


def _doubtful_rows(data: Dataset, dynamics: Dynamics) -> NDArray[np.int64]:
    """Returns the rows that were believed least; those whose label is the teacher's are nobody's to look through."""
    rows = dynamics.most_doubtful(len(data))
    if data.soft is not None and data.soft.labelled is not None:
        rows = rows[data.soft.labelled[rows]]
    return rows[:MOST_DOUBTFUL_ROWS]


def labelled_row(row: int, describe: Describe, data: Dataset, signature: ModelSignature) -> LabelledRow:
    """Returns where a row stands, its texts, and what it truly is."""
    assert data.targets is not None
    tokens = int(data.encoded.example_lengths[row])
    return LabelledRow(**vars(describe(row)), tokens=tokens, target=kept_of(data.targets[row], signature))


def _doubtful(row: LabelledRow, name: str, values: NDArray[np.float32]) -> DoubtfulRow:
    each = tuple(float(f"{value:.6g}") for value in values if not np.isnan(value))
    return DoubtfulRow(
        **vars(row),
        probability=each if name == "probability" else None,
        absolute_error=each if name == "absolute_error" else None,
    )


def write_lines(path: Path, rows: Iterable[LabelledRow]) -> None:
    """Writes rows as JSON lines; a link of that name is replaced, not followed."""
    with replaced_file(path, follow=False) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            # Texts may hold halves of surrogate pairs, which only escapes can write.
            stream.write(json.dumps(to_json(row), ensure_ascii=True, allow_nan=False) + "\n")
