"""From the vectors of all tokens to one vector a sequence, and from the logits of windows to those of an example."""

from collections.abc import Callable
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertune.batches.batch import Batch
from bertune.batches.layout import Layout
from bertune.nn.dense import Dense
from bertune.nn.dropout import Dropout
from bertune.nn.norm import NormOptions

PoolerActivation = Literal["tanh", "gelu", "relu"]
_ACTIVATIONS: Final[dict[PoolerActivation, Callable[[Tensor], Tensor]]] = {
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "relu": F.relu,
}


class Pooler(nn.Module):
    """A dense layer and an activation on one vector a sequence, such as that of [CLS].

    Args:
        hidden_size: width of a vector.
        activation: behind the dense layer.
        dropout: before it.
        bias: whether the dense layer adds something.
        norm: the kind of norm behind the activation; None for none.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        activation: PoolerActivation = "tanh",
        dropout: float = 0.0,
        bias: bool = True,
        norm: NormOptions | None = None,
    ) -> None:
        super().__init__()
        self.activation: PoolerActivation = activation
        self.dropout = Dropout(dropout)
        self.dense = Dense(hidden_size, hidden_size, bias=bias)
        self.norm = None if norm is None else norm.norm(hidden_size)

    def forward(self, vectors: Tensor) -> Tensor:
        """Maps (sequences, hidden_size) to (sequences, hidden_size)."""
        activated = _ACTIVATIONS[self.activation](self.dense(self.dropout(vectors)))
        return activated if self.norm is None else self.norm(activated)


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


def pool_windows(logits: Tensor, batch: Batch) -> Tensor:
    """Averages the logits of each example's windows; without windows nothing is done.

    Args:
        logits: (sequences, labels).
        batch: says which example each sequence is a window of.

    Returns:
        (examples, labels).
    """
    examples = batch.example_of_sequence
    if examples is None:
        return logits
    counts = torch.bincount(examples)
    sums = logits.new_zeros(len(counts), logits.shape[1]).index_add(0, examples, logits)
    return sums / counts[:, None]
