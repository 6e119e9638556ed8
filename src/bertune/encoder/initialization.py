"""How new parameters start."""

import torch
from torch import nn


def initialize(module: nn.Module, initializer_range: float, generator: torch.Generator | None = None) -> None:
    """Sets every parameter below `module` as the original does.

    Weights and embeddings: normal with the given deviation, cut at two deviations. Biases 0, norms 1 and 0.

    Source: google-research/bert, `create_initializer` (`tf.truncated_normal_initializer`).

    Args:
        module: whose parameters are set, in the order of `modules()`.
        initializer_range: the standard deviation before the cut.
        generator: where the draws come from; None is torch's default.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            bound = 2 * initializer_range
            nn.init.trunc_normal_(part.weight, std=initializer_range, a=-bound, b=bound, generator=generator)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
