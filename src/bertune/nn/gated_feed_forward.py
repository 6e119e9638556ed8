"""The feed-forward part of a layer whose activation is multiplied by a gate."""

from torch import Tensor, nn

from bertune.nn.dense import Dense
from bertune.nn.dropout import Dropout
from bertune.nn.feed_forward import ACTIVATIONS


class GatedFeedForward(nn.Module):
    """Widens each token twice, to what is activated and to its gate, and narrows their product.

    One product makes both: `input_and_gate.weight` is (2 x intermediate_size, hidden_size), the gate behind.

    Source: Shazeer, 2020 (https://arxiv.org/abs/2002.05202), with GELU.
    """

    def __init__(
        self, hidden_size: int, intermediate_size: int, *, activation: str, dropout: float, bias: bool
    ) -> None:
        super().__init__()
        self.input_and_gate = Dense(hidden_size, 2 * intermediate_size, bias=bias)
        self.output = Dense(intermediate_size, hidden_size, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Maps (tokens, hidden_size) to (tokens, hidden_size)."""
        wide, gate = self.input_and_gate(hidden_states).chunk(2, dim=-1)
        output: Tensor = self.output(self.dropout(self.activation(wide) * gate))
        return output
