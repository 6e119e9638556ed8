"""The flags by which `evaluate` and `predict` name their data."""

from dataclasses import dataclass
from typing import Literal

from bertune.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which data, and how to read them.

    Args:
        data: a table, a folder with splits, one made by `bertune encode`, or hf://datasets/…. Without it, predict reads
            standard input: a text a line, or the two texts of a pair with a tab between them.
        split: which split of a folder; evaluate takes validation by default, predict test.
        text_a: column of the first text, if not the one of training.
        text_b: column of the second text, if not the one of training.
        label: column of the label, if not the one of training.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on (up to 1 % of the rows).
    """

    data: str | None = None
    split: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    quoting: Literal["auto", "csv", "none"] = "auto"
    on_bad_row: Literal["error", "skip"] = "error"

    def refuse_reading_flags(self, why: str) -> None:
        """Refuses flags about how texts are read, where none are read.

        Args:
            why: the first half of the message.

        Raises:
            ConfigError: one of them is set.
        """
        for name in ("text_a", "text_b", "label", "quoting", "on_bad_row"):
            if getattr(self, name) != getattr(DataOptions, name):
                flag = name.replace("_", "-")
                raise ConfigError(f"{why}, so --{flag} has no effect", hint=f"leave --{flag} out")
