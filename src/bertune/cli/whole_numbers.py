"""Whole numbers on the command line, of which the library would round `2.5` to 2 without a word."""

from typing import Any

from bertune.errors import ConfigError
from bertune.wording.nearest import shorten


def refuse_fractions(arguments: Any) -> None:
    """Refuses a number with a fraction where a whole one is meant; `30.0` is one.

    Args:
        arguments: of a verb, with the words that they were made of, from cyclopts.

    Raises:
        ConfigError: names the flag, or the variable or setting, and the number.
    """
    for argument in arguments:
        if type(argument.value) is not int:
            continue
        for token in argument.tokens:
            if "." in token.value and float(token.value) != argument.value:
                name = token.keyword or argument.name
                raise ConfigError(f"{name}: '{shorten(token.value)}' is not a whole number")
