"""The steps of a tokenizer.json: which are known, and what they say of white space."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError
from bertune.tokenization.charsmap import charsmap_fault
from bertune.tokenization.tokenizer_protocol import WhiteSpace

#: Of the `tokenizers` library: the key under which a sequence has its parts, and the names of the steps.
NORMALIZER: Final = "normalizer"
PRE_TOKENIZER: Final = "pre_tokenizer"
_KNOWN: Final = {
    NORMALIZER: (
        "normalizers",
        {
            *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"),
            *("Prepend", "Replace", "Strip", "StripAccents"),
        },
    ),
    PRE_TOKENIZER: (
        "pretokenizers",
        {
            *("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"),
            *("Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"),
        },
    ),
}
#: Patterns that white space alone is replaced by, with what stands for it.
SPACES: Final = {"^ +| +$": "", " {2,}": " "}
# The same and what transformers writes for them.
_SPACES_ALONE = {*SPACES, r"\s{2,}|[\n\r\t]"}
# Normalizers that look at no more than one word with the white space around it.
_OF_WORDS = _KNOWN[NORMALIZER][1] - {"Replace", "Prepend"}


def steps_of(path: Path, values: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    """Returns the normalizers or the pre-tokenizers of a tokenizer.json, one after another.

    Args:
        path: the file, for messages.
        values: its content.
        part: `NORMALIZER` or `PRE_TOKENIZER`.

    Raises:
        CheckpointError: one is not known, or its table of characters is damaged.
    """
    steps = list(_flat(path, values.get(part), part))
    for step in steps:
        if step["type"] == "Precompiled":
            _check_table(path, step.get("precompiled_charsmap"))
    return steps


def _flat(path: Path, step: object, part: str) -> Iterator[Mapping[str, Any]]:
    key, known = _KNOWN[part]
    if step is None:
        return
    kind = step.get("type") if isinstance(step, Mapping) else None
    if isinstance(step, Mapping) and kind == "Sequence" and isinstance(step.get(key), list):
        for inner in step[key]:
            yield from _flat(path, inner, part)
    elif isinstance(step, Mapping) and isinstance(kind, str) and kind in known:
        yield step
    else:
        raise CheckpointError(
            f"{path}: the {part} {str(kind)[:60]!r} is not known, so the ids of a text are not",
            hint="take a model whose tokenizer the tokenizers library of this installation runs",
        )


def _check_table(path: Path, table: object) -> None:
    if table is None or table == "":
        return
    try:
        fault = charsmap_fault(base64.b64decode(str(table), validate=True))
    except binascii.Error:
        fault = "it is not base64"
    if fault is not None:
        raise CheckpointError(
            f"{path}: the table of characters (precompiled_charsmap) is damaged: {fault}", hint="copy the file again"
        )


def white_space_of(
    normalizers: list[Mapping[str, Any]], pre_tokenizers: list[Mapping[str, Any]], *, tokens: list[str]
) -> WhiteSpace:
    """Tells whether the beginning of a text, up to a space, has the first pieces of the text.

    Args:
        normalizers: see `steps_of`, as for the next.
        pre_tokenizers: what they are.
        tokens: that are cut out of texts.
    """
    if any(step["type"] not in _OF_WORDS and not _is_spaces(step) for step in normalizers):
        return "unknown"
    # A token such as "New York" reaches across the space in it.
    if any(len(token.split()) > 1 for token in tokens):
        return "unknown"
    return "leads" if any(map(_splits_words, pre_tokenizers)) else "unknown"


def _is_spaces(step: Mapping[str, Any]) -> bool:
    """Whether a replacement only takes away spaces, as SentencePiece does, or is of quotes."""
    pattern = step.get("pattern")
    if step["type"] != "Replace" or not isinstance(pattern, Mapping):
        return False
    return pattern.get("Regex") in _SPACES_ALONE or pattern.get("String") in ("``", "''")


def _splits_words(step: Mapping[str, Any]) -> bool:
    """Whether no piece has white space behind other characters after this step."""
    kind = step["type"]
    if kind == "ByteLevel":
        return step.get("use_regex", True) is True
    if kind == "Metaspace":
        return step.get("split", True) is True
    return kind in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")
