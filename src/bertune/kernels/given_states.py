"""Hidden states that others computed, in the place of the embeddings and the lowest layers."""

from torch import Tensor

from bertune.batches.batch import Batch
from bertune.kernels.calls import Calls, Shape
from bertune.kernels.distances import rows_behind
from bertune.kernels.workspace import Workspace


class GivenStates:
    """Stands where an `EmbeddingPlan` does, with the same calls; nothing goes back through it.

    Args:
        workspace: its buffers.
        shape: of the batches.
    """

    def __init__(self, workspace: Workspace, shape: Shape) -> None:
        # The first layer may want room behind its input.
        room = shape.padded + rows_behind(workspace.encoder, shape)
        self._states = workspace.buffer("given", room, workspace.encoder.config.hidden_size)[: shape.padded]

    def take(self, batch: Batch) -> None:
        """Copies what a batch brings to where the first layer reads it, with zeros behind it."""
        assert batch.lower_states is not None
        tokens = batch.layout.num_tokens
        self._states[:tokens].copy_(batch.lower_states)
        self._states[tokens:].zero_()

    def forward(self, _calls: Calls) -> Tensor:
        """Returns the states, (padded tokens, hidden_size)."""
        return self._states

    def backward(self, _calls: Calls, _first: Tensor, _second: Tensor | None, *, accumulate: bool) -> None:
        """Lets the gradient end here."""
        del accumulate

    def add_up_token_rows(self) -> None:
        """Does nothing: no row of the token table has a gradient."""
