"""The lesson's TFRecords: padded examples as `tf.train.Example`, and back.

Features (int64 lists unless said otherwise), as `file_based_convert_examples_to_features` in
official/nlp/data/classifier_data_lib.py of tf-models-official 2.20.0 writes them: `input_ids`, `input_mask` and
`segment_ids`, each `max_length` long, padded with 0; `label_ids`, one class id, or one float for a regression;
`is_real_example`, 1; `example_id`, the position in the data set from 0. Equal examples give equal bytes.

The one difference is on purpose: a pair whose second text has no token keeps its second [SEP], as `bert_encode` of the
lesson writes it, so that training from records and from text are the same.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.data.formats.record_file import frame_record
from bertune.data.formats.tf_example import FeatureValue, varints
from bertune.errors import DataError
from bertune.system.protobuf_wire import delimited, varint
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

_FLOAT_FIELD, _INTEGER_FIELD = 2, 3
# The names of the lesson's tool, then those of the later Model Garden.
DIALECTS = (("input_ids", "input_mask", "segment_ids"), ("input_word_ids", "input_mask", "input_type_ids"))
LABELS = ("label_ids", "label_id")


def framed_examples(encoded: EncodedExamples, targets: NDArray[Any] | None, *, first_id: int) -> bytes:
    """Writes examples as the records of a file, one after another.

    Args:
        encoded: the examples; each is padded to their `max_length`.
        targets: (examples,) class ids or, as floats, values; None leaves `label_ids` out.
        first_id: `example_id` of the first of them.
    """
    length = encoded.max_length
    ids, starts = varints(encoded.token_ids)
    begins = starts[encoded.offsets].tolist()
    numbers, number_starts = varints(np.arange(first_id, first_id + len(encoded)))
    labels = _label_entries(targets)
    is_real = _entry("is_real_example", b"\x01")
    records: list[bytes] = []
    lengths, firsts = encoded.lengths.tolist(), encoded.first_lengths.tolist()
    for row, (size, first) in enumerate(zip(lengths, firsts, strict=True)):
        padding = bytes(length - size)
        entries = (  # in the order of their names
            _entry("example_id", numbers[number_starts[row] : number_starts[row + 1]]),
            _entry("input_ids", ids[begins[row] : begins[row + 1]] + padding),
            _entry("input_mask", b"\x01" * size + padding),
            is_real,
            labels[row] if labels is not None else b"",
            _entry("segment_ids", bytes(first) + b"\x01" * (size - first) + padding),
        )
        records.append(frame_record(delimited(1, b"".join(entries))))
    return b"".join(records)


def _label_entries(targets: NDArray[Any] | None) -> list[bytes] | None:
    if targets is None:
        return None
    if targets.dtype.kind == "f":
        packed = targets.astype("<f4")
        return [_entry("label_ids", value.tobytes(), _FLOAT_FIELD) for value in packed]
    flat, starts = varints(targets)
    return [_entry("label_ids", flat[starts[row] : starts[row + 1]]) for row in range(len(targets))]


def _entry(name: str, packed: bytes, field: int = _INTEGER_FIELD) -> bytes:
    return _entry_head(name, len(packed), field) + packed


@lru_cache(maxsize=65_536)
def _entry_head(name: str, size: int, field: int) -> bytes:
    """All of a feature's map entry that stands before its packed numbers, which come last in every message."""
    values = b"\x0a" + varint(size)
    feature = varint(field << 3 | 2) + varint(len(values) + size) + values
    value = b"\x12" + varint(len(feature) + size) + feature
    key = delimited(1, name.encode())
    return b"\x0a" + varint(len(key) + len(value) + size) + key + value


@dataclass(frozen=True, eq=False)
class PaddedExample:
    """One example as a record holds it.

    Args:
        ids: (max_length,) token ids.
        length: how many of them are tokens.
        first_length: how many are of type 0.
        target: class id, value, or None.
        is_real: False for rows that only fill up a batch.
        example_id: the position in the data set, if the record says it.
    """

    ids: NDArray[np.int64]
    length: int
    first_length: int
    target: int | float | None
    is_real: bool
    example_id: int | None


def read_padded_example(features: dict[str, FeatureValue]) -> PaddedExample:
    """Takes an example out of the features of a record, in either dialect.

    Raises:
        DataError: a feature is missing, or they are not as the original writes them; the caller knows the file.
    """
    names = next((names for names in DIALECTS if names[0] in features), None)
    if names is None:
        raise DataError("neither input_ids nor input_word_ids is there", hint=f"it has {', '.join(sorted(features))}")
    ids, mask, types = (_integers(features, name) for name in names)
    if not len(ids) == len(mask) == len(types):
        raise DataError(f"{', '.join(names)} have {len(ids)}, {len(mask)} and {len(types)} numbers, expected as many")
    if _one(features, "is_real_example", 1) == 0:
        # It only fills up a batch: the original writes nothing but zeros, not even one token.
        return PaddedExample(ids, 0, 0, None, is_real=False, example_id=None)
    length = int(mask.sum())
    first = int((types[:length] == 0).sum()) if 0 < length <= len(ids) else 0
    columns = np.arange(len(ids))
    real = columns < length
    if length < 1 or not np.array_equal(mask, real) or not np.array_equal(types, real & (columns >= first)):
        raise DataError(f"expected {names[1]} 1 … 1 0 … 0 and {names[2]} 0 … 0 1 … 1 where the mask is 1, else 0")
    if not 0 <= ids.min() <= ids.max() < 1 << 31:
        raise DataError(f"{names[0]} holds {ids.min()} to {ids.max()}, which are not ids of tokens")
    weight = features.get("weight")
    if weight is not None and [*weight] != [1.0]:
        raise DataError("the example has a weight, which training does not use", hint="write the records without it")
    return PaddedExample(ids, length, first, _target(features), is_real=True, example_id=_one(features, "example_id"))


def _integers(features: dict[str, FeatureValue], name: str) -> NDArray[np.int64]:
    values = features.get(name)
    if values is None or isinstance(values, list) or values.dtype != np.int64:
        raise DataError(f"feature {name} is {'missing' if values is None else 'no list of integers'}")
    return values.astype(np.int64, copy=False)


def _one(features: dict[str, FeatureValue], name: str, default: int | None = None) -> int | None:
    if name not in features:
        return default
    values = _integers(features, name)
    if len(values) != 1:
        raise DataError(f"feature {name} has {len(values)} numbers, expected 1")
    return int(values[0])


def _target(features: dict[str, FeatureValue]) -> int | float | None:
    name = next((name for name in LABELS if name in features), None)
    if name is None:
        return None
    values = features[name]
    if isinstance(values, list) or len(values) != 1:
        raise DataError(f"feature {name} is not one number")
    if values.dtype == np.int64:
        return int(values[0])
    if not np.isfinite(values[0]):
        raise DataError(f"feature {name} is {values[0]}, expected a finite number")
    return float(values[0])


class RecordColumns:
    """Grows the flat form of examples that are read one by one."""

    def __init__(self) -> None:
        self._ids: list[NDArray[Any]] = []
        self._lengths: list[int] = []
        self._firsts: list[int] = []
        self._targets: list[int | float] = []
        self._example_ids: list[int] = []
        self._max_length: int | None = None
        self.padding_rows = 0

    def add(self, example: PaddedExample) -> None:
        """Takes an example; rows that only fill up a batch are counted and left out.

        Raises:
            DataError: it is of another length than those before, or has a target where they have none.
        """
        if self._max_length is None:
            self._max_length = len(example.ids)
        if len(example.ids) != self._max_length:
            raise DataError(f"{len(example.ids)} numbers an example, but {self._max_length} in the records before")
        if not example.is_real:
            self.padding_rows += 1
            return
        if (example.target is not None) != bool(self._targets) and self._lengths:
            raise DataError("some records have a label and others have none")
        if self._targets and type(example.target) is not type(self._targets[0]):
            raise DataError("some labels are integers and others floats")
        if example.target is not None:
            self._targets.append(example.target)
        if example.example_id is not None:
            self._example_ids.append(example.example_id)
        ids = example.ids[: example.length]
        self._ids.append(ids.astype(np.uint16 if ids.max() < 1 << 16 else np.int32))
        self._lengths.append(example.length)
        self._firsts.append(example.first_length)

    def __len__(self) -> int:
        return len(self._lengths)

    def encoded(self) -> EncodedExamples:
        """Gives the examples; whether they lost tokens is not known any more, so none is marked."""
        return EncodedExamples(
            token_ids=np.concatenate(self._ids) if self._ids else np.empty(0, np.uint16),
            offsets=offsets_of(np.array(self._lengths, np.int64)),
            first_lengths=np.array(self._firsts, np.int32),
            truncated=np.zeros(len(self), bool),
            max_length=self._max_length or 0,
        )

    def targets(self) -> NDArray[Any] | None:
        """Gives class ids (int64) or values (float32); None where the records have none."""
        if not self._targets:
            return None
        return np.array(self._targets, np.float32 if isinstance(self._targets[0], float) else np.int64)

    def example_ids(self) -> NDArray[np.int64] | None:
        """Gives the positions in the data set; None where some record does not say it."""
        return np.array(self._example_ids, np.int64) if len(self._example_ids) == len(self) else None
