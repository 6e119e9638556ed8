"""One transformer layer."""

from torch import Tensor, nn

from bertune.batches.layout import Layout
from bertune.nn.attention import SelfAttention
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.dropout import Dropout
from bertune.nn.feed_forward import FeedForward
from bertune.nn.norm import Norm
from bertune.nn.relative_positions import RelativeRows


class TransformerLayer(nn.Module):
    """Self-attention, then feed-forward; after each: dropout, the residual, layer norm.

    Args:
        attention: as wide as the hidden states.
        intermediate_size: width inside the feed-forward part.
        activation: inside the feed-forward part.
        dropout: before each residual.
        norm_eps: in the denominator of norms.

    Source: Devlin et al., 2018; norm after the residual, as in the released BERT.
    """

    def __init__(
        self,
        attention: SelfAttention | DisentangledSelfAttention,
        intermediate_size: int,
        *,
        activation: str,
        dropout: float,
        norm_eps: float,
    ) -> None:
        super().__init__()
        hidden_size = attention.output.out_features
        self.attention = attention
        self.attention_norm = Norm(hidden_size, eps=norm_eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation=activation)
        self.output_norm = Norm(hidden_size, eps=norm_eps)
        self.dropout = Dropout(dropout)

    def forward(
        self, hidden_states: Tensor, layout: Layout, *, first_only: bool = False, relative: RelativeRows | None = None
    ) -> Tensor:
        """Maps (tokens, hidden_size) to the same, or to (sequences, hidden_size) of the first tokens alone.

        Args:
            hidden_states: (tokens, hidden_size).
            layout: where each sequence starts and ends.
            first_only: whether only the first token of each sequence is wanted.
            relative: the vectors of distances, for an attention that asks for them.
        """
        shared = {} if relative is None else {"relative": relative}
        attended = self.dropout(self.attention(hidden_states, layout, first_only=first_only, **shared))
        if first_only:
            hidden_states = hidden_states[layout.first_tokens]
        hidden_states = self.attention_norm(hidden_states + attended)
        transformed = self.dropout(self.feed_forward(hidden_states))
        output: Tensor = self.output_norm(hidden_states + transformed)
        return output
