"""What a fine-tuned model expects and returns: one file in its folder, enforced wherever the model is used."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, get_args

from bertune.encoder.config import read_json_object
from bertune.errors import CheckpointError, ConfigError
from bertune.heads.pooling import Pooling
from bertune.text.task import TaskKind

CONTRACT_FILE = "bertune.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Contract:
    """The agreement between a fine-tuned model and its users.

    Args:
        labels: names of the classes, in the order of the logits; empty for regression.
        is_pair: whether it takes two texts or one.
        max_length: tokens of an encoded example at most, special tokens included.
        kind: of the task.
        pooling: of the classifier.
        task: name of the task, for instance `mrpc`.
        text_a: column of the first text, by name or number.
        text_b: column of the second text; None for single texts.
        label: column of the label.
        metrics: what evaluation reports; the first chose the best epoch.
        label_counts: training examples of each class, in the order of `labels`: the majority baseline of later scores.
        target_mean: mean of the training targets, for regression.
        base_model: what was fine-tuned.
        tokenizer_digest: SHA-256 of vocabulary and flags.

    Raises:
        ConfigError: the entries do not fit together.
    """

    labels: tuple[str, ...]
    is_pair: bool
    max_length: int
    kind: TaskKind = "classification"
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

    def __post_init__(self) -> None:
        if self.kind not in get_args(TaskKind) or self.pooling not in get_args(Pooling):
            raise ConfigError(f"kind {self.kind!r} or pooling {self.pooling!r} is not known")
        if self.kind == "classification" and len(self.labels) < 2:
            raise ConfigError(f"a classifier needs at least two labels, not {len(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"the labels are not distinct: {', '.join(self.labels)}")
        if self.kind == "regression" and self.labels:
            raise ConfigError(f"a regressor has no labels, not {', '.join(self.labels)}")
        if self.label_counts and len(self.label_counts) != len(self.labels):
            raise ConfigError(f"{len(self.label_counts)} label counts for {len(self.labels)} labels")
        if self.max_length < 1:
            raise ConfigError(f"max_length must be at least 1, not {self.max_length}")

    @property
    def num_outputs(self) -> int:
        """Logits of the model: one a label, or the one value of a regressor."""
        return len(self.labels) if self.kind == "classification" else 1

    def check_texts(self, *, given_pair: bool, where: str) -> None:
        """Refuses single texts for a pair model, and pairs for a single-text model.

        Args:
            given_pair: whether the data hold two texts.
            where: the data, for the message.

        Raises:
            ConfigError: they do not fit.
        """
        if given_pair == self.is_pair:
            return
        expected, given = ("two texts", "one text") if self.is_pair else ("one text", "two texts")
        raise ConfigError(
            f"{where} holds {given} a row; this model was trained on {expected} a row",
            hint="name the second text's column with --text-b" if self.is_pair else "give one text a row",
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns what is written to `bertune.json`."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the contract of a model folder.

        Raises:
            CheckpointError: the file is missing, of a later version, or malformed.
        """
        path = folder / CONTRACT_FILE
        if not path.is_file():
            raise CheckpointError(
                f"{folder}: no {CONTRACT_FILE} in this folder, so it is not a model that bertune fine-tuned",
                hint="fine-tune an encoder first: bertune train --model …",
            )
        values = read_json_object(path)
        if values.pop("format_version", None) != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format_version is not {FORMAT_VERSION}", hint="use the bertune that wrote it"
            )
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise CheckpointError(f"{path}: unexpected or missing entries: {', '.join(sorted(set(values) ^ known))}")
        for name, fits in _FITS.items():
            if not fits(values[name]):
                raise CheckpointError(f"{path}: {name} is {str(values[name])[:40]!r}, not what belongs there")
        for name in ("labels", "metrics", "label_counts"):
            values[name] = tuple(values[name])
        try:
            return cls(**values)
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error.message}") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_column(value: Any) -> bool:
    return type(value) in (str, int)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


# What each entry of the file may be.
_FITS: dict[str, Callable[[Any], bool]] = {
    "labels": _are_texts,
    "is_pair": lambda value: isinstance(value, bool),
    "max_length": lambda value: type(value) is int,
    "kind": _is_text,
    "pooling": _is_text,
    "task": _is_text,
    "text_a": _is_column,
    "text_b": lambda value: value is None or _is_column(value),
    "label": lambda value: value is None or _is_column(value),
    "metrics": _are_texts,
    "label_counts": lambda value: isinstance(value, list) and all(type(count) is int for count in value),
    "target_mean": lambda value: value is None or (type(value) in (int, float) and math.isfinite(value)),
    "base_model": _is_text,
    "tokenizer_digest": _is_text,
}
