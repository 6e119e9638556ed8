"""Where the special pieces of a model family stand: around one text, and around the two of a pair."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bertune.tokenization.encoded_examples import offsets_of, ragged_positions

#: Where in the flat ids a stretch of each sequence begins, and how many tokens it has; each (sequences,).
Stretch = tuple[NDArray[np.int64], NDArray[np.int64]]
#: Special pieces that stand next to one another: before a text, between two, or behind.
Gap = tuple[str, ...]

_PLACES: Final = ("{a}", "{b}")
# Pieces in brackets may stand without a space between them, as those of `</s></s>` do.
_PIECE: Final = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|[^\s<>\[\]{}]+")
#: What `text_of_token` gives for special tokens.
NO_TEXT: Final = -1


@dataclass(frozen=True)
class PairTemplate:
    """The special pieces of a model family, written around the places of the texts.

    Args:
        single: one text, such as `[CLS] {a} [SEP]`.
        pair: two texts, such as `<s> {a} </s></s> {b} </s>`.
        has_segments: whether the second text and what stands behind it are of type 1; else all tokens are of type 0.

    Raises:
        ValueError: a text has no place, several, or one that is out of order.

    Example:
        >>> template = bertune.PairTemplate("<s> {a} </s>", "<s> {a} </s></s> {b} </s>")
        >>> template.special_count(pairs=True), template.pieces
        (4, ('<s>', '</s>'))
    """

    single: str
    pair: str
    has_segments: bool = False

    def __post_init__(self) -> None:
        self.gaps(pairs=True)  # read now, so that a mistake shows where it is made

    @cached_property
    def _gaps(self) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
        return _gaps_of(self.single, _PLACES[:1]), _gaps_of(self.pair, _PLACES)

    def gaps(self, *, pairs: bool) -> tuple[Gap, ...]:
        """Returns the special pieces before the first text, between the two, and behind the last: (texts + 1,)."""
        return self._gaps[pairs]

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """Its special pieces, each once, in the order in which they first occur."""
        return tuple(dict.fromkeys(piece for gaps in self._gaps for gap in gaps for piece in gap))

    def special_count(self, *, pairs: bool) -> int:
        """Counts the special tokens of a sequence."""
        return sum(map(len, self.gaps(pairs=pairs)))

    def room(self, max_length: int, *, pairs: bool) -> int:
        """Returns how many tokens of its texts a sequence has room for."""
        return max_length - self.special_count(pairs=pairs)

    def shortest(self, *, pairs: bool, tokens: int = 1) -> int:
        """Returns the length of a sequence that has so many tokens of each text."""
        return self.special_count(pairs=pairs) + tokens * (len(_PLACES) if pairs else 1)

    def first_lengths(self, kept: NDArray[np.int64]) -> NDArray[np.int32]:
        """Counts the tokens of type 0, which come first.

        Args:
            kept: (texts, sequences) tokens of each text.

        Returns:
            (sequences,) all of a sequence where there are no segments.
        """
        pairs = len(kept) > 1
        if pairs and self.has_segments:
            before, between, _ = self.gaps(pairs=True)
            lengths = kept[0] + len(before) + len(between)
        else:
            lengths = kept.sum(axis=0) + self.special_count(pairs=pairs)
        first: NDArray[np.int32] = lengths.astype(np.int32)
        return first

    def lay_out(
        self, ids: NDArray[Any], texts: Sequence[Sequence[Stretch]], special_ids: Mapping[str, int], dtype: DTypeLike
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Copies the tokens of each text between the special tokens.

        Args:
            ids: flat ids of the texts.
            texts: the stretches that make up each text of the sequences; one text, for pairs two.
            special_ids: id of each of `pieces`.
            dtype: of the result.

        Returns:
            Flat ids with special tokens, and offsets (sequences + 1).
        """
        gaps = [[special_ids[piece] for piece in gap] for gap in self.gaps(pairs=len(texts) > 1)]
        kept = np.sum([lengths for text in texts for _, lengths in text], axis=0)
        offsets = offsets_of(kept + sum(map(len, gaps)))
        # The piece that ends a sequence is the most frequent one in most templates, and need not be written again.
        filler = gaps[-1][-1] if gaps[-1] else 0
        flat = np.full(offsets[-1], filler, dtype)
        begin = offsets[:-1]
        for number, gap in enumerate(gaps):
            for special in gap:
                if special != filler:
                    flat[begin] = special
                begin = begin + 1
            for starts, lengths in texts[number] if number < len(texts) else ():
                flat[ragged_positions(begin, lengths)] = ids[ragged_positions(starts, lengths)]
                begin = begin + lengths
        return flat, offsets

    def text_of_token(self, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tells special tokens from those of the texts.

        Args:
            kept: (texts, sequences) tokens of each text.

        Returns:
            (tokens,) of all sequences one after another: 0 for the first text, 1 for the second, -1 for special tokens.
        """
        gaps, (texts, sequences) = self.gaps(pairs=len(kept) > 1), kept.shape
        counts = np.empty((sequences, len(gaps) + texts), np.int64)
        counts[:, ::2] = [len(gap) for gap in gaps]
        counts[:, 1::2] = kept.T
        owners = np.full(len(gaps) + texts, NO_TEXT)
        owners[1::2] = np.arange(texts)
        return np.repeat(np.tile(owners, sequences), counts.reshape(-1))


def _gaps_of(template: str, places: Sequence[str]) -> tuple[Gap, ...]:
    """Reads the pieces around the places of the texts."""
    gaps: list[list[str]] = [[]]
    for word in template.split():
        if len(gaps) <= len(places) and word == places[len(gaps) - 1]:
            gaps.append([])
            continue
        pieces = _PIECE.findall(word)
        if "".join(pieces) != word:
            raise ValueError(f"{template!r}: {word!r} is no special piece, nor the place of the next text")
        gaps[-1] += pieces
    if len(gaps) <= len(places):
        raise ValueError(f"{template!r}: there is no place {places[len(gaps) - 1]}")
    return tuple(map(tuple, gaps))


#: Devlin et al., 2018 (https://arxiv.org/abs/1810.04805). No family has fewer special pieces, so what is too short for
#: this one is too short for all.
BERT: Final = PairTemplate("[CLS] {a} [SEP]", "[CLS] {a} [SEP] {b} [SEP]", has_segments=True)
