"""Encoders of the speed benchmarks, by name; without torch, so that the harness stays small."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class ModelShape:
    """How an encoder is measured.

    Args:
        steps: of a slice, which lasts one to ten seconds a system.
        batch_size: examples of a step.
        max_length: tokens of an example at most.
        is_joined: whether the texts of an example are joined from as many sentences as fill `max_length`.
        is_bert: whether the lesson's own formats hold it.
        layers: whose products are counted; None counts none.
    """

    steps: int
    batch_size: int = 32
    max_length: int = 128
    is_joined: bool = False
    is_bert: bool = False
    layers: Literal["bert", "modernbert"] | None = "bert"


SHAPES: Final = {
    "minilm": ModelShape(8, is_bert=True),
    "tiny": ModelShape(40, is_bert=True),
    "base": ModelShape(3, is_bert=True),
    "roberta": ModelShape(2),
    "distilbert": ModelShape(3),
    "xlm-roberta": ModelShape(2),
    "deberta-v3-small": ModelShape(3, layers=None),
    "modernbert": ModelShape(2, layers="modernbert"),
    "modernbert-long": ModelShape(1, batch_size=4, max_length=2048, is_joined=True, layers="modernbert"),
}
