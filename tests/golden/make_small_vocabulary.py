"""Writes tests/golden/small_cased_vocab.txt: pieces in which hostile characters are ids of their own, not just [UNK].

python3.11 tests/golden/make_small_vocabulary.py
"""

# ruff: noqa: RUF001 - characters that look like others are what this file is for.

import string
import unicodedata
from pathlib import Path

from hostile_strings import POOLS, expand

TARGET = Path(__file__).with_name("small_cased_vocab.txt")
WORD_LIST = (
    "the of Run run ##ning un ##aff ##able Un café Café CAF cafe nai naïve ##ve Über uber straße stra ##ße ##sse STRA "
    "Istanbul istanbul İstanbul ΟΔΟΣ οδος οδοσ ##ος ##οσ ##ΟΣ Σίσυφος σισυφος ##ύ привет мир МИР ёлка елка Ёлка ##лка "
    "안녕 안 ##녕 日 本 東 京 我 爱 你 ##テ ##ス SEP CLS MASK sep cls mask "
    "##ing aa ##aa ##aaaa ##bab ##ab abab xx ##xx ##99 ##éé"
)
KINDS = "private marks spacing_marks precomposed greek cjk punctuation emoji cases scripts"
# Unassigned in Unicode 14, an emoji since Unicode 15: a vocabulary may know it.
LATER = "\U0001fae8"
# Their combining classes are younger than the tables of the tokenizers library: see docs/concepts/tokenizer.md.
LEFT_OUT = {0x1715, 0x1193D, 0x16FF0, 0x16FF1}


def characters() -> list[str]:
    codes = [code for kind in KINDS.split() for code in expand(POOLS[kind])]
    found = dict.fromkeys([*string.ascii_letters, *string.digits, *map(chr, codes), LATER, "\ufffc", "Ｆ", "ｆ"])
    for char in list(found):
        found.update(dict.fromkeys(unicodedata.normalize("NFD", char.lower())))
        found.update(dict.fromkeys(unicodedata.normalize("NFD", char)))
    return [
        char
        for char in found
        if char.strip() and unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zs") and ord(char) not in LEFT_OUT
    ]


def main() -> None:
    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    singles = characters()
    continued = [f"##{char}" for char in singles if not 0x4E00 <= ord(char) <= 0x9FFF]
    pieces = list(dict.fromkeys([*pieces, *singles, *continued, *WORD_LIST.split()]))
    TARGET.write_bytes("".join(f"{piece}\n" for piece in pieces).encode())


if __name__ == "__main__":
    main()
