"""One transformer layer that normalizes what its parts take, and not what they give."""

from torch import Tensor, nn

from bertune.batches.layout import Layout
from bertune.nn.attention import SelfAttention
from bertune.nn.dropout import Dropout
from bertune.nn.gated_feed_forward import GatedFeedForward
from bertune.nn.norm import NormOptions


class PreNormLayer(nn.Module):
    """Self-attention, then feed-forward; before each a layer norm, after each the residual.

    Args:
        hidden_size: width of a hidden state.
        attention: the layer's own.
        feed_forward: the layer's own.
        norm: the kind of norms.
        normalize_first: whether there is a norm before attention; the first layer's input is normalized already.
        attention_dropout: behind attention.

    Source: Xiong et al., 2020 (https://arxiv.org/abs/2002.04745).
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        attention: SelfAttention,
        feed_forward: GatedFeedForward,
        norm: NormOptions,
        normalize_first: bool,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = norm.norm(hidden_size) if normalize_first else None
        self.attention = attention
        self.feed_forward_norm = norm.norm(hidden_size)
        self.feed_forward = feed_forward
        self.dropout = Dropout(attention_dropout)

    def forward(self, hidden_states: Tensor, layout: Layout, *, first_only: bool = False) -> Tensor:
        """Maps (tokens, hidden_size) to the same, or to (sequences, hidden_size) of the first tokens alone."""
        taken = hidden_states if self.attention_norm is None else self.attention_norm(hidden_states)
        attended = self.dropout(self.attention(taken, layout, first_only=first_only))
        if first_only:
            hidden_states = hidden_states[layout.first_tokens]
        hidden_states = hidden_states + attended
        output: Tensor = hidden_states + self.feed_forward(self.feed_forward_norm(hidden_states))
        return output
