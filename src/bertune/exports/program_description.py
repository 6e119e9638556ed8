"""What the program that writes a SavedModel must know of the model, beside its weights."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ProgramDescription:
    """A model without its weights; it passes between two processes as a JSON file.

    Args:
        layers: of the encoder.
        heads: of each layer.
        activation: of the feed-forward parts: gelu, gelu_tanh, relu, silu or quick_gelu.
        norm_epsilon: of the layer norms.
        pooling: cls or mean.
        probabilities: what makes them of logits; None for values.
        assets: paths of the files that go into the export.
    """

    layers: int
    heads: int
    activation: str
    norm_epsilon: float
    pooling: str
    probabilities: Literal["softmax", "sigmoid"] | None
    assets: tuple[str, ...]
