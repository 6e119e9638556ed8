"""The labels of a task, in the order of their ids."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bertune.errors import ConfigError


@dataclass(frozen=True)
class LabelSet:
    """The label words of a classification task; the position of a word is its id.

    Args:
        names: the words, each once, none blank.
    """

    names: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {name: number for number, name in enumerate(self.names)}
        if len(ids) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ConfigError(f"each label must be named once; named more than once: {', '.join(twice)}")
        if any(not name.strip() for name in self.names):
            raise ConfigError("a label must not be blank")
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def from_values(cls, values: Iterable[str]) -> "LabelSet":
        """Makes a label set of the labels seen in the training data.

        The order depends on the words alone, never on the order of rows: by value when every word is an integer
        (so 10 follows 9), else by code point.

        Args:
            values: label words, repeated as often as they occur.
        """
        words = set(values)
        if all(_is_integer(word) for word in words):
            return cls(tuple(sorted(words, key=lambda word: (int(word), word))))
        return cls(tuple(sorted(words)))

    def index(self, name: str) -> int:
        """Gives the id of a label word.

        Raises:
            KeyError: the word is no label of this set.
        """
        return self._ids[name]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._ids


def _is_integer(word: str) -> bool:
    digits = word[1:] if word[:1] in ("-", "+") else word
    # Python refuses to convert more than 4,300 digits; such a word is an identifier, not a number.
    return digits.isascii() and digits.isdigit() and len(digits) <= 100
