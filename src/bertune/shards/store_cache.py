"""Encoded examples kept between runs, found again by the hash of their texts and of the tokenizer."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bertune.errors import BertuneError
from bertune.shards.store import load_store, save_store, store_key
from bertune.system.atomic import remove_leftovers
from bertune.system.cache_folder import cache_folder
from bertune.system.feature_switches import is_disabled
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongText, checked_stride
from bertune.tokenization.tokenizer_protocol import Tokenizer

# Fewer examples are encoded sooner than a file is written.
_LEAST_EXAMPLES: Final = 1000
_MOST_BYTES: Final = 2 << 30


def encode_cached(
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    long_text: LongText = "first",
    window_stride: int | None = None,
) -> tuple[EncodedExamples, bool]:
    """Does what `encode_examples` does, or reads what it made of the same texts before.

    The files lie in `$XDG_CACHE_HOME/bertune/tokens` (else `~/.cache/bertune/tokens`), together at most 2 GiB: those
    not used for the longest time go first. Only their owner can read them. A file that is damaged, or was made by other
    versions of bertune or tokenizers, is made again, and where none can be written the examples are encoded each time.

    Args:
        texts_a: see `encode_examples`, as for the others.
        texts_b: as many; None for single texts.
        tokenizer: makes the ids.
        max_length: in tokens.
        long_text: what becomes of longer ones.
        window_stride: for windows.

    Returns:
        The examples, and whether they were found.

    Raises:
        ConfigError, DataError: see `encode_examples`.
    """
    # The stride that is meant, whether it was named or not.
    is_pair = texts_b is not None
    stride = checked_stride(long_text, window_stride, template=tokenizer.template, max_length=max_length, pairs=is_pair)
    if len(texts_a) < _LEAST_EXAMPLES or is_disabled("token-cache"):
        return encode_examples(
            texts_a, texts_b, tokenizer, max_length, long_text=long_text, window_stride=stride
        ), False
    key = store_key(
        texts_a,
        texts_b,
        tokenizer_digest=tokenizer.digest,
        code_digest=tokenizer.code_digest,
        max_length=max_length,
        long_text=long_text,
        window_stride=stride,
    )
    path = cache_folder("tokens") / f"{key}.safetensors"
    with contextlib.suppress(BertuneError, OSError):
        found = load_store(path, key=key).encoded
        os.utime(path)
        return found, True
    encoded = encode_examples(texts_a, texts_b, tokenizer, max_length, long_text=long_text, window_stride=stride)
    with contextlib.suppress(BertuneError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Ids are texts to whoever has the vocabulary: for nobody else, also where an earlier version made the folder.
        path.parent.chmod(0o700)
        save_store(encoded, None, path, metadata={"key": key, "tokenizer_digest": tokenizer.digest})
        _prune(path.parent)
    return encoded, False


def _prune(folder: Path) -> None:
    remove_leftovers(folder)
    kept = 0
    files = [(path.stat(), path) for path in folder.glob("*.safetensors")]
    for status, path in sorted(files, key=lambda pair: -pair[0].st_mtime):
        kept += status.st_size
        if kept > _MOST_BYTES:
            path.unlink(missing_ok=True)
