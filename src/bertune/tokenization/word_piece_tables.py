"""BERT's tokenizer as arrays, for programs that have neither this package nor the `tokenizers` library.

What becomes of a character depends on it alone, but for two rules: a capital sigma is lower-cased by its neighbours,
and marks are put in the order of their combining classes. So a table of code points says what each one becomes, another
what it is, and the vocabulary is a trie.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import normalizers

from bertune.errors import ConfigError
from bertune.tokenization import unicode_tables
from bertune.tokenization.components import CJK, normalizer_steps, ranges
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer

#: Code points of a block; equal blocks are kept once.
BLOCK: Final = 128
#: Bits of a character's class; its combining class stands above them.
SPACE: Final = 1
ALONE: Final = 2
MARK: Final = 4
CASED: Final = 8
PASSED_OVER: Final = 16
COMBINING_SHIFT: Final = 8
#: A transition of the trie is its node, moved up by so many bits, and a code point.
NODE_SHIFT: Final = 21

_CODES: Final = 0x110000
_SURROGATES: Final = range(0xD800, 0xE000)
_CHUNK: Final = 4096
_TAKE_IDS: Final = "leave out --inputs text: the export then takes ids of tokens"
# White space that no step changes, and that neither decomposes nor has a case.
_BETWEEN: Final = " "


@dataclass(frozen=True, eq=False)
class WordPieceTables:
    """The arrays, all int32 but for the transitions, which are int64.

    The value of a code point in a table of blocks is `values[blocks[code // BLOCK] * BLOCK + code % BLOCK]`.

    Args:
        change_blocks: (code points / BLOCK,) blocks of `change_values`.
        change_values: 0 for a character that stays; else 1 more than the number of its replacement.
        change_offsets: (replacements + 1,) where each begins in `replacements`.
        replacements: code points; a character that is removed has none.
        class_blocks: (code points / BLOCK,) blocks of `class_values`.
        class_values: `SPACE` for white space, `ALONE` for a word of one character, `MARK` for what is stripped at last,
            `CASED` and `PASSED_OVER` for the rule of the final sigma, and the combining class.
        transitions: of the trie, sorted: `node << NODE_SHIFT | code`, where the node that is reached by the i-th is
            i + 2. Words begin at node 0, what continues a word at node 1.
        piece_ids: (transitions,) id of the piece that ends at the node; -1 for none.
    """

    change_blocks: NDArray[np.int32]
    change_values: NDArray[np.int32]
    change_offsets: NDArray[np.int32]
    replacements: NDArray[np.int32]
    class_blocks: NDArray[np.int32]
    class_values: NDArray[np.int32]
    transitions: NDArray[np.int64]
    piece_ids: NDArray[np.int32]


def word_piece_of(tokenizer: Tokenizer) -> BertTokenizer:
    """Returns a tokenizer as BERT's own, which has tables.

    Raises:
        ConfigError: it is another algorithm, or has added tokens.
    """
    if not isinstance(tokenizer, BertTokenizer):
        raise ConfigError(
            f"an export takes texts with BERT's own WordPiece alone; this model's tokenizer is {tokenizer.algorithm}",
            hint=_TAKE_IDS,
        )
    if tokenizer.added_tokens:
        raise ConfigError(
            f"this tokenizer has added tokens such as {tokenizer.added_tokens[0].content!r}, and an export of texts "
            "cannot cut them out",
            hint=_TAKE_IDS,
        )
    return tokenizer


def tables_of(tokenizer: BertTokenizer) -> WordPieceTables:
    """Makes the arrays of a tokenizer without added tokens."""
    vocab = tokenizer.vocab
    change_values, change_offsets, replacements = _changes(vocab, do_lower_case=tokenizer.do_lower_case)
    change_blocks, change_values = _in_blocks(change_values)
    class_blocks, class_values = _in_blocks(_classes(strips_marks=tokenizer.do_lower_case))
    transitions, piece_ids = _trie(vocab)
    return WordPieceTables(
        change_blocks,
        change_values,
        change_offsets,
        replacements,
        class_blocks,
        class_values,
        transitions,
        piece_ids,
    )


def _changes(
    vocab: Mapping[str, int], *, do_lower_case: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Asks the tokenizer's own steps what each character becomes; marks stay, for their order."""
    steps = normalizer_steps(set("".join(vocab)), do_lower_case=do_lower_case)
    normalizer = normalizers.Sequence(steps[:-1] if do_lower_case else steps)
    numbers: dict[str, int] = {}
    values = np.zeros(_CODES, np.int32)
    for first in range(0, _CODES, _CHUNK):
        codes = [code for code in range(first, first + _CHUNK) if code not in _SURROGATES and chr(code) != _BETWEEN]
        changed = normalizer.normalize_str(_BETWEEN.join(map(chr, codes))).split(_BETWEEN)
        for code, became in zip(codes, changed, strict=True):
            if became != chr(code):
                values[code] = 1 + numbers.setdefault(became, len(numbers))
    offsets = np.cumsum([0, *map(len, numbers)]).astype(np.int32)
    return values, offsets, np.array([ord(char) for became in numbers for char in became], np.int32)


def _classes(*, strips_marks: bool) -> NDArray[np.int32]:
    values = np.zeros(_CODES, np.int32)
    tables = [(SPACE, unicode_tables.WHITESPACE), (ALONE, f"{unicode_tables.PUNCTUATION} {CJK}")]
    if strips_marks:
        # What is removed is no neighbour of a sigma either.
        passed_over = f"{unicode_tables.IGNORABLE} {unicode_tables.REMOVED}"
        tables += [(MARK, unicode_tables.MARKS), (CASED, unicode_tables.CASED), (PASSED_OVER, passed_over)]
    for bit, table in tables:
        for first, last in ranges(table):
            values[first : last + 1] |= bit
    if strips_marks:
        # Unicode never changes the class of a character; later ones are not seen here.
        combining = np.array([unicodedata.combining(chr(code)) for code in range(_CODES)], np.int32)
        for first, last in ranges(unicode_tables.UNASSIGNED):
            combining[first : last + 1] = 0
        values |= combining << COMBINING_SHIFT
    return values


def _in_blocks(values: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    different, blocks = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return blocks.reshape(-1).astype(np.int32), different.reshape(-1)


def _trie(vocab: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Numbers the nodes level by level, in the order of their transitions, so that these alone say where they lead."""
    level = [(root, body, number) for root, body, number in _spelled(vocab) if body]
    transitions: list[int] = []
    ids: list[int] = []
    depth = 0
    while level:
        following = []
        for node, body, number in sorted(level, key=lambda entry: (entry[0], entry[1][depth])):
            key = node << NODE_SHIFT | ord(body[depth])
            if not transitions or transitions[-1] != key:
                transitions.append(key)
                ids.append(-1)
            if len(body) == depth + 1:
                ids[-1] = number
            else:
                following.append((len(transitions) + 1, body, number))
        level, depth = following, depth + 1
    return np.array(transitions, np.int64), np.array(ids, np.int32)


def _spelled(vocab: Mapping[str, int]) -> Iterator[tuple[int, str, int]]:
    """Yields root, spelling and id of each piece. No word of a text begins with ##: each # is a word of its own."""
    for piece, number in vocab.items():
        body = piece.removeprefix("##")
        is_continuation = body != piece
        yield int(is_continuation), body, number
