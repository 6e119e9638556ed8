"""Encoded examples and their targets: what training, evaluation and prediction take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.batches.batch import read_padded
from bertune.batches.soft_targets import SoftTargets
from bertune.data.soft_labels import checked_probabilities
from bertune.errors import ConfigError, DataError
from bertune.tokenization.encode_texts import EncodedExamples


@dataclass(frozen=True)
class Dataset:
    """Encoded examples with their targets.

    Args:
        encoded: flat ids and offsets.
        targets: (examples,) class ids (int64) or values (float32); (examples, labels) of 0 and 1 (int64) for
            multi-label; None where they are not known.
        soft: what is learned in their place, or beside them; None where the targets alone are.

    Raises:
        ConfigError: there are more or fewer targets than examples.

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> len(bertune.Dataset(bertune.encode_examples(["good film", "bad"], None, tokenizer, 16), np.array([1, 0])))
        2
    """

    encoded: EncodedExamples
    targets: NDArray[Any] | None = None
    soft: SoftTargets | None = None

    def __post_init__(self) -> None:
        for targets in (self.targets, self.soft):
            if targets is not None and len(targets) != len(self.encoded):
                raise ConfigError(f"{len(targets)} targets for {len(self.encoded)} examples")

    def labelled(self) -> "Dataset":
        """Returns the examples that have a target of their own, without soft targets."""
        if self.soft is None:
            return self
        if self.soft.labelled is None:
            return Dataset(self.encoded, self.targets)
        return Dataset(self.encoded.take(np.flatnonzero(self.soft.labelled)), self.known_targets)

    @property
    def known_targets(self) -> NDArray[Any] | None:
        """The targets of these examples; None where they are not known."""
        if self.targets is None or self.soft is None or self.soft.labelled is None:
            return self.targets
        return self.targets[self.soft.labelled]

    def __len__(self) -> int:
        return len(self.encoded)


Inputs = EncodedExamples | Mapping[str, Any]


def as_dataset(data: Dataset | Inputs | tuple[Inputs, Any]) -> Dataset:
    """Accepts a data set in any of the forms a user may hold.

    Args:
        data: a `Dataset`, encoded examples, the tutorial's padded arrays, or a pair of either with targets.
            Whole-number targets become class ids (int64), others values (float32); rows of 0 and 1 say which labels
            an example has; rows of probabilities, as floats, are soft labels, whose class id is the most probable one
            (of equal ones the first).

    Raises:
        ConfigError: an array is missing, or the arrays' shapes or kinds do not fit.
        DataError: the arrays are not as bert_encode makes them, or targets are neither one number an example nor
            rows of 0 and 1, nor rows of probabilities that sum to 1.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple) and len(data) != 2:
        raise ConfigError(f"expected inputs, or inputs and targets, found {len(data)} parts")
    inputs, targets = data if isinstance(data, tuple) else (data, None)
    encoded = inputs if isinstance(inputs, EncodedExamples) else _from_padded(inputs)
    array = None if targets is None else np.asarray(targets)
    if array is not None and array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f":
        probabilities = checked_probabilities(array.astype(np.float64), lambda row: f"target {row}")
        return Dataset(encoded, probabilities.argmax(axis=1), SoftTargets(probabilities.astype(np.float32)))
    return Dataset(encoded, None if targets is None else _as_targets(targets))


def _as_targets(targets: Any) -> NDArray[Any]:
    array = np.asarray(targets)
    if array.ndim == 2 and array.dtype.kind in "bui":
        wrong = np.argwhere((array != 0) & (array != 1))
        if len(wrong):
            raise DataError(f"target {wrong[0][0]} holds {array[tuple(wrong[0])]}, expected 0 or 1 for each label")
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "buif":
        raise DataError(
            f"expected one number an example as its target, found {array.dtype} of shape {array.shape}",
            hint="a LabelSet turns label words into class ids; several labels an example are rows of 0 and 1",
        )
    if not np.isfinite(array).all():
        raise DataError(f"target {int(np.argmin(np.isfinite(array)))} is not a finite number")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def _from_padded(inputs: Mapping[str, Any]) -> EncodedExamples:
    """Packs the tutorial's padded arrays into the flat form."""
    ids, mask, types = (tensor.numpy() for tensor in read_padded(inputs))
    lengths = mask.sum(axis=1)
    columns = np.arange(ids.shape[1])
    real = columns < lengths[:, None]
    first_lengths = np.where(real, types == 0, False).sum(axis=1)
    in_order = (real == mask) & (~real | (types == (columns >= first_lengths[:, None])))
    wrong = np.flatnonzero(~in_order.all(axis=1) | (lengths == 0))
    if len(wrong):
        raise DataError(
            f"row {wrong[0]}: expected mask 1 … 1 0 … 0 and types 0 … 0 1 … 1, as bert_encode makes them",
            hint="call the classifier itself with such arrays; fit, evaluate and predict take them in this form only",
        )
    tokens = ids[real]
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < 1 << 31:
        raise DataError(f"input_word_ids holds {tokens.min()} to {tokens.max()}, which are not ids of tokens")
    return EncodedExamples(
        token_ids=tokens.astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        first_lengths=first_lengths.astype(np.int32),
        truncated=np.zeros(len(ids), dtype=bool),
        max_length=ids.shape[1],
    )
