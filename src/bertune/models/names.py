"""Tables of the names that files give to the parameters of a model, read both ways."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

# What stands for a part that differs: the number of a layer, and the last word of a name, such as `weight`.
_PLACEHOLDERS: Final = {"{layer}": r"(?P<layer>\d{1,9})", "{kind}": r"(?P<kind>\w+)"}


class Place(NamedTuple):
    """Where a tensor of a file belongs.

    Args:
        parameter: its name in the model.
        part: which of the tensors that make it up, from 0.
    """

    parameter: str
    part: int


@dataclass(frozen=True)
class NameTable:
    """The names of a model's parameters, and those of a file's tensors.

    Args:
        rows: a parameter's name in the model to the tensors that make it up in a file, joined along the first axis in
            this order. `{layer}` stands for a number, `{kind}` for a word such as `weight`; each is in every name of
            its row, or in none.
    """

    rows: Mapping[str, tuple[str, ...]]

    def stored_names(self, parameter: str) -> tuple[str, ...]:
        """Returns the tensors that make up a parameter.

        Raises:
            KeyError: a model has no such parameter.
        """
        for pattern, stored in self._by_parameter:
            if match := pattern.fullmatch(parameter):
                return tuple(name.format(**match.groupdict()) for name in stored)
        raise KeyError(parameter)

    def has(self, parameter: str) -> bool:
        """Whether a model may have a parameter of this name."""
        return any(pattern.fullmatch(parameter) for pattern, _ in self._by_parameter)

    def place_of(self, stored: str) -> Place | None:
        """Returns the parameter that a tensor is, or is a part of; None for a tensor that is of none."""
        for pattern, parameter, part in self._by_stored:
            if match := pattern.fullmatch(stored):
                return Place(parameter.format(**match.groupdict()), part)
        return None

    def layer_of(self, stored: str) -> int | None:
        """Returns the number of the layer that a tensor lies in by the beginning of its name, whatever the rest is."""
        match = self._of_layers.match(stored)
        return None if match is None else int(match["layer"])

    @cached_property
    def _by_parameter(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        return [(_pattern(parameter), stored) for parameter, stored in self.rows.items()]

    @cached_property
    def _by_stored(self) -> list[tuple[re.Pattern[str], str, int]]:
        return [
            (_pattern(name), parameter, part)
            for parameter, stored in self.rows.items()
            for part, name in enumerate(stored)
        ]

    @cached_property
    def _of_layers(self) -> re.Pattern[str]:
        heads = {name.partition("{layer}")[0] for stored in self.rows.values() for name in stored if "{layer}" in name}
        return re.compile(f"(?:{'|'.join(sorted(map(re.escape, heads)))}){_PLACEHOLDERS['{layer}']}[./]")


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for placeholder, group in _PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), group)
    return re.compile(pattern)
