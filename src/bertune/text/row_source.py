"""A split of a task, to be read from the start as often as needed, at constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from bertune.errors import ConfigError
from bertune.text.examples import Columns, Examples, Task
from bertune.text.glue import Split, stream_split
from bertune.text.sources import OnBadRow, Quoting


@dataclass(frozen=True)
class RowSource:
    """The rows of one split with all that says how they are read.

    Args:
        split: where they are (see `find_splits`).
        task: what is learned from them.
        columns: where texts and label are; None takes those that a GLUE task knows.
        quoting: as for `read_examples`.
        on_bad_row: as for `read_examples`.
        require_label: as for `read_split`.
    """

    split: Split
    task: Task
    columns: Columns | None = None
    quoting: Quoting = "auto"
    on_bad_row: OnBadRow = "error"
    require_label: bool | None = None

    @classmethod
    def of(cls, split: Split) -> "RowSource":
        """Takes a split that knows its task.

        Raises:
            ConfigError: it was found without one.
        """
        if split.task is None:
            raise ConfigError(f"{split}: what is to be learned is not known", hint="find_splits(data, task) tells it")
        return cls(split, split.task)

    def chunks(self, rows_per_chunk: int) -> Iterator[Examples]:
        """Reads all rows from the first to the last, so many at a time; raises as `read_split`."""
        return stream_split(
            self.split,
            columns=self.columns,
            quoting=self.quoting,
            on_bad_row=self.on_bad_row,
            require_label=self.require_label,
            rows_per_chunk=rows_per_chunk,
        )

    def __str__(self) -> str:
        return str(self.split)
