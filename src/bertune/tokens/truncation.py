"""How long each text of a pair may stay."""

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bertune.errors import ConfigError

#: What becomes of a text that is too long: see `Contract.long_text`.
LongText = Literal["first", "head-tail", "windows"]
#: One integer, or an array of them.
Lengths = TypeVar("Lengths", int, npt.NDArray[np.int64])

#: [CLS] a [SEP] with one token left of the text; [CLS] a [SEP] b [SEP] with one left of each.
SHORTEST_SINGLE = 3
SHORTEST_PAIR = 5


def check_max_length(max_length: int, *, pairs: bool) -> None:
    """Refuses a length that leaves no token of a text.

    Raises:
        ConfigError: max_length is below 3 for single texts, 5 for pairs.
    """
    shortest = SHORTEST_PAIR if pairs else SHORTEST_SINGLE
    if max_length < shortest:
        kind = "pairs" if pairs else "single texts"
        raise ConfigError(
            f"max_length is {max_length}, at least {shortest} is needed for {kind}",
            hint="max_length counts [CLS] and [SEP] too",
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
