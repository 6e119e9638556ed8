"""The settings of `bertune train` beside `TrainingConfig`: what is read and where results go."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bertune.data.examples import number_in
from bertune.data.formats.record_file import refuse_records
from bertune.data.formats.text_files import LABEL_COLUMN, TEXT_COLUMN, holds_texts_at
from bertune.data.held_out import checked_share
from bertune.data.read_options import ReadOptions
from bertune.data.several_names import names_in
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.errors import ConfigError
from bertune.nn.device import DeviceName
from bertune.shards.manifest import find_reencoded
from bertune.tokenization.long_texts import LongText, checked_stride
from bertune.tokenization.pair_template import BERT
from bertune.training.teaching_settings import TeachingSettings

NO_VALIDATION: Final = "none"


@dataclass(frozen=True, kw_only=True)
class RunSettings(ReadOptions, TeachingSettings):
    """What a run reads, what it starts from and where it writes.

    Args:
        data: a table (CSV, TSV, JSON, Parquet, Arrow, Excel), a folder with train and validation files, or
            hf://datasets/…; also a folder with a folder of texts for each label, or one made by `bertune encode`, which
            knows its columns. Several tables are named by 'part-*.csv', or with --data before each.
        out: the folder of the run.
        model: a BERT encoder: a folder, a name of the hub, or an address; bert-base-uncased is such a name, and
            gs://bucket/folder, https://host/folder and https://host/archive.zip are such addresses. A fine-tuned model
            with the same labels keeps its classifier head, others get a new one.
        keep_head: keep the classifier head of a fine-tuned model whose labels have other names, in their order; there
            must be as many.
        tokenizer: a folder with the encoder's vocabulary, where it is not beside the weights.
        task: a GLUE task by name, such as mrpc, sst2 or stsb; it knows its columns, labels and metrics.
        validation: a table to choose the best epoch by, a share of the training rows to hold back for that, such as
            0.1, or none; with none all rows are trained on, without a score. By default that of the folder, where data
            is one that has it, else 10 % of the training rows, at least 50 and at most 5,000, but never more than 20 %.
            A file or folder whose name is a number or none is written ./none.
        test: a table to score once, at the end; everything was chosen by then.
        group: column of what belongs together, such as the author of a text: rows of one group are held back, or kept
            for training, together.
        relabel: decisions on the labels of training rows, made in the report of a run: a table that changes labels and
            leaves rows out. Several are applied one after another; --relabel before each. Rows of other splits stay.
        text_a: column of the text, or of the first text of a pair; name or number from 0. Several with commas between
            them are joined by a space.
        text_b: column of the second text of a pair.
        label: column of the label; for multi-label, of lists of labels, or columns of 0 and 1 with commas between them.
        kind: the kind of task; in multi-label a row may have several labels or none, in regression the target is a
            number.
        label_separator: for multi-label: what stands between the labels of a row in the column of the label.
        positive: of two labels the one that F1 and a threshold are about. By default it is the one whose name says
            so, such as 1, true, yes or pos; else the rarer one, where less than 40 % of the training rows have it; else
            the one that sorts last.
        allow_no_label: for multi-label: rows without any label are meant; otherwise an empty list or cell is refused.
        target_range: for regression: lowest and highest target; others are refused, and predictions stay within.
        pooling: cls as in the lesson, or mean of all tokens; by default that of the model, where bertune fine-tuned it,
            else cls.
        max_length: tokens of an example at most; special tokens are included, longer examples are counted.
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
        skip_probe: leave out the regressions on frozen features and on TF-IDF, which the model is held against.
        strict: what the audit of the data finds is an error, exit code 3; otherwise it is told as warnings.
        keep_adapter: with --lora: write adapters and head into the folder `adapter` of the run as well, as peft
            loads them.
        tensorboard: write curves for TensorBoard, into the folder `tensorboard` of the run.
        overwrite: replace an earlier run in the same folder.

    Raises:
        ConfigError: settings that exclude each other.
    """

    data: str
    out: Path
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    keep_head: bool = False
    tokenizer: str | None = None
    task: str | None = None
    validation: str | float | None = None
    test: str | None = None
    group: str | None = None
    relabel: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    kind: TaskKindName = "classification"
    label_separator: str | None = None
    positive: str | None = None
    allow_no_label: bool = False
    target_range: tuple[float, float] | None = None
    pooling: Literal["cls", "mean"] | None = None
    max_length: int = 128
    long_text: LongText = "first"
    window_stride: int | None = None
    metric: str | None = None
    device: DeviceName = "auto"
    threshold: Literal["default", "auto"] = "default"
    threshold_for: str | None = None
    allow_new: tuple[str, ...] = ()
    skip_probe: bool = False
    strict: bool = False
    keep_adapter: bool = False
    tensorboard: bool = False
    overwrite: bool = False

    @property
    def share(self) -> float | None:
        """The share of the training rows to hold back, where `validation` is one; not yet checked."""
        share = self.validation if not isinstance(self.validation, str) else number_in(self.validation)
        return None if share is None or math.isnan(share) else share

    @property
    def trains_on_all(self) -> bool:
        """Whether no rows are to be held back, nor any validation data used."""
        return self.validation == NO_VALIDATION

    @property
    def validation_data(self) -> str | None:
        """The path of the validation data, where `validation` is one."""
        is_path = isinstance(self.validation, str) and not self.trains_on_all and self.share is None
        return str(self.validation) if is_path else None

    @property
    def knows_columns(self) -> bool:
        """Whether the columns of the data have names of their own: texts in files, or texts and labels in two files."""
        return self.label_file is not None or holds_texts_at(self.data)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = TaskKind(self.kind)
        self.check_teaching(kind, task=self.task, relabel=self.relabel)
        for flag in ("validation", "test", "group", "positive", "relabel"):
            value = getattr(self, flag)
            if isinstance(value, str) and not value.strip():
                raise ConfigError(f"--{flag} is empty", hint=f"leave --{flag} out, or name something")
        if self.share is not None:
            checked_share(self.share)
        if self.group is not None and (self.validation_data is not None or self.trains_on_all):
            raise ConfigError(
                f"no rows are held back with --validation {self.validation}, so --group has no effect",
                hint="leave one of them out",
            )
        if self.task is not None and (
            self.text_a or self.text_b or self.label or self.positive or self.group or not kind.has_one_label
        ):
            raise ConfigError(
                f"task {self.task!r} knows its columns and labels",
                hint="leave --text-a, --text-b, --label, --positive, --group and --kind out",
            )
        if self.positive is not None and not kind.has_one_label:
            raise ConfigError("--positive is for two labels, one a row: --kind classification")
        if self.threshold_for is not None and self.threshold == "default":
            raise ConfigError("--threshold-for has no effect without --threshold auto", hint="add --threshold auto")
        if not kind.has_label_sets and (self.label_separator is not None or self.allow_no_label):
            raise ConfigError("--label-separator and --allow-no-label are for several labels a row: --kind multi-label")
        if self.target_range is not None and (
            kind.has_labels
            or not self.target_range[0] < self.target_range[1]
            or not all(map(math.isfinite, self.target_range))
        ):
            raise ConfigError("--target-range is the lowest and the highest target of --kind regression")
        # The model is not known yet, and with it how many special tokens there are: at least as many as BERT's.
        shortest = BERT.shortest(pairs=False)
        if self.max_length < shortest:
            raise ConfigError(
                f"max_length must be at least {shortest}, not {self.max_length}", hint="128 suits most sentences"
            )
        pairs = self.text_b is not None
        checked_stride(self.long_text, self.window_stride, template=BERT, max_length=self.max_length, pairs=pairs)
        if self.task is None and self.knows_columns:
            # These are settings of the run like all others, and stand in its run.toml.
            object.__setattr__(self, "text_a", self.text_a or TEXT_COLUMN)
            object.__setattr__(self, "label", self.label or LABEL_COLUMN)
        if find_reencoded(self.data) is None:
            for name in names_in(self.data):
                refuse_records(name)
        has_label = self.label is not None or bool(self.soft_labels)
        if self.task is None and (self.text_a is None or not has_label) and find_reencoded(self.data) is None:
            raise ConfigError(
                "the columns are not named: --text-a and --label (and --text-b for pairs) are needed",
                hint="see the columns with `bertune inspect DATA`, or name a GLUE task with --task",
            )
