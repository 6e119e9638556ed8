"""Switches that take one trick of the training engine away, so that a benchmark can tell what each is worth."""

import os
from typing import Final, Literal, get_args

from bertune.errors import ConfigError

Trick = Literal[
    "kernels",
    "row-rounding",
    "first-only",
    "compact-vocabulary",
    "fp32-products",
    "packed-tokens",
    "fused-qkv",
    "kept-calls",
    "one-pass-step",
    "turned-matrices",
    "prepacked-weights",
    "sorted-batches",
    "token-cache",
    "kept-memory",
    "length-groups",
    "bulk-dropout",
    "gather-backward",
    "resident-data",
    "varlen-attention",
    "cuda-graphs",
]
VARIABLE: Final = "BERTUNE_WITHOUT"


def check_variable() -> list[str]:
    """Returns the tricks that the variable names.

    Raises:
        ConfigError: it names something else.
    """
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for name in named:
        if name not in get_args(Trick):
            raise ConfigError(f"{VARIABLE} names {name!r}, which is none of {', '.join(get_args(Trick))}")
    return named


def without(trick: Trick) -> bool:
    """Returns whether the environment variable `BERTUNE_WITHOUT` names a trick.

    The variable holds names with commas between them. `kernels`: compiled kernels. `row-rounding`: token counts rounded
    up. `first-only`: the last layer computed for [CLS] alone. `compact-vocabulary`: only rows that occur are trained.
    `fp32-products`: float32 products by the faster of two libraries where it is as exact. `sorted-batches`: prediction
    in batches of similar length that hold many tokens, not in batches of 32 as they come. `token-cache`: tokens that
    were made once are read again. `kept-memory`: what a training step frees is kept for the next.

    Of the kernels, `packed-tokens`: products over real tokens alone, not over as many rows as there are with each
    sequence padded to the longest; `fused-qkv`: queries, keys and values by one product; `kept-calls`: the calls of a
    pass made once for each shape of batch; `one-pass-step`: AdamW clips, updates and writes the bfloat16 copy in one
    pass over memory; `turned-matrices`: weights' gradients from a matrix that was turned first; `prepacked-weights`:
    prediction from weights that were laid out for the product once.

    Of torch's operators, `length-groups`: attention in rectangles of sequences of similar length; `bulk-dropout`:
    random bits drawn by the word; `gather-backward`: the gradient of a gather by the inverse gather.

    On a GPU, `resident-data`: the data set lies there and no step waits; `varlen-attention`: flash attention on packed
    tokens; `cuda-graphs`: steps are recorded and replayed.

    Raises:
        ConfigError: it names something else.
    """
    return trick in check_variable()
