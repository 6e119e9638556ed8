"""The settings of `bertune train` beside `TrainingConfig`: what is read and where results go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertune.errors import ConfigError
from bertune.tokens.manifest import find_reencoded


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run reads, what it starts from and where it writes.

    Args:
        data: a table (CSV, TSV, JSONL, Parquet, Arrow), a folder with train and validation files, a folder made by
            `bertune encode`, which knows its columns, or hf://datasets/….
        out: the folder of the run.
        model: a BERT encoder: a folder, a name of the hub such as bert-base-uncased, or an address: gs://bucket/folder,
            https://host/folder, https://host/archive.zip.
        task: a GLUE task by name (mrpc, sst2, stsb, …), which knows its columns, labels and metrics.
        validation: a table to choose the best epoch by; found by itself where data is a folder.
        text_a: column of the text, or of the first text of a pair; name or number from 0.
        text_b: column of the second text of a pair.
        label: column of the label.
        kind: classification, or regression for a number as target.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on (up to 1 % of the rows).
        pooling: cls as in the lesson, or mean of all tokens.
        max_length: tokens of an example at most, special tokens included; longer ones are truncated and counted.
        metric: chooses the best epoch; the task's first metric by default.
        allow_new: parameters that may be missing in the checkpoint, for instance pooler.
        tensorboard: write curves for TensorBoard, into the folder `tensorboard` of the run.
        overwrite: replace an earlier run in the same folder.

    Raises:
        ConfigError: settings that exclude each other.
    """

    data: str
    out: Path
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    task: str | None = None
    validation: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    kind: Literal["classification", "regression"] = "classification"
    quoting: Literal["auto", "csv", "none"] = "auto"
    on_bad_row: Literal["error", "skip"] = "error"
    pooling: Literal["cls", "mean"] = "cls"
    max_length: int = 128
    metric: str | None = None
    allow_new: tuple[str, ...] = ()
    tensorboard: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.task is not None and (self.text_a or self.text_b or self.label or self.kind == "regression"):
            raise ConfigError(
                f"task {self.task!r} knows its columns", hint="leave --text-a, --text-b, --label and --kind out"
            )
        if self.max_length < 3:
            raise ConfigError(f"max_length must be at least 3, not {self.max_length}", hint="128 suits most sentences")
        if self.task is None and (self.text_a is None or self.label is None) and find_reencoded(self.data) is None:
            raise ConfigError(
                "the columns are not named: --text-a and --label (and --text-b for pairs) are needed",
                hint="see the columns with `bertune inspect DATA`, or name a GLUE task with --task",
            )
