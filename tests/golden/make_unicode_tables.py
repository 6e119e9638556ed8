"""Writes src/bertune/tokenization/unicode_tables.py: the Unicode 14.0.0 classes the tokenizer is built from.

Unicode 14.0.0 is what Python 3.11 carries, the Python under which tf-models-official 2.20.0 made the golden ids.

    python3.11 tests/golden/make_unicode_tables.py
"""

import sys
import textwrap
import unicodedata
from collections.abc import Callable
from pathlib import Path

VERSION = "14.0.0"
TARGET = Path(__file__).parents[2] / "src" / "bertune" / "tokens" / "unicode_tables.py"
HEAD = f'''"""Character classes of Unicode {VERSION}, frozen: ids depend neither on Python nor on a library's tables.

Written by tests/golden/make_unicode_tables.py; do not edit. Each table is a row of hexadecimal code points and
ranges. Surrogates are in none of them.
"""

UNICODE_VERSION = "{VERSION}"
'''


def is_removed(char: str) -> bool:
    return char == "\ufffd" or (unicodedata.category(char) in ("Cc", "Cf") and char not in "\t\n\r")


def is_white(char: str) -> bool:
    return not is_removed(char) and (unicodedata.category(char) == "Zs" or char.isspace())


def is_punctuation(char: str) -> bool:
    return unicodedata.category(char).startswith("P") or (33 <= ord(char) <= 126 and not char.isalnum())


def is_cased(char: str) -> bool:
    """Cased and not case-ignorable, as the rule of the final sigma asks; only `lower` tells it in Python."""
    return (char + "Σ").lower().endswith("ς")


def is_ignorable(char: str) -> bool:
    return ("A" + char + "Σ").lower().endswith("ς") and not is_cased(char)


TABLES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "REMOVED": ("Cc and Cf without tab, line feed, carriage return; and U+FFFD.", is_removed),
    "WHITESPACE": ("Zs, and what str.split() splits at, without what is removed.", is_white),
    "PUNCTUATION": ("Every P category, and all of ASCII that is neither letter nor digit.", is_punctuation),
    "MARKS": ("Mn: what stripping accents takes away.", lambda char: unicodedata.category(char) == "Mn"),
    "UNASSIGNED": ("Cn: no character yet, or never one.", lambda char: unicodedata.category(char) == "Cn"),
    "CASED": ("Cased and not case-ignorable (final sigma).", is_cased),
    "IGNORABLE": ("Case-ignorable (final sigma).", is_ignorable),
}


def ranges(belongs: Callable[[str], bool]) -> str:
    found: list[list[int]] = []
    for code in (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF):
        if not belongs(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in found)


def main() -> None:
    if unicodedata.unidata_version != VERSION:
        raise SystemExit(f"this Python carries Unicode {unicodedata.unidata_version}, not {VERSION}: use Python 3.11")
    parts = [HEAD]
    for name, (meaning, belongs) in TABLES.items():
        rows = [f'"{row} "' for row in textwrap.wrap(ranges(belongs), 112, break_on_hyphens=False)]
        parts.append(f"\n#: {meaning}\n")
        body = "(\n    " + "\n    ".join(rows) + "\n)" if len(rows) > 1 else rows[0]
        parts.append(f"{name} = {body}\n")
    TARGET.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
