"""Texts to `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bertune.errors import ConfigError, DataError
from bertune.tokens.examples import EncodedExamples, offsets_of, ragged_positions
from bertune.tokens.tokenizer import BertTokenizer
from bertune.tokens.truncation import check_max_length, truncated_lengths

__all__ = ["EncodedExamples", "bert_encode", "encode_examples", "pad"]


def encode_examples(
    texts_a: Sequence[str], texts_b: Sequence[str] | None, tokenizer: BertTokenizer, max_length: int
) -> EncodedExamples:
    """Encodes single texts or pairs, cut to a length as the original cuts them.

    A single text keeps its first tokens; a pair loses tokens one at a time from the end of the longer text, on a tie
    from the second. Texts that occur again are tokenized once.

    Args:
        texts_a: the first texts.
        texts_b: the second texts, as many; None for single texts.
        tokenizer: makes the ids.
        max_length: at most so many tokens an example, special tokens counted; at least 3, for pairs 5.

    Raises:
        ConfigError: max_length leaves no token of a text.
        DataError: there are more of the one texts than of the other, or an entry is not a string.
    """
    check_max_length(max_length, pairs=texts_b is not None)
    return _encode(texts_a, texts_b, tokenizer, max_length)


def bert_encode(
    columns: Mapping[str, Sequence[str]],
    tokenizer: BertTokenizer,
    *,
    text_a: str = "sentence1",
    text_b: str | None = "sentence2",
    max_length: int | None = None,
) -> dict[str, NDArray[np.int32]]:
    """Makes the lesson's three padded arrays of a table's text columns.

    Args:
        columns: column name to texts.
        tokenizer: makes the ids.
        text_a: the column of the first texts.
        text_b: the column of the second texts; None for single texts.
        max_length: at most so many tokens an example; None, as in the lesson, cuts nothing.

    Returns:
        `input_word_ids`, `input_mask` (1 for a token, 0 for padding), `input_type_ids` (1 from the second text on),
        each (examples, longest example).

    Raises:
        ConfigError: a column is missing, or max_length leaves no token of a text.
        DataError: the columns differ in length, or an entry is not a string.
    """
    first = _column(columns, text_a)
    second = None if text_b is None else _column(columns, text_b)
    if max_length is not None:
        check_max_length(max_length, pairs=second is not None)
    return pad(_encode(first, second, tokenizer, max_length), pad_id=tokenizer.pad_id)


def pad(encoded: EncodedExamples, *, pad_id: int = 0) -> dict[str, NDArray[np.int32]]:
    """Pads examples on the right to the longest of them.

    Args:
        encoded: the examples.
        pad_id: the id of [PAD]; 0 in every vocabulary Google released, and what the lesson always fills in.

    Returns:
        The lesson's `input_word_ids`, `input_mask` and `input_type_ids`, int32, (examples, longest example).
    """
    lengths = encoded.lengths[:, None]
    columns = np.arange(lengths.max(initial=0))
    real = columns < lengths
    word_ids = np.full(real.shape, pad_id, np.int32)
    word_ids[real] = encoded.token_ids
    type_ids = real & (columns >= encoded.first_lengths[:, None])
    return {
        "input_word_ids": word_ids,
        "input_mask": real.astype(np.int32),
        "input_type_ids": type_ids.astype(np.int32),
    }


def _column(columns: Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    if name in columns:
        return columns[name]
    near = difflib.get_close_matches(name, list(columns), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "name the text columns with text_a and text_b"
    raise ConfigError(f"no column {name!r}; the columns are {', '.join(map(repr, columns)) or 'none'}", hint=hint)


def _encode(
    texts_a: Sequence[str], texts_b: Sequence[str] | None, tokenizer: BertTokenizer, max_length: int | None
) -> EncodedExamples:
    if texts_b is not None and len(texts_a) != len(texts_b):
        raise DataError(f"{len(texts_a)} first texts, but {len(texts_b)} second texts: a pair needs both")
    count = len(texts_a)
    ids, offsets, rows = _tokenize_once([*texts_a, *(texts_b if texts_b is not None else ())], tokenizer)
    starts, whole = offsets[:-1][rows], np.diff(offsets)[rows]
    if texts_b is None:
        kept = whole if max_length is None else np.minimum(whole, max_length - 2)
    elif max_length is None:
        kept = whole
    else:
        kept = np.concatenate(truncated_lengths(whole[:count], whole[count:], max_length - 3))
    texts_per_example = 1 if texts_b is None else 2
    token_ids, example_offsets = _lay_out(ids, starts, kept, texts_per_example, tokenizer)
    lengths = np.diff(example_offsets)
    shortened = (kept < whole).reshape(texts_per_example, count)
    return EncodedExamples(
        token_ids=token_ids,
        offsets=example_offsets,
        first_lengths=(kept[:count] + 2).astype(np.int32),
        truncated=np.logical_or.reduce(shortened, axis=0),
        max_length=int(lengths.max(initial=0)) if max_length is None else max_length,
    )


def _tokenize_once(
    texts: list[str], tokenizer: BertTokenizer
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Tokenizes each different text once: flat ids, their offsets, and for each text its row among them."""
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {number} is {type(text).__name__}, expected str", hint="convert or remove cells that are no text"
            )
    row_of: dict[str, int] = {}
    rows = np.fromiter((row_of.setdefault(text, len(row_of)) for text in texts), np.int64, len(texts))
    ids, offsets = tokenizer.encode_flat(list(row_of))
    return ids, offsets, rows


def _lay_out(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    kept: NDArray[np.int64],
    texts_per_example: int,
    tokenizer: BertTokenizer,
) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Copies the kept tokens of each text between the special tokens.

    Args:
        ids: flat ids of the texts.
        starts: (texts,) where each text begins in `ids`: first all first texts, then, for pairs, all second texts.
        kept: (texts,) how many of its tokens stay.
        texts_per_example: 1 for single texts, 2 for pairs.
        tokenizer: gives the special ids, and through its size the type of the result.

    Returns:
        Flat ids with special tokens, and offsets (examples + 1).
    """
    count = len(kept) // texts_per_example
    by_text = kept.reshape(texts_per_example, count)
    offsets = offsets_of(by_text.sum(axis=0) + 1 + texts_per_example)
    flat = np.full(offsets[-1], tokenizer.sep_id, np.uint16 if tokenizer.vocab_size < 65_536 else np.int32)
    flat[offsets[:-1]] = tokenizer.cls_id
    begin = offsets[:-1] + 1
    for text_starts, text_kept in zip(starts.reshape(texts_per_example, count), by_text, strict=True):
        flat[ragged_positions(begin, text_kept)] = ids[ragged_positions(text_starts, text_kept)]
        begin = begin + text_kept + 1
    return flat, offsets
