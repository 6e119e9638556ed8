"""Token statistics of a split: lengths, how many are too long, and what the vocabulary cannot spell."""

from collections.abc import Iterator
from dataclasses import dataclass

from bertune.audit.findings import PLACES_SHOWN, Finding
from bertune.audit.length_counts import length_line
from bertune.wording.counts import share_of
from bertune.wording.metric_text import part_of

_MUCH_CUT = 0.05
"""Share of the examples from which on truncation is a finding."""
_MANY_UNKNOWN = 0.01
"""Share of the tokens from which on unknown ones are a finding."""
_MANY_ROWS = 0.05
"""Share of the examples with an unknown word from which on they are one."""
_MOST_UNKNOWN = 0.2
"""Share of the tokens from which on the vocabulary is another language's."""


@dataclass(frozen=True)
class UnknownCharacter:
    """A character that the vocabulary has not.

    Args:
        character: itself.
        code: ``U+`` and four to six hexadecimal digits.
        name: in Unicode, in small letters; empty for those without one.
        words: unknown words that hold it.
    """

    character: str
    code: str
    name: str
    words: int


@dataclass(frozen=True)
class TokenFigures:
    """Token statistics of a split.

    Args:
        max_length: most tokens of an example, special tokens included.
        lengths: quantiles and mean of the tokens of an example, special tokens included.
        histogram: at most ten ranges of that number, each ``from``, ``to`` and ``count``.
        rows: examples.
        over_length: those with more tokens than `max_length`.
        loses_tokens: whether these lose tokens; they do not where they are read in windows.
        tokens: of all examples, special tokens not counted.
        unknown: those that stand for what the vocabulary cannot spell.
        unknown_rows: examples with at least one.
        unknown_characters: which characters cause it, the most frequent first; at most ten.
        unknown_examined: unknown words that were looked at for that.
        unknown_elsewise: those of them that hold no unknown character: too long, or a mark the vocabulary cannot join.
        unknown_places: file and line of the first few examples with an unknown word.
    """

    max_length: int
    lengths: dict[str, float]
    histogram: list[dict[str, int]]
    rows: int
    over_length: int
    loses_tokens: bool
    tokens: int
    unknown: int
    unknown_rows: int
    unknown_characters: tuple[UnknownCharacter, ...]
    unknown_examined: int
    unknown_elsewise: int
    unknown_places: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Gives lines for a terminal."""
        over = f"{self.over_length:,} ({part_of(self.over_length, self.rows)}) over {self.max_length}"
        lines = [f"  tokens      {length_line(self.lengths, self.histogram)}; {over}"]
        if self.unknown:
            lines.append(f"  unknown     {self.unknown_line()}")
        return lines

    def unknown_line(self) -> str:
        """Gives the share of unknown tokens, and the characters that cause them."""
        share = f"{self.unknown:,} of {self.tokens:,} tokens ({part_of(self.unknown, self.tokens)})"
        shown = [
            f"{blame.character if blame.character.isprintable() else blame.code} {blame.words:,}"
            for blame in self.unknown_characters[:PLACES_SHOWN]
        ]
        if self.unknown_elsewise:
            shown.append(f"words too long {self.unknown_elsewise:,}")
        return share + (f", because of {', '.join(shown)}" if shown else "")


def findings_of_tokens(name: str, figures: TokenFigures) -> Iterator[Finding]:
    """Tells of much that is cut off, and of much that is unknown.

    Args:
        name: of the split.
        figures: of the split.
    """
    if figures.loses_tokens and figures.over_length > _MUCH_CUT * figures.rows:
        lose = f"{share_of(figures.over_length, figures.rows)} lose tokens at a length of {figures.max_length}"
        longest = f"{figures.lengths['maximum']:,}"
        yield Finding("truncation", f"{name}: {lose}; the longest has {longest}", figures.over_length)
    if figures.unknown > _MANY_UNKNOWN * figures.tokens or figures.unknown_rows > _MANY_ROWS * figures.rows:
        rows = share_of(figures.unknown_rows, figures.rows)
        message = f"{name}: {rows} with words that the vocabulary cannot spell, {figures.unknown_line()}"
        if figures.unknown > _MOST_UNKNOWN * figures.tokens:
            message += "; little of the texts is left: take an encoder of their language and script with --model"
        yield Finding("unknown_tokens", message, figures.unknown_rows, figures.unknown_places)
