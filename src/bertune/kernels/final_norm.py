"""The norm above the last layer, where an encoder has one: of the wanted rows alone, in float32, by torch."""

import torch
from torch import Tensor

from bertune.kernels.workspace import Workspace
from bertune.nn.norm import Norm


class FinalNorm:
    """Normalizes what the layers give, forward and backward.

    Args:
        workspace: has its gradients, under `final_norm`.
        norm: whose parameters are read.
    """

    def __init__(self, workspace: Workspace, norm: Norm) -> None:
        self.workspace = workspace
        self.norm = norm

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps (rows, hidden_size) float32 to the same."""
        weight, bias = self._parameters()
        self._hidden = hidden
        out, self._mean, self._rstd = torch.native_layer_norm(hidden, hidden.shape[1:], weight, bias, self.norm.eps)
        return out

    def backward(self, gradient: Tensor, *, accumulate: bool) -> Tensor:
        """Maps the gradient of the last result to that of what it was made of; fills those of the parameters."""
        weight, bias = self._parameters()
        wanted = [True, True, bias is not None]
        dx: Tensor
        dx, *found = torch.ops.aten.native_layer_norm_backward(
            gradient, self._hidden, self._hidden.shape[1:], self._mean, self._rstd, weight, bias, wanted
        )
        for name, value in zip(("weight", "bias"), found, strict=True):
            if value is not None:
                into = self.workspace.gradients[f"final_norm.{name}"]
                into.copy_(into + value if accumulate else value)
        return dx

    def _parameters(self) -> tuple[Tensor, Tensor | None]:
        bias = self.norm.bias
        return self.norm.weight.detach(), None if bias is None else bias.detach()
