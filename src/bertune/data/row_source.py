"""A split of a task, to be read from the start as often as needed, at constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bertune.data.examples import Columns, Examples, Task
from bertune.data.read_options import ReadOptions
from bertune.data.splits import Split, stream_split
from bertune.errors import ConfigError
from bertune.system.file_stamp import FileStamp


@dataclass(frozen=True)
class RowSource:
    """Rows of one split with the options for reading them.

    Args:
        split: where they are (see `find_splits`).
        task: what is learned from them.
        columns: where texts and label are; None takes those that a GLUE task knows.
        reading: how the files are read.
        require_label: as for `read_split`.

    Example:
        >>> columns = bertune.Columns("question1", "question2", "label")
        >>> splits = bertune.find_splits("examples/data")
        >>> source = bertune.RowSource(splits["test"], bertune.Task.for_columns(columns), columns)
        >>> next(source.chunks(2))
        Examples(2 pairs of examples/data/test.csv with labels)
    """

    split: Split
    task: Task
    columns: Columns | None = None
    reading: ReadOptions = ReadOptions()  # noqa: RUF009 (frozen)
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
            reading=self.reading,
            require_label=self.require_label,
            rows_per_chunk=rows_per_chunk,
        )

    def files(self) -> "list[RowSource]":
        """Gives the rows of each file by themselves, in their order; of data that are no files, all rows as one."""
        if len(self.split.paths) < 2:
            return [self]
        return [replace(self, split=replace(self.split, paths=(path,))) for path in self.split.paths]

    def __str__(self) -> str:
        return str(self.split)


def stamp_of(source: RowSource) -> FileStamp | None:
    """Gives size and time of the one file that rows come from; None where they come from more than that."""
    split = source.split
    from_more = (split.mrpc, split.hub, split.tfds, split.frame, source.reading.label_file)
    if len(split.paths) != 1 or any(part is not None for part in from_more) or not split.paths[0].is_file():
        return None
    return FileStamp.of(split.paths[0])
