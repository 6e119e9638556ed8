import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertune.batches.sampler import batches_by_tokens, batches_of, epoch_order, shares_by_tokens, steps_in_epoch


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first = epoch_order(100, seed=3, epoch=2)
    np.random.default_rng(0).random(1000)
    np.random.seed(1)  # the global state must not matter
    assert np.array_equal(first, epoch_order(100, seed=3, epoch=2))
    assert not np.array_equal(first, epoch_order(100, seed=4, epoch=2))
    assert not np.array_equal(first, epoch_order(100, seed=3, epoch=3))
    # Seed and epoch are not added up.
    assert not np.array_equal(epoch_order(100, seed=3, epoch=4), epoch_order(100, seed=4, epoch=3))


def test_the_order_does_not_change_between_versions() -> None:
    assert epoch_order(10, seed=42, epoch=0).tolist() == [5, 6, 0, 7, 3, 2, 4, 9, 1, 8]


@pytest.mark.parametrize(("examples", "batch_size"), [(1, 1), (10, 3), (12, 4), (5, 64)])
def test_an_epoch_takes_each_example_once_and_the_last_smaller_batch_too(examples: int, batch_size: int) -> None:
    batches = list(batches_of(epoch_order(examples, seed=0, epoch=0), batch_size))
    assert sorted(np.concatenate(batches).tolist()) == list(range(examples))
    assert len(batches) == steps_in_epoch(examples, batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_longest_come_first_and_a_batch_keeps_its_budget() -> None:
    lengths = np.array([5, 100, 7, 30, 30, 2])
    batches = [batch.tolist() for batch in batches_by_tokens(lengths, 60)]
    assert batches == [[1], [3, 4], [2, 0, 5]]


def test_examples_without_a_token_do_not_stop_the_cutting() -> None:
    assert [batch.tolist() for batch in batches_by_tokens(np.array([0, 0]), 8)] == [[0, 1]]


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 7))
def test_shares_have_each_example_once_and_about_as_many_tokens(tokens: list[int], count: int) -> None:
    shares = shares_by_tokens(np.array(tokens, dtype=np.int64), count)
    assert len(shares) == count
    assert sorted(place for share in shares for place in share.tolist()) == list(range(len(tokens)))
    assert all(share.tolist() == sorted(share.tolist()) for share in shares)
    sums = [sum(tokens[place] for place in share.tolist()) for share in shares]
    assert max(sums) - min(sums) <= max(tokens, default=0)
