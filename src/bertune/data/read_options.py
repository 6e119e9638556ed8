"""Options for reading tables, where their names do not tell: the same flags on every verb that reads tables."""

import codecs
import shlex
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

from bertune.data.choices import refuse_unknown_choices
from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean

Quoting = Literal["auto", "csv", "none"]
OnBadRow = Literal["error", "skip"]

_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1250", "cp1251", "gb18030", "big5", "shift_jis", "euc_kr")
# How a file is written stays the same from training to use; what to do about bad rows is decided each time.
_KEPT = ("delimiter", "encoding", "no_header", "quoting")


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    r"""Options for reading tables.

    Args:
        delimiter: what stands between cells: one character, or tab. By default a comma in .csv and a tab in .tsv and
            .txt, unless another one divides every line evenly into the columns that are named.
        encoding: of text files, such as cp1252 or utf-16; by default UTF-8.
        no_header: the first line is a row like the others; columns are numbers from 0.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on.
        max_bad_rows: with skip: the share of the rows that may be bad, such as 0.05; by default 0.01, or 10 rows.
        label_file: labels of a text file with a text a line: a file with as many lines, each the label of that text.

    Raises:
        ConfigError: a value that cannot work.
    """

    delimiter: str | None = None
    encoding: str | None = None
    no_header: bool | None = None
    quoting: Quoting = "auto"
    on_bad_row: OnBadRow = "error"
    max_bad_rows: float | None = None
    label_file: str | None = None

    def __post_init__(self) -> None:
        refuse_unknown_choices(self)
        if self.delimiter is not None and (
            len(self.cell_delimiter or "") != 1 or self.cell_delimiter in ('"', "\r", "\n")
        ):
            raise ConfigError(
                f"the delimiter must be one character and no quote or line end, got {self.delimiter!r}",
                hint="--delimiter ';', --delimiter tab",
            )
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.max_bad_rows is not None and not 0 <= self.max_bad_rows <= 1:
            raise ConfigError(
                f"--max-bad-rows is a share of the rows, between 0 and 1, not {self.max_bad_rows:g}",
                hint="--max-bad-rows 0.05 lets 5 % be bad",
            )
        if self.max_bad_rows is not None and self.on_bad_row != "skip":
            raise ConfigError(
                "without --on-bad-row skip no bad row is passed over, so --max-bad-rows has no effect",
                hint="add --on-bad-row skip",
            )

    @property
    def cell_delimiter(self) -> str | None:
        """The delimiter as a character; None where it is not given."""
        return None if self.delimiter is None else _WORDS.get(self.delimiter.lower(), self.delimiter)

    @property
    def has_header(self) -> bool:
        """Tells whether the first line names the columns."""
        return not self.no_header

    def read_options(self) -> "ReadOptions":
        """Gives these options alone, of settings that hold more."""
        return ReadOptions(**{field.name: getattr(self, field.name) for field in fields(ReadOptions)})

    def changed(self) -> dict[str, bool]:
        """Tells of each of these options whether it is set."""
        return {field.name: getattr(self, field.name) != field.default for field in fields(ReadOptions)}

    def named(self) -> str:
        """Gives how tables are written as flags, as a shell takes them; empty where nothing was said."""
        flags = [f"--delimiter {shlex.quote(self.delimiter)}"] if self.delimiter is not None else []
        flags += [f"--encoding {self.encoding}"] if self.encoding is not None else []
        flags += ["--no-header"] if self.no_header else []
        return " ".join([*flags, f"--quoting {self.quoting}"] if self.quoting != "auto" else flags)

    def completed_by(self, kept: "ReadOptions") -> Self:
        """Takes what is not set from options that were kept."""
        own = self.changed()
        return replace(self, **{name: getattr(kept, name) for name in _KEPT if not own[name]})


def is_utf_8(encoding: str | None) -> bool:
    """Tells whether a text file is to be read as UTF-8, which is so unless an encoding is named."""
    return encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _check_encoding(encoding: str) -> None:
    try:
        known = "a\n".encode(encoding).decode(encoding) == "a\n"
    except (LookupError, ValueError, TypeError):
        known = False
    if not known:
        raise ConfigError(
            f"no encoding is called {encoding!r}",
            hint=did_you_mean(encoding, _ENCODINGS) or f"such as {', '.join(_ENCODINGS[:5])}",
        )
