"""The wire format of tf.Example."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.data.formats.record_file import read_records_of
from bertune.data.formats.tf_example import encode_example, parse_example, varints
from bertune.errors import DataError
from bertune.system.protobuf_wire import delimited, varint

GOLDEN = Path(__file__).parents[2] / "golden" / "tfrecords"
INT64 = st.integers(-(2**63), 2**63 - 1)


def test_an_example_of_the_original_tool_is_read() -> None:
    _, content = next(read_records_of(GOLDEN / "stsb-train.tfrecord"))
    features = parse_example(content)
    assert sorted(features) == ["example_id", "input_ids", "input_mask", "is_real_example", "label_ids", "segment_ids"]
    assert features["input_ids"].shape == (128,)
    assert features["label_ids"].dtype == np.float32
    assert 0 <= features["label_ids"][0] <= 5


def test_a_written_example_has_the_size_of_the_originals_and_reads_back_equal() -> None:
    for _, content in read_records_of(GOLDEN / "mrpc-train.tfrecord"):
        features = parse_example(content)
        written = encode_example(features)
        assert len(written) == len(content)  # the original writes the names in any order
        again = parse_example(written)
        assert {name: list(values) for name, values in again.items()} == {
            name: list(values) for name, values in features.items()
        }


@given(st.dictionaries(st.text(max_size=5), st.lists(INT64, max_size=20)), st.lists(st.binary(max_size=5)))
def test_what_is_written_is_read(integers: dict[str, list[int]], pieces: list[bytes]) -> None:
    features = {f"i{name}": np.array(values, np.int64) for name, values in integers.items()}
    features["floats"] = np.array([1.5, -2.25], np.float32)
    read = parse_example(encode_example({**features, "bytes": pieces}))
    assert read.pop("bytes") == pieces
    assert {name: list(values) for name, values in read.items()} == {
        name: list(values) for name, values in features.items()
    }


@given(st.lists(INT64))
def test_many_varints_are_one_after_another(values: list[int]) -> None:
    flat, starts = varints(np.array(values, np.int64))
    assert flat == b"".join(varint(value % 2**64) for value in values)
    assert [flat[a:b] for a, b in itertools.pairwise(starts)] == [varint(value % 2**64) for value in values]


def test_equal_features_give_equal_bytes_in_any_order() -> None:
    one = {"b": np.array([1]), "a": [b"x"]}
    assert encode_example(one) == encode_example(dict(reversed(one.items())))


def test_unpacked_numbers_are_read() -> None:
    integers = delimited(3, b"".join(varint(1 << 3) + varint(value) for value in (5, 300, 2**64 - 1)))
    floats = delimited(2, b"".join(varint(1 << 3 | 5) + np.float32(value).tobytes() for value in (0.5, 3)))
    entries = [
        delimited(1, delimited(1, name) + delimited(2, feature)) for name, feature in ((b"i", integers), (b"f", floats))
    ]
    features = parse_example(delimited(1, b"".join(entries)))
    assert list(features["i"]) == [5, 300, -1]
    assert list(features["f"]) == [0.5, 3.0]


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(DataError):
        features = parse_example(content)
        # What is read can be written, and has as many values then.
        again = parse_example(encode_example(features))
        assert {name: len(values) for name, values in again.items()} == {
            name: len(values) for name, values in features.items()
        }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x0a\x05ab", "field 1 has 5 bytes, but only 2 follow"),
        (b"\x0a", "the message ends inside a number"),
        (b"\x80" * 11, "a number has more than 10 bytes"),
        (b"\x0b", "field 1 has the unknown wire type 3"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        parse_example(content)
