"""How new parameters start."""

import hashlib
from collections.abc import Collection

import torch
from torch import nn


def draw_seed() -> int:
    """Draws the seed of new weights from torch's default generator."""
    return int(torch.randint(1 << 62, (), device="cpu"))


def initialize(
    module: nn.Module, initializer_range: float, *, seed: int | None = None, only: Collection[str] | None = None
) -> None:
    """Sets every parameter below `module` as the original does.

    Weights and embeddings: normal with the given deviation, cut at two deviations. Biases 0, norms 1 and 0. Each weight
    has a generator of its own, seeded by `seed` and its name: what is drawn does not depend on what else is drawn, so
    weights that a checkpoint brings need not be.

    Source: google-research/bert, `create_initializer` (`tf.truncated_normal_initializer`).

    Args:
        module: whose parameters are set. Parameters without memory (on the meta device) are passed over.
        initializer_range: the standard deviation before the cut.
        seed: of the draws; None takes one from torch's default generator.
        only: names of the parameters that are set; None sets all.
    """
    seed = draw_seed() if seed is None else seed
    for part_name, part in module.named_modules():
        for short, parameter in part.named_parameters(recurse=False):
            name = f"{part_name}.{short}".lstrip(".")
            if parameter.is_meta or (only is not None and name not in only):
                continue
            if short == "bias":
                nn.init.zeros_(parameter)
            elif isinstance(part, nn.LayerNorm):
                nn.init.ones_(parameter)
            else:
                _draw(parameter, initializer_range, f"{seed} {name}")


def _draw(weight: nn.Parameter, deviation: float, key: str) -> None:
    digest = hashlib.sha256(key.encode()).digest()
    generator = torch.Generator(weight.device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator)
