"""Texts that lie in plain text files: a folder for each label with a file for each text, or a text a line."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bertune.data.examples import Examples
from bertune.data.formats.byte_files import open_bytes
from bertune.data.formats.text_lines import text_lines, without_ending
from bertune.data.read_report import RefusedRow
from bertune.data.table import CELL_LIMIT, Pick, Row
from bertune.errors import ConfigError, DataError
from bertune.wording.counts import counted

TEXT_COLUMN, LABEL_COLUMN = "text", "label"
_SUFFIX = ".txt"
# What the folders of texts without a label are called: `unsup` is that of the IMDB reviews.
_UNLABELLED = frozenset(("unsup", "unlabeled", "unlabelled", "unsupervised"))
# A character takes four bytes at most.
_MOST_BYTES = 4 * CELL_LIMIT


def label_folders(folder: Path) -> list[Path]:
    """Gives the folders of a folder that hold a text file each, by their names; they are its labels."""
    if not folder.is_dir():
        return []
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [entry for entry in folders if _has_texts(entry)]


def holds_texts(folder: Path) -> bool:
    """Tells whether a folder has two folders or more of texts, one for each label."""
    return len([entry for entry in label_folders(folder) if entry.name not in _UNLABELLED]) > 1


def holds_texts_at(data: str) -> bool:
    """Tells whether data are texts in files: a folder with folders of the labels, or such folders for its splits."""
    folder = Path(data)
    if not folder.is_dir():
        return False
    return holds_texts(folder) or any(holds_texts(entry) for entry in folder.iterdir() if entry.is_dir())


class TextFolderTable:
    """A folder with a folder for each label, in which each text is a file: ``pos/0_9.txt``.

    Its columns are called text and label. One line feed at the end of a file is no part of the text.

    Args:
        path: the folder.
        shown: how messages call it.
        encoding: of the files; None for UTF-8.
    """

    row_hint: str | None = None
    names: tuple[str, ...] = (TEXT_COLUMN, LABEL_COLUMN)
    width = 2
    column_hint: str | None = (
        f"in a folder of text files the columns are: --text-a {TEXT_COLUMN} --label {LABEL_COLUMN}"
    )

    def __init__(self, path: Path, shown: str, encoding: str | None = None) -> None:
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._encoding = encoding
        self._files: list[tuple[Path, str]] = []
        for folder in label_folders(path):
            found = _texts_in(folder)
            if folder.name in _UNLABELLED:
                texts = counted(len(found), "text")
                self.notes.append(f"{Path(shown) / folder.name}: {texts} without a label left out")
            else:
                self._files += [(file, folder.name) for file in found]

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads the files, one after another.

        Yields:
            The number of the file and its picked cells; a refusal for one that is too large.

        Raises:
            DataError: a file cannot be read.
        """
        for number, (file, label) in enumerate(self._files, start=1):
            shown = str(file)
            if file.stat().st_size > _MOST_BYTES:
                yield RefusedRow(shown, 1, f"the file has more than {CELL_LIMIT:,} characters")
                continue
            with open_bytes(file, shown) as stream:
                text = without_ending("".join(text_lines(stream, shown, self._encoding)))
            yield number, [text if pick.index == 0 else label for pick in picks]

    def in_files(self, examples: Examples) -> Examples:
        """Says of each example the file it is, in place of its number."""
        return replace(
            examples,
            paths=[str(self._files[number - 1][0]) for number in examples.lines],
            lines=[1] * len(examples),
        )


class AlignedTable:
    """A text file with a text a line, and another one with the label of each in its lines.

    Args:
        texts: the file of the texts.
        labels: the file of the labels.
        shown: how messages call that of the texts.
        encoding: of both; None for UTF-8.

    Raises:
        ConfigError: there is no such file.
    """

    row_hint: str | None = None
    names: tuple[str, ...] = (TEXT_COLUMN, LABEL_COLUMN)
    width = 2
    column_hint: str | None = f"with --label-file the columns are: --text-a {TEXT_COLUMN} --label {LABEL_COLUMN}"

    def __init__(self, texts: Path, labels: Path, shown: str, encoding: str | None = None) -> None:
        for path in (texts, labels):
            if not path.is_file():
                raise ConfigError(f"{path} is no file", hint="--data names the texts, --label-file their labels")
        self.path = shown
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._files = texts, labels
        self._encoding = encoding

    def rows(self, picks: Sequence[Pick]) -> Iterator[Row | RefusedRow]:
        """Reads both files, line by line.

        Yields:
            Line and picked cells.

        Raises:
            DataError: one file has more lines than the other.
        """
        texts, labels = self._files
        with open_bytes(texts, self.path) as text_file, open_bytes(labels, str(labels)) as label_file:
            ours = map(without_ending, text_lines(text_file, self.path, self._encoding))
            theirs = map(without_ending, text_lines(label_file, str(labels), self._encoding))
            line = 0
            for line, text in enumerate(ours, start=1):
                label = next(theirs, None)
                if label is None:
                    more = line + sum(1 for _ in ours)
                    raise self._unequal(more, line - 1)
                yield line, [(text, label)[pick.index] for pick in picks]
            if more := sum(1 for _ in theirs):
                raise self._unequal(line, line + more)

    def _unequal(self, texts: int, labels: int) -> DataError:
        return DataError(
            f"{self.path} has {counted(texts, 'line')}, {self._files[1]} has {labels:,}: line by line they belong "
            "together",
            hint="are both of the same texts, and whole?",
        )


def _has_texts(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(_SUFFIX) for entry in entries)


def _texts_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries if entry.name.endswith(_SUFFIX))]
