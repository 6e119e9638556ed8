"""MRPC's original files: one file holds training and validation rows, and a list of ids tells them apart.

Source: GLUE's download script, which takes as validation rows those of `msr_paraphrase_train.txt` whose pair of
sentence ids is listed in `mrpc_dev_ids.tsv`: 408 of 4,076.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertune.data.examples import Columns, Examples
from bertune.data.formats.text_lines import text_lines, without_ending
from bertune.data.read_options import ReadOptions
from bertune.data.several_labels import Cell
from bertune.data.sources import collect_chunks
from bertune.data.table import Pick, find_column, pick_columns
from bertune.data.table_opening import open_table
from bertune.errors import DataError

TRAIN_NAME = "msr_paraphrase_train.txt"
TEST_NAME = "msr_paraphrase_test.txt"
DEV_IDS_NAME = "mrpc_dev_ids.tsv"

_ID_COLUMNS = ("#1 ID", "#2 ID")


@dataclass(frozen=True)
class MrpcFilter:
    """Keeps the validation rows, or all others.

    Args:
        dev_ids: the file with the ids of the validation rows.
        keeps_dev: which of the two to keep.
    """

    dev_ids: Path
    keeps_dev: bool


def read_mrpc(
    path: Path,
    columns: Columns,
    rule: MrpcFilter,
    *,
    reading: ReadOptions,
    rows_per_chunk: int | None = None,
) -> Iterator[Examples]:
    """Reads the training or the validation rows of MRPC's original training file.

    Args:
        path: `msr_paraphrase_train.txt`.
        columns: the columns of the task.
        rule: which rows to keep.
        reading: what becomes of bad rows.
        rows_per_chunk: as for `collect_chunks`.

    Yields:
        The rows kept; the reports count the others as rows of another split.

    Raises:
        DataError: an id pair is no pair, is listed twice, or does not belong to exactly one row.
    """
    ids = _read_dev_ids(rule.dev_ids)
    table = open_table(path, ReadOptions(quoting="none"))
    picks = pick_columns(table, columns, require_label=True)
    first_id = len(picks)
    picks += [Pick(find_column(table, name), name, "plain") for name in _ID_COLUMNS]
    seen: Counter[tuple[str, str]] = Counter()

    def belongs(cells: Sequence[Cell]) -> bool:
        pair = (str(cells[first_id] or ""), str(cells[first_id + 1] or ""))
        is_dev = pair in ids
        if is_dev:
            seen[pair] += 1
        return is_dev == rule.keeps_dev

    refused = 0
    chunks = collect_chunks(
        table, picks, reading=reading, require_label=True, belongs=belongs, rows_per_chunk=rows_per_chunk
    )
    for examples in chunks:
        refused += len(examples.report.refused)
        yield examples
    for pair, line in ids.items():
        # A row that is not found may be one that could not be read.
        if seen[pair] != 1 and not (seen[pair] == 0 and refused):
            raise DataError(
                f"{rule.dev_ids}:{line}: the ids {pair[0]} and {pair[1]} belong to {seen[pair]} rows of {path}, "
                "expected exactly one",
                hint="are both files the original ones, and whole?",
            )


def _read_dev_ids(path: Path) -> dict[tuple[str, str], int]:
    ids: dict[tuple[str, str], int] = {}
    with path.open("rb") as file:
        for line, text in enumerate(text_lines(file, str(path)), start=1):
            cells = without_ending(text).split("\t")
            if len(cells) != len(_ID_COLUMNS):
                raise DataError(f"{path}:{line}: expected two ids with a tab between them, got {len(cells)} cells")
            pair = (cells[0], cells[1])
            if pair in ids:
                raise DataError(f"{path}:{line}: the ids {pair[0]} and {pair[1]} are listed twice")
            ids[pair] = line
    if not ids:
        raise DataError(f"{path} is empty, expected the ids of the validation rows")
    return ids
