"""Low-rank adapters: what is added to a weight that does not train itself is the product of two narrow matrices.

Source: Hu et al., 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (https://arxiv.org/abs/2106.09685); names
and first values as in peft.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LoraSizes:
    """The size of adapters, and how much they weigh.

    Args:
        rank: of each product.
        alpha: the products are multiplied by alpha / rank.
    """

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What a product is multiplied by."""
        return self.alpha / self.rank


class LowRankUpdate(nn.Module):
    """Keeps a weight at what it was plus `scale * B A`, with gradients of A and B from that of the weight.

    The weight holds the sum at all times, so that whatever computes with it needs to know nothing of adapters: with
    `W = W0 + s B A` the gradients are `dB = s dW A^T` and `dA = s B^T dW`.

    Args:
        weight: (outputs, inputs), changed in place.
        start: what it was at first; None for what it is now.
        sizes: of the adapters.
        blocks: matrices that lie one above another in the weight, as queries, keys and values do; each has its own.
        generator: draws A, as peft does; B is 0, so that at first nothing is added.

    Attributes:
        a: (blocks, rank, inputs).
        b: (blocks, outputs / blocks, rank).
        start: the weight as it was.
    """

    def __init__(
        self,
        weight: Tensor,
        sizes: LoraSizes,
        *,
        blocks: int,
        generator: torch.Generator,
        start: Tensor | None = None,
    ) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self._weight = weight.detach()
        self._scale = sizes.scale
        self.start = weight.detach().clone() if start is None else start
        bound = 1 / math.sqrt(inputs)  # kaiming_uniform_ with a = sqrt(5)
        drawn = torch.empty(blocks, sizes.rank, inputs).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(drawn.to(weight.device))
        self.b = nn.Parameter(torch.zeros(blocks, outputs // blocks, sizes.rank, device=weight.device))

    def take_gradient(self, gradient: Tensor) -> None:
        """Sets the gradients of A and B from that of the weight, (outputs, inputs)."""
        blocks = gradient.float().view(self.b.shape[0], -1, gradient.shape[1])
        a, b = self.a.detach(), self.b.detach()
        self.b.grad = torch.bmm(blocks, a.mT).mul_(self._scale)
        self.a.grad = torch.bmm(b.mT, blocks).mul_(self._scale)

    def apply_update(self) -> None:
        """Brings the weight up to what A and B are."""
        with torch.no_grad():
            blocks = self.start.view(self.b.shape[0], -1, self.start.shape[1])
            summed = torch.baddbmm(blocks, self.b, self.a, alpha=self._scale)
            self._weight.copy_(summed.view_as(self.start))
