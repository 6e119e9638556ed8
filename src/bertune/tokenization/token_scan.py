"""What a tokenizer makes of texts: how long they become, what is cut off, what the vocabulary cannot spell and why."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.audit.findings import PLACES_SHOWN
from bertune.audit.length_counts import LengthCounts
from bertune.audit.token_figures import TokenFigures, UnknownCharacter
from bertune.data.examples import Examples
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer_protocol import Tokenizer

_WORDS_EXAMINED = 10_000
_CHARACTERS_SHOWN = 10
_WORDS_REMEMBERED = 200_000
_UNKNOWN = 1 << 32
"""Tokens of a word, and so many times its unknown ones, are one number: a sum over words adds up both."""


class TokenScan:
    """Counts what a tokenizer makes of a split, a chunk at a time.

    Args:
        tokenizer: makes the ids.
        max_length: most tokens of an example, special tokens included.
        loses_tokens: whether longer ones lose tokens; they do not where they are read in windows.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, *, loses_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._lengths = LengthCounts()
        self._loses_tokens = loses_tokens
        self._over_length = self._tokens = self._unknown = self._unknown_rows = 0
        self._word_counts: dict[str, int] = {}
        self._unknown_words: Counter[str] = Counter()
        self._places: list[str] = []
        self._is_unknown: dict[str, bool] = {}

    def add(self, examples: Examples) -> None:
        """Tokenizes a chunk whole, so that the lengths are those before truncation."""
        self._add(examples, *self._tokenize(examples))

    def add_encoded(self, examples: Examples, encoded: EncodedExamples) -> None:
        """Does the same for a chunk that was encoded already, a row each: only texts over the length are tokenized."""
        tokens = encoded.example_lengths - self._special_tokens(examples)
        ends = encoded.offsets if encoded.example_offsets is None else encoded.offsets[encoded.example_offsets]
        unknown = self._unknown_of(encoded.token_ids, ends)
        over = np.flatnonzero(encoded.over_length)
        tokens[over], unknown[over] = self._tokenize(examples.select(over.tolist()))
        self._add(examples, tokens, unknown)

    def _tokenize(self, examples: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gives tokens and unknown tokens of each row, special tokens not counted, (rows,) both."""
        tokens = np.zeros(len(examples), np.int64)
        unknown = np.zeros(len(examples), np.int64)
        for texts in (examples.texts_a, examples.texts_b):
            if texts is not None:
                found, strange = self._count(texts)
                tokens += found
                unknown += strange
        return tokens, unknown

    def _add(self, examples: Examples, tokens: NDArray[np.int64], unknown: NDArray[np.int64]) -> None:
        self._tokens += int(tokens.sum())
        lengths = tokens + self._special_tokens(examples)
        self._lengths.add_all(lengths)
        self._over_length += int((lengths > self._max_length).sum())
        self._blame(unknown, examples)

    def figures(self) -> TokenFigures:
        """Gives what was counted."""
        words: Counter[str] = Counter()
        elsewise = 0
        for word, count in self._unknown_words.items():
            unknown = {character for character in word if self._cannot_spell(character)}
            words.update(dict.fromkeys(unknown, count))
            elsewise += 0 if unknown else count
        shown = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:_CHARACTERS_SHOWN]
        return TokenFigures(
            max_length=self._max_length,
            lengths=self._lengths.summary(),
            histogram=self._lengths.histogram(),
            loses_tokens=self._loses_tokens,
            rows=len(self._lengths),
            over_length=self._over_length,
            tokens=self._tokens,
            unknown=self._unknown,
            unknown_rows=self._unknown_rows,
            unknown_characters=tuple(
                UnknownCharacter(character, f"U+{ord(character):04X}", unicodedata.name(character, "").lower(), count)
                for character, count in shown
            ),
            unknown_examined=self._unknown_words.total(),
            unknown_elsewise=elsewise,
            unknown_places=tuple(self._places),
        )

    def _count(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gives tokens and unknown tokens of each text, (texts,) both.

        Where a space parts tokens whatever stands around it, a word is tokenized once: most words occur again.
        """
        if self._tokenizer.white_space == "separates":
            known = self._word_counts
            words = [text.split(" ") for text in texts]
        else:
            known = {}
            words = [[text] for text in texts]
        if len(known) > _WORDS_REMEMBERED:
            known.clear()
        new = list({word for row in words for word in row if word not in known})
        ids, offsets = self._tokenizer.encode_flat(new)
        unknown = self._unknown_of(ids, offsets)
        known.update(zip(new, (np.diff(offsets) + unknown * _UNKNOWN).tolist(), strict=True))
        sums = np.fromiter((sum(map(known.__getitem__, row)) for row in words), np.int64, len(words))
        return sums % _UNKNOWN, sums // _UNKNOWN

    def _blame(self, unknown: NDArray[np.int64], examples: Examples) -> None:
        """Counts unknown tokens by row, and keeps the words that became them."""
        rows = np.flatnonzero(unknown).tolist()
        self._unknown += int(unknown.sum())
        self._unknown_rows += len(rows)
        self._places += [examples.where(row) for row in rows[: PLACES_SHOWN - len(self._places)]]
        for row in rows:
            if self._unknown_words.total() >= _WORDS_EXAMINED:
                break
            words = examples.texts_a[row].split() + (examples.texts_b[row].split() if examples.texts_b else [])
            self._unknown_words.update(compress(words, self._unknown_of(*self._tokenizer.encode_flat(words))))

    def _cannot_spell(self, character: str) -> bool:
        """Whether the vocabulary lacks a character, at the beginning of a word or after a letter."""
        known = self._is_unknown.get(character)
        if known is None:
            found = self._unknown_of(*self._tokenizer.encode_flat([character, "a" + character]))
            known = self._is_unknown[character] = bool(found.any())
        return known

    def _special_tokens(self, examples: Examples) -> int:
        return self._tokenizer.template.special_count(pairs=examples.texts_b is not None)

    def _unknown_of(self, ids: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts the unknown tokens of each row, (rows,)."""
        unk_id = self._tokenizer.unk_id
        return _per_row(np.zeros(len(ids), bool) if unk_id is None else ids == unk_id, offsets)


def _per_row(marks: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts the marks of each row, (rows,)."""
    before = np.zeros(len(marks) + 1, np.int64)
    np.cumsum(marks, out=before[1:])
    counts: NDArray[np.int64] = np.diff(before[offsets])
    return counts
