"""The settings of `bertune train` beside `TrainingConfig`: what is read and where results go."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertune.encoder.device import DeviceName
from bertune.errors import ConfigError
from bertune.tokens.long_texts import LongText, checked_stride
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
        label: column of the label; for multi-label, of lists of labels, or columns of 0 and 1 with commas between them.
        kind: classification; multi-label, where a row may have several labels or none; or regression, for a number.
        label_separator: for multi-label: what stands between the labels of a row in the column of the label.
        allow_no_label: for multi-label: rows without any label are meant; otherwise an empty list or cell is refused.
        target_range: for regression: lowest and highest target; others are refused, and predictions stay within.
        quoting: csv honours quotes, none takes them literally, auto honours them in .csv alone.
        on_bad_row: error stops at a row that cannot be read, skip counts it and goes on (up to 1 % of the rows).
        pooling: cls as in the lesson, or mean of all tokens.
        max_length: tokens of an example at most, special tokens included; longer ones are counted.
        long_text: what becomes of longer ones: first keeps their beginning, head-tail beginning and end, windows reads
            all of them in overlapping windows and averages the logits.
        window_stride: tokens by which each window begins after the one before; by default half of the tokens that a
            text has room for.
        metric: chooses the best epoch; the task's first metric by default.
        device: where to train; auto takes the GPU where torch finds one.
        threshold: from which probability on the second of two labels, or each of several, is given: default takes the
            most probable label (each label from 0.5 on), auto chooses on the validation rows and keeps what also helps
            on rows that were not chosen on.
        threshold_for: the metric to choose thresholds for; the one that chooses the best epoch by default.
        allow_new: parameters that may be missing in the checkpoint, for instance pooler.
        strict: what the audit of the data finds is an error, exit code 3; otherwise it is told as warnings.
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
    kind: Literal["classification", "multi-label", "regression"] = "classification"
    label_separator: str | None = None
    allow_no_label: bool = False
    target_range: tuple[float, float] | None = None
    quoting: Literal["auto", "csv", "none"] = "auto"
    on_bad_row: Literal["error", "skip"] = "error"
    pooling: Literal["cls", "mean"] = "cls"
    max_length: int = 128
    long_text: LongText = "first"
    window_stride: int | None = None
    metric: str | None = None
    device: DeviceName = "auto"
    threshold: Literal["default", "auto"] = "default"
    threshold_for: str | None = None
    allow_new: tuple[str, ...] = ()
    strict: bool = False
    tensorboard: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.task is not None and (self.text_a or self.text_b or self.label or self.kind != "classification"):
            raise ConfigError(
                f"task {self.task!r} knows its columns", hint="leave --text-a, --text-b, --label and --kind out"
            )
        if self.threshold_for is not None and self.threshold == "default":
            raise ConfigError("--threshold-for has no effect without --threshold auto", hint="add --threshold auto")
        if self.kind != "multi-label" and (self.label_separator is not None or self.allow_no_label):
            raise ConfigError("--label-separator and --allow-no-label are for several labels a row: --kind multi-label")
        if self.target_range is not None and not (
            self.kind == "regression"
            and self.target_range[0] < self.target_range[1]
            and all(map(math.isfinite, self.target_range))
        ):
            raise ConfigError("--target-range is the lowest and the highest target of --kind regression")
        if self.max_length < 3:
            raise ConfigError(f"max_length must be at least 3, not {self.max_length}", hint="128 suits most sentences")
        pairs = self.text_b is not None
        checked_stride(self.long_text, self.window_stride, max_length=self.max_length, pairs=pairs)
        if self.task is None and (self.text_a is None or self.label is None) and find_reencoded(self.data) is None:
            raise ConfigError(
                "the columns are not named: --text-a and --label (and --text-b for pairs) are needed",
                hint="see the columns with `bertune inspect DATA`, or name a GLUE task with --task",
            )
