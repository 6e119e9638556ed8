"""The flags by which `evaluate` and `predict` name their data."""

from collections.abc import Mapping
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
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on (up to 1 % of the rows).
    """

    data: str | None = None
    split: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    quoting: Literal["auto", "csv", "none"] = "auto"
    on_bad_row: Literal["error", "skip"] = "error"

    def table_flags(self) -> dict[str, bool]:
        """Tells of each flag about how a table is read whether it is set."""
        names = ("text_a", "text_b", "quoting", "on_bad_row")
        return {name: getattr(self, name) != getattr(DataOptions, name) for name in names}


def refuse_flags(why: str, flags: Mapping[str, bool], *, hint: str | None = None) -> None:
    """Refuses flags that would have no effect.

    Args:
        why: the first half of the message.
        flags: name of each to whether it is set.
        hint: what to do, if not to leave it out.

    Raises:
        ConfigError: one is set; names it.
    """
    for name, is_set in flags.items():
        if is_set:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{why}, so {flag} has no effect", hint=hint or f"leave {flag} out")
