"""Encoded examples and their targets: what training, evaluation and prediction take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.batches.batch import PADDED_NAMES
from bertune.errors import ConfigError, DataError
from bertune.tokens.encoding import EncodedExamples


@dataclass(frozen=True)
class Dataset:
    """Encoded examples with their targets.

    Args:
        encoded: flat ids and offsets.
        targets: (examples,) class ids (int64) or values (float32); None where they are not known.

    Raises:
        ConfigError: there are more or fewer targets than examples.
    """

    encoded: EncodedExamples
    targets: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.targets is not None and len(self.targets) != len(self.encoded):
            raise ConfigError(f"{len(self.targets)} targets for {len(self.encoded)} examples")

    def __len__(self) -> int:
        return len(self.encoded)


Inputs = EncodedExamples | Mapping[str, Any]


def as_dataset(data: Dataset | Inputs | tuple[Inputs, Any]) -> Dataset:
    """Accepts a data set in any of the forms a user may hold.

    Args:
        data: a `Dataset`, encoded examples, the lesson's padded arrays, or a pair of either with targets. Whole-number
            targets become class ids (int64), others values (float32).
    """
    if isinstance(data, Dataset):
        return data
    inputs, targets = data if isinstance(data, tuple) else (data, None)
    encoded = inputs if isinstance(inputs, EncodedExamples) else _from_padded(inputs)
    if targets is None:
        return Dataset(encoded)
    array = np.asarray(targets)
    kind = np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32
    return Dataset(encoded, array.astype(kind))


def _from_padded(inputs: Mapping[str, Any]) -> EncodedExamples:
    """Packs the lesson's padded arrays into the flat form."""
    missing = [name for name in PADDED_NAMES if name not in inputs]
    if missing:
        raise ConfigError(f"the inputs lack {', '.join(missing)}", hint="bert_encode makes all three arrays")
    ids, mask, types = (np.asarray(inputs[name]) for name in PADDED_NAMES)
    lengths = (mask != 0).sum(axis=1)
    columns = np.arange(ids.shape[1])
    real = columns < lengths[:, None]
    first_lengths = np.where(real, types == 0, False).sum(axis=1)
    in_order = (real == (mask != 0)) & (~real | ((types != 0) == (columns >= first_lengths[:, None])))
    wrong = np.flatnonzero(~in_order.all(axis=1) | (lengths == 0))
    if len(wrong):
        raise DataError(
            f"row {wrong[0]}: expected mask 1 … 1 0 … 0 and types 0 … 0 1 … 1, as bert_encode makes them",
            hint="call the classifier itself with such arrays; fit, evaluate and predict take them in this form only",
        )
    return EncodedExamples(
        token_ids=ids[real].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        first_lengths=first_lengths.astype(np.int32),
        truncated=np.zeros(len(ids), dtype=bool),
        max_length=ids.shape[1],
    )
