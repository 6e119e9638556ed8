"""What is in record files, whoever wrote them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.audit.length_counts import LengthCounts
from bertune.data.formats.record_file import frame_record
from bertune.data.formats.tf_example import encode_example, parse_example
from bertune.errors import DataError
from bertune.shards.record_summary import summarise_records


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_length_summaries_are_those_of_all_lengths(lengths: list[int]) -> None:
    one_by_one, at_once = LengthCounts(), LengthCounts()
    for length in lengths:
        one_by_one.add(length)
    at_once.add_all(np.array(lengths[:7]))
    rest = LengthCounts()
    rest.add_all(np.array(lengths[7:], np.int64))
    at_once.update(rest)
    values = one_by_one.summary()
    assert values == at_once.summary()
    assert values.pop("mean") == pytest.approx(np.mean(lengths))
    shares = [0, 0.5, 0.95, 0.99, 1]
    assert list(values.values()) == [np.quantile(lengths, share, method="higher") for share in shares]
    assert len(one_by_one) == len(lengths)
    assert LengthCounts().summary() == {}


def later_dialect(tokens: int, length: int = 16, **more: object) -> dict[str, object]:
    real = (np.arange(length) < tokens).astype(np.int64)
    return {"input_word_ids": real * 7, "input_mask": real, "input_type_ids": real * 0, **more}


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_bytes(b"".join(frame_record(encode_example(record)) for record in records))
    return path


def test_the_later_dialect_is_known_and_padding_rows_count_for_nothing(tmp_path: Path) -> None:
    one, zero = np.array([1]), np.array([0])
    records = [later_dialect(5, label_id=one), later_dialect(9, label_id=zero), later_dialect(2, is_real_example=zero)]
    summary = summarise_records([write(tmp_path / "x.tfrecord", records)])
    assert summary.dialect == ("input_word_ids", "input_mask", "input_type_ids")
    assert (summary.records, summary.padding_rows, dict(summary.label_counts)) == (3, 1, {1: 1, 0: 1})
    assert summary.lengths.summary()["mean"] == 7
    assert summary.features["label_id"].records == 2


def test_other_features_are_shown_with_their_types_and_shapes(tmp_path: Path) -> None:
    records = [
        {"text": [b"a"], "numbers": np.array([1.5, 2.5]), "mixed": np.array([1])},
        {"text": [b"a", b"b", b"c"], "mixed": np.array([0.5])},
    ]
    summary = summarise_records([write(tmp_path / "x.tfrecord", records)])
    assert summary.dialect is None
    shown = {
        name: (entry.kinds, entry.records, entry.shortest, entry.longest) for name, entry in summary.features.items()
    }
    assert shown == {
        "text": ({"bytes"}, 2, 1, 3),
        "numbers": ({"float32"}, 1, 2, 2),
        "mixed": ({"int64", "float32"}, 2, 1, 1),
    }


def test_values_of_a_regression_are_summed_up(tmp_path: Path) -> None:
    records = [later_dialect(5, label_ids=np.array([value])) for value in (1.0, 4.5, 2.0)]
    assert summarise_records([write(tmp_path / "x.tfrecord", records)]).target_summary() == {
        "minimum": 1.0,
        "mean": 2.5,
        "maximum": 4.5,
    }


def test_what_is_no_example_is_named_by_file_and_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord", [later_dialect(5)])
    offset = path.stat().st_size
    path.write_bytes(path.read_bytes() + frame_record(b"\x0a\x05ab"))
    with pytest.raises(DataError, match=rf"x\.tfrecord: record at {offset}: field 1 has 5 bytes"):
        summarise_records([path])


def test_only_the_wanted_features_of_a_record_are_read() -> None:
    content = encode_example({"a": np.array([1, 2]), "b": [b"x"], "c": np.array([3])})
    assert sorted(parse_example(content, only=("a", "c", "z"))) == ["a", "c"]
    assert list(parse_example(content, only=("a",))["a"]) == [1, 2]
