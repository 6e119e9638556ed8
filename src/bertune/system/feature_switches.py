"""Switches by which a user gets around a fault of a part that depends on the machine."""

import os
from typing import Final, Literal, get_args

from bertune.errors import ConfigError
from bertune.system.renamed import warn_renamed

FeatureSwitch = Literal[
    "kernels",
    "fp32-products",
    "token-cache",
    "kept-memory",
    "varlen-attention",
]
VARIABLE: Final = "BERTUNE_DISABLE"
# The name of the release before, which works for one more.
EARLIER_VARIABLE: Final = "BERTUNE_WITHOUT"


def check_variable() -> list[str]:
    """Returns the features that the environment variable disables.

    Raises:
        ConfigError: it names something else, or is set by its earlier name too.
    """
    variable = VARIABLE
    if EARLIER_VARIABLE in os.environ:
        if VARIABLE in os.environ:
            raise ConfigError(f"{VARIABLE} and its earlier name, {EARLIER_VARIABLE}, are both set")
        variable = EARLIER_VARIABLE
        warn_renamed(EARLIER_VARIABLE, VARIABLE)
    named = [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]
    for name in named:
        if name not in get_args(FeatureSwitch):
            raise ConfigError(f"{variable} names {name!r}, which is none of {', '.join(get_args(FeatureSwitch))}")
    return named


def is_disabled(feature: FeatureSwitch) -> bool:
    """Returns whether the environment variable `BERTUNE_DISABLE` disables a feature.

    The variable holds names with commas between them. `kernels`: compiled kernels. `fp32-products`: float32 products by
    the faster of two libraries where it is as exact. `token-cache`: tokens that were made once are read again.
    `kept-memory`: what a training step frees is kept for the next.

    On a GPU, `varlen-attention`: flash attention on packed tokens.

    Raises:
        ConfigError: it names something else.
    """
    return feature in check_variable()
