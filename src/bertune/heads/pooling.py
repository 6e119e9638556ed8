"""From the vectors of all tokens to one vector a sequence."""

from typing import Literal

from torch import Tensor

from bertune.batches.layout import Layout

Pooling = Literal["cls", "mean"]


def mean_pool(hidden_states: Tensor, layout: Layout) -> Tensor:
    """Averages the tokens of each sequence, [CLS] and [SEP] included.

    Args:
        hidden_states: (tokens, hidden_size), packed.
        layout: where each sequence starts and ends.

    Returns:
        (sequences, hidden_size).

    Source: Reimers and Gurevych, 2019 (https://arxiv.org/abs/1908.10084), the pooling of sentence-transformers.
    """
    sums = hidden_states.new_zeros(len(layout), hidden_states.shape[1])
    sums = sums.index_add(0, layout.sequence_of_token, hidden_states)
    lengths = layout.sequence_lengths.to(hidden_states)
    return sums / lengths[:, None]
