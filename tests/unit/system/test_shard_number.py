"""Which process of how many, and which part of the work is its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.errors import ConfigError
from bertune.system.shard_number import ShardNumber


@given(st.integers(1, 50), st.integers(0, 1000))
def test_every_piece_belongs_to_one_process_and_shares_are_even(count: int, total: int) -> None:
    shares = [ShardNumber(number, count).share_of(total) for number in range(count)]
    assert [piece for share in shares for piece in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_numbers_count_from_0() -> None:
    assert ShardNumber.parse("3/4") == ShardNumber(3, 4)
    for text in ("4/4", "5/4", "0/0"):
        with pytest.raises(ConfigError, match=f"--shard {text}: shards are counted from 0") as raised:
            ShardNumber.parse(text)
        assert raised.value.exit_code == 2
    for text in ("", "1", "1/", "-1/4", "1/4/4", "a/b", "1.0/4", "\uff11/4", " 1/4"):
        with pytest.raises(ConfigError, match="is not I/N"):
            ShardNumber.parse(text)
