"""Texts on which tokenizers differ, for the proof of an export that has one of its own."""

# ruff: noqa: RUF001 (characters that look like others are what this file is for)

from typing import Final

import numpy as np

from bertune.data.examples import Examples
from bertune.tokenization import unicode_tables
from bertune.tokenization.components import CJK, MAX_CHARACTERS_PER_WORD, ranges
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.tokenization.word_piece_tables import word_piece_of

_TELLING: Final = (
    "",
    " ",
    "\u200b",
    "\x00",
    "a\x00b \ufffd c\ufffdd",
    "a literal [SEP] and [CLS] [MASK] [PAD] [UNK] ##ing",
    "ΟΔΟΣ ΟΔΟΣ. ΟΔΟΣ' ΟΔΟΣ'Α Σ ΣΑ ΑΣ\u00ad ΑΣ\u00adΑ ΣΣ ΑΣΣ Σίσυφος ΑΣ\u0301 1Σ Α.Σ.",
    "\u2028a\u2029b\u0085c\u000bd\u001ce\u3000f\u00a0g\u180eh\u1680i",
    "café cafe\u0301 CAFÉ naïve Über straße STRASSE GROẞ İstanbul ISPARTA ılık ŉ ǅ ΐ Å Ω ﬁ ½",
    "a\u0323\u0307 a\u0307\u0323 \u0301a \u0301 a\u034f\u0301",
    "\U0001d15e \U0001d158\U0001d165\U0001d16d \u302e\u302f\u1b44\ua953 \u302f\u034f\u302e",
    "我爱你abc東京 日本語テスト カタカナ 한국어 안녕하세요 가\u11a8 x\U0002b820y x\U0002b91fy x\U0002b920y 㐀〆",
    "สวัสดี ที่นี่ नमस्ते क्षत्रिय שָׁלוֹם مَرحبا Tiếng Việt Čeština привет Ёлка",
    "C++ $2.5 e-mail http://a.b/c?d=e U.S. don't ‘a’ “b” a—b … ¿qué? §3 «x» ･ ｆｕｌｌ Ａ１！ ^_^ `x`",
    "\u037e \u0387 \u1fef \u00b4 \u2e52 \u061d \U00011938 \u0378 \u1c89 \ue000 \U000f0000 \U0010fffd \ufdd0 \U0010ffff",
    "👨\u200d👩\u200d👧 🏽 ❤\ufe0f 🇩🇪 1\u20e3",
    *(
        "a" * length
        for length in (100, 101, 200, 201, *range(MAX_CHARACTERS_PER_WORD - 1, MAX_CHARACTERS_PER_WORD + 2))
    ),
    "e\u0301" * MAX_CHARACTERS_PER_WORD,
    "é" * (MAX_CHARACTERS_PER_WORD + 1),
    "word " * 700,
    "." * 700,
)
_POOLS: Final = (
    *(unicode_tables.REMOVED, unicode_tables.WHITESPACE, unicode_tables.PUNCTUATION, unicode_tables.MARKS),
    *(unicode_tables.CASED, unicode_tables.IGNORABLE, unicode_tables.UNASSIGNED, CJK),
    "3A3 3C2 3C3 391-3A9 27 2E AD 301",
    "300-36F 302E-302F 1B44 A953 1D165-1D172 61-7A",
    "AC00-D7A3 1100-11FF",
    "0-24F",
    "0-D7FF E000-FFFF",
    "10000-10FFFF",
)
_DRAWN: Final = 200
_SEED: Final = 30


def with_hostile_texts(given: Examples, tokenizer: Tokenizer) -> Examples:
    """Adds texts on which tokenizers differ, always the same: telling ones, and random characters among pieces.

    Args:
        given: texts or pairs; those that are not valid Unicode, which no string of another program can be, are left
            out.
        tokenizer: of the model; its pieces are among the random characters, so that not all words are unknown.
    """
    hostile = [*_TELLING, *_drawn(list(word_piece_of(tokenizer).vocab))]
    first, *second = text_columns(given)
    rows = [row for row in zip(first, *second, strict=True) if all(map(_is_valid, row))]
    columns = [[*(row[number] for row in rows), *hostile[:: -1 if number else 1]] for number in range(1 + len(second))]
    return Examples.from_lists(*columns, name=given.report.path)


def text_columns(examples: Examples) -> list[list[str]]:
    """Returns the first texts, and of pairs the second ones."""
    return [examples.texts_a] if examples.texts_b is None else [examples.texts_a, examples.texts_b]


def _drawn(pieces: list[str]) -> list[str]:
    random = np.random.default_rng(_SEED)
    pools = [ranges(pool) for pool in _POOLS]
    texts = []
    for _ in range(_DRAWN):
        parts = []
        for _ in range(random.integers(1, 12)):
            if random.random() < 0.5:
                parts.append(pieces[random.integers(len(pieces))].removeprefix("##"))
            else:
                pool = pools[random.integers(len(pools))]
                for _ in range(random.integers(1, 5)):
                    low, high = pool[random.integers(len(pool))]
                    parts.append(chr(random.integers(low, high + 1)))
            parts.append(" " if random.random() < 0.4 else "")
        texts.append("".join(parts))
    return texts


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
