"""The labels of a task, in the order of their ids."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from bertune.data.given_values import described, label_words_in
from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean, shorten


@dataclass(frozen=True)
class LabelSet:
    """The label words of a classification task; the position of a word is its id.

    Args:
        names: the words, each once, none blank.

    Example:
        >>> labels = bertune.LabelSet.from_values([10, 9, 9])
        >>> labels.names, labels.index("10")
        (('9', '10'), 1)
    """

    names: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in self.names:
            if not isinstance(name, str):
                raise ConfigError(f"{described(name)} is no label word", hint="LabelSet.from_values takes numbers too")
        ids = {name: number for number, name in enumerate(self.names)}
        if len(ids) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ConfigError(f"each label must be named once; named more than once: {', '.join(twice)}")
        if any(not name.strip() for name in self.names):
            raise ConfigError("a label must not be blank")
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def from_values(cls, values: Iterable[object]) -> "LabelSet":
        """Makes a label set of the labels seen in the training data.

        The order depends on the words alone, never on the order of rows: by value when every word is an integer
        (so 10 follows 9), else by code point.

        Args:
            values: label words, repeated as often as they occur; numbers become the words that a file would hold. Or
                lists of them.

        Raises:
            DataError: a value is missing, blank or no label; names its place.
        """
        # Their order does not matter, so a set or the keys of a count will do.
        given = list(values) if isinstance(values, Set | Mapping) else values
        found, sets = label_words_in(given, "values")
        words = set(found or ()).union(*(sets or ()))
        if all(_is_integer(word) for word in words):
            return cls(tuple(sorted(words, key=lambda word: (int(word), word))))
        return cls(tuple(sorted(words)))

    def with_positive(self, name: str) -> "LabelSet":
        """Puts one of two labels last, which makes it the one that F1 and a threshold are about.

        Args:
            name: of the two.

        Raises:
            ConfigError: there are not two labels, or this is none of them.

        Example:
            >>> bertune.LabelSet(("fraud", "ok")).with_positive("fraud").names
            ('ok', 'fraud')
        """
        if len(self.names) != 2:
            raise ConfigError(f"only of two labels one is the positive one; there are {len(self.names)}")
        if name not in self.names:
            raise ConfigError(
                f"'{shorten(name)}' is no label; there are {' and '.join(map(shorten, self.names))}",
                hint=did_you_mean(name, self.names),
            )
        return LabelSet((*(other for other in self.names if other != name), name))

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
