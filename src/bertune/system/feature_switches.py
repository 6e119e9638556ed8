"""Switches by which a user gets around a fault of a part that depends on the machine."""

import os
from typing import Final, Literal, get_args

from bertune.errors import ConfigError

Trick = Literal[
    "kernels",
    "fp32-products",
    "token-cache",
    "kept-memory",
    "varlen-attention",
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

    The variable holds names with commas between them. `kernels`: compiled kernels. `fp32-products`: float32 products by
    the faster of two libraries where it is as exact. `token-cache`: tokens that were made once are read again.
    `kept-memory`: what a training step frees is kept for the next.

    On a GPU, `varlen-attention`: flash attention on packed tokens.

    Raises:
        ConfigError: it names something else.
    """
    return trick in check_variable()
