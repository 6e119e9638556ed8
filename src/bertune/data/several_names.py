"""Several names of data as one: ``{2023.csv,2024.csv}``, as shells write them."""

import re
from collections.abc import Sequence

from bertune.errors import ConfigError

_BRACES = re.compile(r"(?P<before>[^{}]*)\{(?P<names>[^{}]*,[^{}]*)\}(?P<after>[^{}]*)", re.DOTALL)


def names_in(data: str) -> list[str]:
    """Returns the names that a name with ``{a,b}`` in it stands for, in order; of any other, itself."""
    found = _BRACES.fullmatch(data)
    if found is None:
        return [data]
    return [found["before"] + name + found["after"] for name in found["names"].split(",")]


def name_of(names: Sequence[str]) -> str:
    """Makes the one name that stands for several, such that `names_in` finds them again.

    Raises:
        ConfigError: one of several is empty, or has one of the characters by which they are told apart.
    """
    if len(names) == 1:
        return names[0]
    for name in names:
        if not name or any(sign in name for sign in "{},"):
            raise ConfigError(
                f"'{name}' cannot be given beside others, since it {'is empty' if not name else 'has {, } or a comma'}",
                hint="rename it, or name all of them by a pattern in quotes: --data 'part-*.csv'",
            )
    return "{" + ",".join(names) + "}"
