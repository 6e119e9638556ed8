"""Signature of a fine-tuned model, inputs and outputs: one file in its folder, enforced wherever it is used."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from bertune.data.read_options import Quoting, ReadOptions
from bertune.data.several_labels import SeveralLabels
from bertune.data.task import Columns, check_range
from bertune.data.task_kind import TaskKind
from bertune.errors import CheckpointError, ConfigError
from bertune.models.encoder_config import Pooling
from bertune.system.hinted_values import fits
from bertune.system.json_file import read_json_object
from bertune.tokenization.long_texts import LongText

SIGNATURE_FILE = "bertune.json"
FORMAT_VERSION = 1
# Entries that files of the first releases do not have.
_LATER = frozenset(
    (
        *("train_rows", "label_columns", "label_separator", "target_range", "long_text", "window_stride"),
        *("temperature", "thresholds", "folded_temperature", "delimiter", "encoding", "no_header", "quoting"),
        "trained",
    )
)
_PAIR_HINT = "name the second text's column with --text-b"


@dataclass(frozen=True)
class ModelSignature:
    """The agreement between a fine-tuned model and its users.

    Args:
        labels: names of the classes, in the order of the logits; empty for regression.
        is_pair: whether it takes two texts or one; None where that is not known, and either is taken.
        max_length: tokens of an encoded example at most, special tokens included.
        kind: of the task.
        pooling: of the classifier.
        task: name of the task, for instance `mrpc`.
        text_a: column of the first text, by name or number.
        text_b: column of the second text; None for single texts.
        label: column of the label.
        metrics: what evaluation reports; the first chose the best epoch.
        label_counts: training examples of each class, in the order of `labels`: the majority baseline of later scores.
        train_rows: training examples; with several labels an example, `label_counts` do not say it.
        target_mean: mean of the training targets, for regression.
        base_model: what was fine-tuned.
        tokenizer_digest: SHA-256 of vocabulary and flags.
        label_columns: for multi-label data with one 0/1 column a label: the columns, in the order of `labels`.
        label_separator: for multi-label data with all labels of a row in one column: what stands between them.
        target_range: lowest and highest target of a regression, where it has bounds.
        long_text: what became of texts over `max_length`: `first` keeps the beginning, `head-tail` beginning and end,
            `windows` reads all of it in overlapping windows whose logits are averaged.
        window_stride: tokens by which each window of `windows` begins after the one before.
        temperature: logits are divided by it before they become probabilities; fitted on validation data.
        delimiter: what stands between the cells of tables, where it was named; as for all of these, other files are
            read the same way unless they say otherwise.
        encoding: of text files, where it was named.
        no_header: whether the first line of tables is a row.
        quoting: of tables.
        folded_temperature: the temperature that an export's head was divided by; 1.0 where its weights are those of
            training. Nothing is computed by it.
        thresholds: from which probability on a label is given: of the second label for two classes (one number), of
            each label for multi-label; empty gives the most probable label, or each label from 0.5 on.
        trained: which part of the model was trained, in words; empty where all of it was.

    Raises:
        ConfigError: the entries do not fit together.

    Example:
        >>> signature = bertune.load("runs/questions/model").signature
        >>> signature.labels, signature.is_pair, signature.max_length
        (('different', 'duplicate'), True, 128)
    """

    labels: tuple[str, ...]
    is_pair: bool | None
    max_length: int
    kind: TaskKind = TaskKind.CLASSIFICATION
    pooling: Pooling = "cls"
    task: str = ""
    text_a: str | int = "sentence1"
    text_b: str | int | None = "sentence2"
    label: str | int | None = "label"
    metrics: tuple[str, ...] = ("accuracy",)
    label_counts: tuple[int, ...] = ()
    target_mean: float | None = None
    base_model: str = ""
    tokenizer_digest: str = ""
    train_rows: int | None = None
    label_columns: tuple[str | int, ...] = ()
    label_separator: str | None = None
    target_range: tuple[float, float] | None = None
    long_text: LongText = "first"
    window_stride: int | None = None
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    folded_temperature: float = 1.0
    delimiter: str | None = None
    encoding: str | None = None
    no_header: bool = False
    quoting: Quoting = "auto"
    trained: str = ""

    def __post_init__(self) -> None:
        if self.kind not in list(TaskKind) or self.pooling not in get_args(Pooling):
            raise ConfigError(f"kind {str(self.kind)!r} or pooling {self.pooling!r} is not known")
        object.__setattr__(self, "kind", TaskKind(self.kind))
        if self.kind.has_one_label and len(self.labels) < 2:
            raise ConfigError(f"a classifier needs at least two labels, not {len(self.labels)}")
        if self.kind.has_label_sets and not self.labels:
            raise ConfigError("a multi-label classifier needs at least one label")
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"the labels are not distinct: {', '.join(self.labels)}")
        if not self.kind.has_labels and self.labels:
            raise ConfigError(f"a regressor has no labels, not {', '.join(self.labels)}")
        if self.label_counts and len(self.label_counts) != len(self.labels):
            raise ConfigError(f"{len(self.label_counts)} label counts for {len(self.labels)} labels")
        if self.max_length < 1:
            raise ConfigError(f"max_length must be at least 1, not {self.max_length}")
        if self.train_rows is not None and self.train_rows < 1:
            raise ConfigError(f"train_rows must be at least 1, not {self.train_rows}")
        if self.label_separator == "":
            raise ConfigError("label_separator is empty")
        if self.target_mean is not None and not math.isfinite(self.target_mean):
            raise ConfigError(f"target_mean must be a finite number, not {self.target_mean}")
        self.reading  # raises where there is no such way of reading  # noqa: B018
        self._check_how_texts_are_cut()
        self._check_how_answers_are_made()

    def _check_how_texts_are_cut(self) -> None:
        if self.long_text not in get_args(LongText):
            raise ConfigError(f"long_text {self.long_text!r} is none of {', '.join(get_args(LongText))}")
        if (self.window_stride is None) == (self.long_text == "windows"):
            raise ConfigError(f"window_stride {self.window_stride} does not fit long_text {self.long_text!r}")
        if self.window_stride is not None and self.window_stride < 1:
            raise ConfigError(f"window_stride must be at least 1, not {self.window_stride}")

    def _check_how_answers_are_made(self) -> None:
        for name in ("temperature", "folded_temperature"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"{name} must be a finite number above 0, not {getattr(self, name)}")
        places = len(self.labels) if self.kind.has_label_sets else int(len(self.labels) == 2)
        if len(self.thresholds) not in (0, places):
            raise ConfigError(f"{len(self.thresholds)} thresholds for {len(self.labels)} labels of a {self.kind}")
        if not all(0 < threshold < 1 for threshold in self.thresholds):
            raise ConfigError(f"thresholds must lie between 0 and 1, not {list(self.thresholds)}")
        if self.target_range is not None:
            check_range(self.kind, self.target_range, name="target_range")

    @property
    def num_outputs(self) -> int:
        """Logits of the model: one a label, or the one value of a regressor."""
        return self.kind.outputs(len(self.labels))

    @property
    def reading(self) -> ReadOptions:
        """Options with which the training tables were read, as far as they were given."""
        return ReadOptions(
            delimiter=self.delimiter,
            encoding=self.encoding,
            no_header=self.no_header or None,
            quoting=self.quoting,
        )

    def columns(self, *, allow_none: bool = False) -> Columns:
        """Returns where a table of the kind of training has texts and labels.

        Args:
            allow_none: whether rows without a label are used; see `SeveralLabels`.
        """
        if not self.kind.has_label_sets:
            return Columns(self.text_a, self.text_b, self.label)
        several = SeveralLabels(self.label_columns, self.label_separator, allow_none)
        return Columns(self.text_a, self.text_b, self.label, several)

    def long_text_account(self) -> str:
        """Says in words what becomes of texts over `max_length`."""
        if self.long_text == "first":
            return f"cut after {self.max_length} tokens"
        if self.long_text == "head-tail":
            return f"the first quarter and the last three quarters of {self.max_length} tokens are kept"
        return (
            f"read in windows of {self.max_length} tokens that begin {self.window_stride} tokens after one another, "
            "whose logits are averaged"
        )

    def check_texts(self, *, given_pair: bool, where: str, pair_hint: str = _PAIR_HINT) -> None:
        """Refuses single texts for a pair model, and pairs for a single-text model.

        Args:
            given_pair: whether the data hold two texts.
            where: the data, for the message.
            pair_hint: how the caller gives second texts.

        Raises:
            ConfigError: they do not fit.
        """
        if self.is_pair is None or given_pair == self.is_pair:
            return
        expected, given = ("two texts", "one text") if self.is_pair else ("one text", "two texts")
        raise ConfigError(
            f"{where} holds {given} a row; this model was trained on {expected} a row",
            hint=pair_hint if self.is_pair else "give one text a row",
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns what is written to `bertune.json`."""
        values = {"format_version": FORMAT_VERSION, **asdict(self)}
        if not self.trained:  # earlier versions refuse an entry that they do not know
            del values["trained"]
        return values

    @classmethod
    def read(cls, folder: Path, *, name: str = SIGNATURE_FILE) -> Self:
        """Reads the signature of a model folder.

        Args:
            folder: of the model.
            name: of the file; exports call it otherwise.

        Raises:
            CheckpointError: the file is missing, of a later version, or malformed.
        """
        path = folder / name
        if not path.is_file():
            raise CheckpointError(
                f"{folder}: no {name} in this folder, so it is not a model that bertune fine-tuned",
                hint="fine-tune an encoder first: bertune train --model …",
            )
        values = read_json_object(path)
        if values.pop("format_version", None) != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format_version is not {FORMAT_VERSION}", hint="use the bertune that wrote it"
            )
        hints = get_type_hints(cls)
        # Folders written before these entries were there have what their defaults say.
        wrong = (set(values) - set(hints)) | (set(hints) - _LATER - set(values))
        if wrong:
            raise CheckpointError(f"{path}: unexpected or missing entries: {', '.join(sorted(wrong))}")
        for name in values:
            if not fits(values[name], hints[name]):
                raise CheckpointError(f"{path}: {name} is {str(values[name])[:40]!r}, not what belongs there")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            return cls(**values)
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error.message}") from error
