"""The flags by which `predict` says where predictions go and what stands in them."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bertune.cli.options import SpreadOptions, refuse_flags
from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean

if TYPE_CHECKING:
    from bertune.evaluation.prediction_files import PredictionFormat

_FORMATS: Final["dict[str, PredictionFormat]"] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """Where predictions go, and what stands in them.

    Args:
        out: write the answers into this file, whole or not at all: .csv, .tsv, .jsonl or .parquet; with --shards or
            --shard into this folder.
        shards: write so many Parquet files, at constant memory; with --shard I/N by default N. The texts are left out.
        key: columns that stand for the row in them, in the place of its number: names with commas between them.
        overwrite: replace the file where it exists.
        keep: columns of the table that stand beside the answers, as they are: names with commas between them, or all.
            Without it the texts do.
        top_k: give the most probable labels, so many, in place of the probability of each.
        formula_safe: put ' before cells of a .csv or .tsv file that a spreadsheet would compute: those that begin with
            = + - @, a tab or a line end.
    """

    out: Path | None = None
    shards: int | None = None
    key: str | None = None
    overwrite: bool = False
    keep: str | None = None
    top_k: int | None = None
    formula_safe: bool = False

    @property
    def kept_names(self) -> list[str] | None:
        """The columns that are named; None for all.

        Raises:
            ConfigError: there is a name that is blank.
        """
        if self.keep == "all":
            return None
        names = _names_in(self.keep or "")
        if not names or "" in names:
            raise ConfigError(f"--keep {self.keep!r} holds a blank name", hint="--keep NAME,NAME or --keep all")
        return names

    @property
    def key_names(self) -> tuple[str, ...]:
        """The columns that stand for the row; none for its number.

        Raises:
            ConfigError: there is a name that is blank, or one twice.
        """
        if self.key is None:
            return ()
        names = _names_in(self.key)
        if not names or "" in names or len(set(names)) < len(names):
            raise ConfigError(
                f"--key {self.key!r} holds a blank name or one twice", hint="--key NAME or --key NAME,NAME"
            )
        return tuple(names)

    @property
    def format(self) -> "PredictionFormat | None":
        """The format of the file; None where there is none.

        Raises:
            ConfigError: its suffix stands for none.
        """
        if self.out is None:
            return None
        found = _FORMATS.get(self.out.suffix.lower())
        if found is None:
            raise ConfigError(
                f"{self.out}: answers are written as {', '.join(_FORMATS)}",
                hint=did_you_mean(self.out.suffix.lower(), _FORMATS) or "end its name in one of them",
            )
        return found

    def flags(self) -> dict[str, bool]:
        """Tells of each flag whether it is set."""
        return {field.name: getattr(self, field.name) != field.default for field in fields(self)}

    def check(self, data: str | None) -> None:
        """Refuses, before anything is computed, what could not be written in the end.

        Args:
            data: what is read.

        Raises:
            ConfigError: a format that is not known, a file that is there already or is the data, or a flag without
                effect.
        """
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top-k must be at least 1, not {self.top_k}")
        if self.keep is not None:
            _ = self.kept_names
        refuse_flags("only files of --shards hold a key in the place of texts", {"key": self.key is not None})
        if self.formula_safe and self.format not in ("csv", "tsv"):
            raise ConfigError(
                "--formula-safe is for the cells of a .csv or .tsv file" + (f", not {self.out}" if self.out else ""),
                hint="name one with --out",
            )
        if self.out is None:
            if self.overwrite:
                raise ConfigError("without --out no file is written, so --overwrite has no effect")
            return
        _ = self.format
        if self.out.is_dir():
            raise ConfigError(
                f"{self.out} is a folder", hint="name a file, --out FILE.csv, or ask for several with --shards"
            )
        if self.out.exists():
            if data is not None and Path(data).exists() and self.out.samefile(data):
                raise ConfigError(
                    f"{self.out} holds the data, which the answers would replace", hint="name another file"
                )
            if not self.overwrite:
                raise ConfigError(f"{self.out} exists", hint="name another file, or replace it with --overwrite")

    def check_folder(self, spread: SpreadOptions) -> tuple[Path, int]:
        """Refuses what files of several processes cannot hold.

        Args:
            spread: over processes.

        Returns:
            The folder, and how many files it gets.

        Raises:
            ConfigError: no folder, or a flag without effect.
        """
        why = "files of --shards hold rows by their number or --key, as Parquet"
        refuse_flags(why, {"keep": self.keep is not None, "formula_safe": self.formula_safe})
        refuse_flags("finished files are kept, and others are made", {"overwrite": self.overwrite})
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top-k must be at least 1, not {self.top_k}")
        if self.out is None or (self.out.suffix.lower() in _FORMATS and not self.out.is_dir()):
            named = "" if self.out is None else f", not {self.out}"
            raise ConfigError(f"--shards, --shard and --engine write a folder{named}", hint="name one: --out FOLDER")
        number = spread.number()
        shards = self.shards if self.shards is not None or number is None else number.count
        if shards is None:
            raise ConfigError("--engine ray spreads files over processes", hint="say how many: --shards 64")
        return self.out, shards


def _names_in(text: str) -> list[str]:
    # A name with a comma in it can be put in quotes, as in a table.
    return [name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row]
