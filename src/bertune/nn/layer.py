"""One transformer layer."""

from torch import Tensor, nn

from bertune.batches.layout import Layout
from bertune.nn.attention import SelfAttention
from bertune.nn.dropout import Dropout
from bertune.nn.feed_forward import FeedForward
from bertune.nn.norm import Norm


class TransformerLayer(nn.Module):
    """Self-attention, then feed-forward; after each: dropout, the residual, layer norm.

    Source: Devlin et al., 2018; norm after the residual, as in the released BERT.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        *,
        activation: str,
        hidden_dropout: float,
        attention_dropout: float,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden_size, num_heads, dropout=attention_dropout)
        self.attention_norm = Norm(hidden_size, eps=norm_eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation=activation)
        self.output_norm = Norm(hidden_size, eps=norm_eps)
        self.dropout = Dropout(hidden_dropout)

    def forward(self, hidden_states: Tensor, layout: Layout, *, first_only: bool = False) -> Tensor:
        """Maps (tokens, hidden_size) to the same, or to (sequences, hidden_size) of the first tokens alone."""
        attended = self.dropout(self.attention(hidden_states, layout, first_only=first_only))
        if first_only:
            hidden_states = hidden_states[layout.first_tokens]
        hidden_states = self.attention_norm(hidden_states + attended)
        transformed = self.dropout(self.feed_forward(hidden_states))
        output: Tensor = self.output_norm(hidden_states + transformed)
        return output
