"""Order of examples: a pure function of seed and epoch, so that nothing need be replayed to resume."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def epoch_order(num_examples: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Returns the order of the examples in an epoch.

    Args:
        num_examples: examples in the data set.
        seed: of the run.
        epoch: from 0.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def steps_in_epoch(num_examples: int, batch_size: int) -> int:
    """Returns the optimizer steps of an epoch; the last, smaller batch is trained on too."""
    return -(-num_examples // batch_size)


def batches_of(order: NDArray[np.int64], batch_size: int, *, first: int = 0) -> Iterator[NDArray[np.int64]]:
    """Cuts an order into batches of at most `batch_size` examples.

    Args:
        order: of the examples of an epoch.
        batch_size: examples of a batch; the last may have fewer.
        first: the batch to begin with; those before it cost nothing.
    """
    for start in range(first * batch_size, len(order), batch_size):
        yield order[start : start + batch_size]


def shares_by_tokens(tokens: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Deals out examples, or batches, so that each share has about as many tokens; the longest first.

    Args:
        tokens: of each.
        count: of shares; some are empty where there are fewer examples.

    Returns:
        The numbers of those of each share, in their order; together they are each once.
    """
    if count == 1:
        return [np.arange(len(tokens))]
    sums, shares = [0] * count, [list[int]() for _ in range(count)]
    for place in np.argsort(-tokens, kind="stable").tolist():
        least = sums.index(min(sums))
        sums[least] += int(tokens[place])
        shares[least].append(place)
    return [np.array(sorted(share), dtype=np.int64) for share in shares]


def batches_by_tokens(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Cuts examples into batches of similar length and at most `max_tokens` tokens, for evaluation and prediction.

    Args:
        lengths: tokens of each example.
        max_tokens: of a batch; a longer single example is a batch of its own.

    Yields:
        Indices of examples; together they are each example once, longest first so that memory peaks at once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, max_tokens // max(1, int(lengths[order[start]])))
        yield order[start:stop]
        start = stop
