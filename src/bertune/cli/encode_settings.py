"""The flags of `bertune encode`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertune.data.read_options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class EncodeSettings(ReadOptions):
    """What is encoded, by which tokenizer, and where to.

    Args:
        data: a table (CSV, TSV, JSONL, Parquet, Arrow), a folder with train and validation files, a folder prepared by
            tensorflow-datasets, or hf://datasets/…. Several tables are named by 'part-*.csv', or with --data before
            each.
        out: a new folder, or that of an earlier run of the same data and settings, which is then completed. Of data
            with several splits each goes into a folder of its own in it.
        model: whose tokenizer is used: a folder, a name of the hub such as bert-base-uncased, gs://… or https://….
        split: encodes this split alone, into the folder itself.
        task: a GLUE task by name (mrpc, sst2, stsb, …), which knows its columns and labels.
        text_a: column of the text, or of the first text of a pair; name or number from 0.
        text_b: column of the second text of a pair.
        label: column of the label; without it the examples have none.
        kind: classification, or regression for a number as target.
        labels: label words in the order of their ids; by default those of the training data, sorted.
        format: tfrecord, the records of the TensorFlow lesson, or store, flat ids for memory mapping.
        max_length: tokens of an example at most, special tokens included; longer ones are cut and counted.
        long_text: which tokens of longer ones stay: first keeps their beginning, head-tail beginning and end.
        shards: files of each split.
        processes: that encode; by default one a core, and this process alone for few rows.
    """

    data: str
    out: Path
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    split: str | None = None
    task: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    kind: Literal["classification", "regression"] = "classification"
    labels: tuple[str, ...] = ()
    format: Literal["tfrecord", "store"] = "tfrecord"
    max_length: int = 128
    long_text: Literal["first", "head-tail", "windows"] = "first"
    shards: int = 1
    processes: int | None = None
