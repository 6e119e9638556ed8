"""Strings that break tokenizers: the same ones for the same seed in every Python version.

Only `Random.random()` is drawn from, whose sequence Python guarantees; no Unicode table of the interpreter is asked.
"""

# ruff: noqa: RUF001 - characters that look like others are what this file is for.

import random
from collections.abc import Iterator

SEED = 20_240_613
COUNT = 20_000
UNICODE_END = 0x110000

WORD_LIST = (
    "the of Running unaffable café CAFÉ naïve Über straße STRASSE GROẞ İstanbul ISPARTA ılık ΟΔΟΣ Σίσυφος "
    "ΑΣ Σ ΣΑΣ ΆΝΘΡΩΠΟΣ привет МИР Ёлка שלום مرحبا สวัสดี ที่นี่ नमस्ते क्षत्रिय 안녕하세요 한국어 東京 日本語テスト カタカナ "
    "ｆｕｌｌｗｉｄｔｈ Ａ１！ 我爱你 [SEP] [CLS] [MASK] [PAD] [UNK] ##ing [sep] don't U.S. $2.5 e-mail "
    "http://a.b/c?d=e C++ 3,668 ½ ² ™ ﬁ Tiếng Việt Ångström ÅNGSTRÖM Čeština ǅ ŉ ΐ K Å Ω "
)
WORDS = WORD_LIST.split()

# One row a kind of trouble: hexadecimal code points and ranges.
POOLS = {
    "controls": "0-1F 7F-9F",
    "formats": "AD 600-605 61C 6DD 70F 180E 200B-200F 202A-202E 2060-206F FEFF FFF9-FFFB 110BD 110CD 13430-1343F "
    "1BCA0 1D173 "
    "E0001 E0020-E007F",
    "private": "E000-E010 F8FF F0000 FFFFD 100000 10FFFD",
    "unassigned": "378 379 530 1C89 A7CB A7DC 2FE0 FDD0 FFFE FFFF 105C9 10D50 10D65 16EA0 1FAE8 11383 "
    "113C5 16121 10EFD 1E4EC 11F5A "
    "323AF E0080 10FFFE 10FFFF",
    "surrogates": "D800 DBFF DC00 DFFF",
    "replacement": "FFFD FFFC 0",
    "spaces": "9 A B C D 1C 1D 1E 1F 20 85 A0 1680 180E 2000-200B 2028 2029 202F 205F 2060 3000 FEFF",
    "marks": "300-308 327 328 334 338 342 345 34F 483 488 489 5B0 64B 670 93C 941 94D E31 E38 E48 1AC1 1ACE 1DC0 "
    "1DFA 20D0 "
    "20DD 3099 FE00 FE0F FE20 101FD 10EAB 11080 1D167 E0100",
    "spacing_marks": "903 93E 9BE 1B44 302E 302F A953 A9C0 1D165 1D166 1D16D 16F51",
    "precomposed": "C0-FF 100-10F 130 131 149 1C4 1C5 1F0 212A 212B 2126 226E 2260 37E 387 340 344 374 390 1E9E 1E96 "
    "1FEF 1FFD 958 "
    "1D15E 1109A 114BB 11938 2ADC FB1D FB4E 1026 F73 F81 30C AC00 D7A3",
    "greek": "391 3A3 3A3 3A3 3C2 3C3 3B1 3D2 3D3 3F2 3F9 1FB3 1FBC 37A 27 2E 3A B7 2019 AD 345 308 2B0 AA 41 61 "
    "30 2C 5E 60 "
    "1F3FB 200D",
    "cjk": "4E00 9FFF 3400 4DBF 4DC0 20000 2A6DF 2A6E0 2A700 2B738 2B73F 2B740 2B81F 2B820 2B900 2B91F 2B920 "
    "2CEAF 2CEB0 "
    "30000 F900 FA0E FAFF 2F800 2FA1D 2FA1F 2E80 2F00 3005 3007 3021 3042 30A2 31C0 3105",
    "punctuation": "21-2F 3A-40 5B-60 7B-7E A1 A7 AB B6 B7 BB BF 37E 55A 5BE 60C 61D 964 166E 1400 2010-2015 2018-201F "
    "2026 2030 "
    "203F 207D 2308 2329 27E6 2E3A 2E42 2E43 2E4F 2E52 2E53 2E5D 3001 3008 300C 30FB FF01 FF3F 10100 10EAD 11B00 "
    "1E95E 1E95F",
    "symbols": "24 2B 5E A2 A9 B0 B4 D7 20AC 2122 2200 2212 2460 1D400 1D7CE",
    "emoji": "1F600 1F468 200D 1F469 1F3FD FE0F 2764 1F1E9 1F1EA 1FAE0 23F3 20E3",
    "cases": "10A0 10D0 1C90 13A0 AB70 10400 10428 118A0 1E900 16E40 2C2F A7C0 A7F2",
    "scripts": "5D0 627 905 915 E01 E40 1100 1161 11A8 AC01 FF21 FF41 FF10 FF76",
}
WORD_LENGTHS = (99, 100, 101, 150, 199, 200, 201, 250, 399, 400, 401)
LONG_WORD_STEMS = ("a", "ab", "x", "é", "e\u0301", "Σ", "9", "#")


def expand(pool: str) -> list[int]:
    """Code points of a row of POOLS."""
    ends = (part.split("-") for part in pool.split())
    return [code for end in ends for code in range(int(end[0], 16), int(end[-1], 16) + 1)]


def hostile_strings(count: int = COUNT, seed: int = SEED) -> Iterator[str]:
    """Yields strings of one to eight pieces: words, characters of one kind, any characters, very long words."""
    draw = random.Random(seed).random
    pools = [expand(pool) for pool in POOLS.values()]

    def pick(choices):
        return choices[int(draw() * len(choices))]

    def characters() -> str:
        kind = draw()
        length = 1 + int(draw() * 5)
        if kind < 0.75:
            pool = pick(pools)
            return "".join(chr(pick(pool)) for _ in range(length))
        if kind < 0.85:
            return "".join(chr(int(draw() * UNICODE_END)) for _ in range(length))
        if kind < 0.95:
            return "".join(chr(int(draw() * 0x3000)) for _ in range(length))
        return "".join(chr(pick(pick(pools))) for _ in range(length))

    def long_word() -> str:
        stem = pick(LONG_WORD_STEMS)
        return (stem * pick(WORD_LENGTHS))[: pick(WORD_LENGTHS)]

    for _ in range(count):
        parts = []
        for _ in range(1 + int(draw() * 8)):
            kind = draw()
            if kind < 0.004:
                parts.append(long_word())
            else:
                parts.append(pick(WORDS) if kind < 0.45 else characters())
            if draw() < 0.4:
                parts.append(" ")
        yield "".join(parts)
