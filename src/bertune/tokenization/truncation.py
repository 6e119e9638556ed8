"""How many tokens of a text that is too long there is room for, and which ones these are."""

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from bertune.errors import ConfigError
from bertune.tokenization.pair_template import PairTemplate

#: One integer, or an array of them.
Lengths = TypeVar("Lengths", int, npt.NDArray[np.int64])

#: Of the tokens that stay, one in four is from the beginning: 128 of 510, as Sun et al. (2019) kept them.
HEAD_SHARE: Final = 4


def check_max_length(max_length: int, *, template: PairTemplate, pairs: bool) -> None:
    """Refuses a length that leaves no token of a text.

    Raises:
        ConfigError: max_length is less than the special tokens and one token of each text.
    """
    shortest = template.shortest(pairs=pairs)
    if max_length < shortest:
        kind = "pairs" if pairs else "single texts"
        raise ConfigError(
            f"max_length is {max_length}, at least {shortest} is needed for {kind}",
            hint=f"max_length counts {' and '.join(template.pieces)} too" if template.pieces else None,
        )


def truncated_lengths(first: Lengths, second: Lengths, budget: int) -> tuple[Lengths, Lengths]:
    """Lengths of a pair after truncation to `budget` tokens, special tokens not counted.

    The original drops tokens one at a time from the end of the longer text, on a tie from the second
    (`_truncate_seq_pair` in official/nlp/data/classifier_data_lib.py). Once both are equally long it alternates, second
    text first; so a text keeps what the other leaves, but never less than its half of the budget, rounded up for the
    first text and down for the second.

    Args:
        first: tokens of the first text.
        second: tokens of the second text.
        budget: tokens for both, at least 0.
    """
    first_half, second_half = budget - budget // 2, budget // 2
    if isinstance(first, int):
        kept_first = min(first, max(budget - second, first_half))
        return kept_first, min(second, max(budget - first, second_half))
    kept = np.minimum(first, np.maximum(budget - second, first_half))
    return kept, np.minimum(second, np.maximum(budget - first, second_half))


def head_lengths(kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Says how many of the tokens that stay of a long text are its first ones: a quarter, rounded up.

    Source: Sun et al., 2019 (https://arxiv.org/abs/1905.05583), who kept 128 + 382 of 510 tokens.
    """
    return -(-kept // HEAD_SHARE)


def window_counts(whole: npt.NDArray[np.int64], kept: npt.NDArray[np.int64], stride: int) -> npt.NDArray[np.int64]:
    """Says how many windows show every token of a text.

    Args:
        whole: tokens of each text.
        kept: how many of them each window has room for.
        stride: tokens by which each window begins after the one before.
    """
    return 1 - (kept - whole) // stride
