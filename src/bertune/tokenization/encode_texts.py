"""Texts to token ids between the special tokens of a template: `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]` for BERT."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertune.errors import ConfigError, DataError
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of, ragged_positions
from bertune.tokenization.long_texts import LongText, checked_stride
from bertune.tokenization.pair_template import NO_TEXT, Stretch
from bertune.tokenization.text_beginning import beginning
from bertune.tokenization.tokenizer_protocol import Tokenizer, special_ids_of
from bertune.tokenization.truncation import check_max_length, head_lengths, truncated_lengths, window_counts

__all__ = ["EncodedExamples", "TokenOrigins", "bert_encode", "encode_examples", "encode_with_origins", "pad"]


@dataclass(frozen=True, eq=False)
class TokenOrigins:
    """Which token of which text each token of encoded examples is.

    Args:
        text: (tokens,) 0 for the first text of its example, 1 for the second, -1 for special tokens.
        number: (tokens,) its number among the tokens of that text, from 0; -1 for special tokens.
    """

    text: NDArray[np.int64]
    number: NDArray[np.int64]


def encode_examples(
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    long_text: LongText = "first",
    window_stride: int | None = None,
) -> EncodedExamples:
    """Encodes single texts or pairs, with no more tokens a sequence than a length.

    Where there are more, a pair shares out the room as the original does: it takes tokens away one at a time from the
    longer text, on a tie from the second. Which tokens of a text then stay is `long_text`'s to say:

    - `first`: its first ones, as in the original.
    - `head-tail`: a quarter of them, rounded up, from its beginning, the others from its end.
    - `windows`: all, in several sequences. Each shows as many tokens of the text as `first` does and begins
      `window_stride` tokens after the one before, the last one so that it ends with the text. A text of a pair that
      fits stands whole in every window; if neither does both move on together, the shorter one until its end.

    Texts that occur again are tokenized once.

    Args:
        texts_a: the first texts.
        texts_b: the second texts, as many; None for single texts.
        tokenizer: makes the ids.
        max_length: at most so many tokens a sequence, special tokens counted; for BERT at least 3, for pairs 5.
        long_text: what becomes of longer ones.
        window_stride: for `windows`; None takes half of the tokens that any text has room for in a window.

    Raises:
        ConfigError: max_length leaves no token of a text, or the windows cannot be such.
        DataError: there are more of the one texts than of the other, or an entry is not a string.

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> encoded = bertune.encode_examples(["good film", "bad"], None, tokenizer, 128)
        >>> len(encoded), encoded.offsets  # [CLS] good film [SEP], [CLS] bad [SEP]
        (2, array([0, 4, 7]))
    """
    stride = _checked_stride(tokenizer, max_length, long_text, window_stride, pairs=texts_b is not None)
    return _written(_arranged(texts_a, texts_b, tokenizer, max_length, long_text, stride), tokenizer)


def encode_with_origins(
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    long_text: LongText = "first",
    window_stride: int | None = None,
) -> tuple[EncodedExamples, TokenOrigins]:
    """Does what `encode_examples` does, and tells where in its text each token stands.

    Raises:
        ConfigError, DataError: see `encode_examples`.
    """
    stride = _checked_stride(tokenizer, max_length, long_text, window_stride, pairs=texts_b is not None)
    arranged = _arranged(texts_a, texts_b, tokenizer, max_length, long_text, stride)
    template, offsets = tokenizer.template, arranged.offsets
    numbers = ragged_positions(np.zeros(len(offsets) - 1, np.int64), np.diff(offsets))
    special = dict.fromkeys(template.pieces, NO_TEXT)
    number, _ = template.lay_out(numbers, arranged.texts, special, np.int64)
    return _written(arranged, tokenizer), TokenOrigins(template.text_of_token(arranged.kept), number)


def bert_encode(
    columns: Mapping[str, Sequence[str]],
    tokenizer: Tokenizer,
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

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> inputs = bertune.bert_encode({"sentence1": ["good film", "bad"], "sentence2": ["nice", "sad"]}, tokenizer)
        >>> inputs["input_mask"]
        array([[1, 1, 1, 1, 1, 1],
               [1, 1, 1, 1, 1, 0]], dtype=int32)
    """
    first = _column(columns, text_a)
    second = None if text_b is None else _column(columns, text_b)
    if max_length is not None:
        check_max_length(max_length, template=tokenizer.template, pairs=second is not None)
    return pad(_written(_arranged(first, second, tokenizer, max_length), tokenizer), pad_id=tokenizer.pad_id)


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


def _checked_stride(
    tokenizer: Tokenizer, max_length: int, long_text: LongText, window_stride: int | None, *, pairs: bool
) -> int | None:
    """Checks the lengths against the tokenizer's template."""
    template = tokenizer.template
    check_max_length(max_length, template=template, pairs=pairs)
    return checked_stride(long_text, window_stride, template=template, max_length=max_length, pairs=pairs)


@dataclass(frozen=True, eq=False)
class _Arrangement:
    """Which tokens of the texts each sequence shows.

    Args:
        ids: of the different texts, one after another.
        offsets: (different texts + 1,) where each begins.
        texts: the stretches of `ids` that make up each text of the sequences; one text, for pairs two.
        kept: (texts, sequences) how many tokens these have.
        truncated: (examples,) whether tokens were dropped.
        example_offsets: (examples + 1,) where the windows of each example begin; None where each is one sequence.
        max_length: see `encode_examples`; None where nothing is cut.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    texts: list[list[Stretch]]
    kept: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    example_offsets: NDArray[np.int64] | None
    max_length: int | None


def _arranged(
    texts_a: Sequence[str],
    texts_b: Sequence[str] | None,
    tokenizer: Tokenizer,
    max_length: int | None,
    long_text: LongText = "first",
    window_stride: int | None = None,
) -> _Arrangement:
    if texts_b is not None and len(texts_a) != len(texts_b):
        raise DataError(f"{len(texts_a)} first texts, but {len(texts_b)} second texts: a pair needs both")
    count, texts_per_example = len(texts_a), 1 if texts_b is None else 2
    # The first tokens of a text are those of its beginning.
    most = max_length if long_text == "first" else None
    ids, offsets, rows = _tokenize_once([*texts_a, *(texts_b if texts_b is not None else ())], tokenizer, most)
    starts, whole = (part.reshape(texts_per_example, count) for part in (offsets[:-1][rows], np.diff(offsets)[rows]))
    if max_length is None:
        kept = whole
    else:
        room = tokenizer.template.room(max_length, pairs=texts_b is not None)
        kept = np.minimum(whole, room) if texts_b is None else np.stack(truncated_lengths(whole[0], whole[1], room))
    truncated: NDArray[np.bool_] = np.logical_or.reduce(kept < whole, axis=0)
    example_offsets = None
    if window_stride is not None and truncated.any():
        counts = window_counts(whole, kept, window_stride).max(axis=0)
        example_offsets = offsets_of(counts)
        starts, kept = _windows(starts, whole, kept, counts, window_stride)
        truncated = np.zeros(count, bool)
    stretches = [(starts, kept)]
    if long_text == "head-tail":
        heads = head_lengths(kept)
        stretches = [(starts, heads), (starts + whole - (kept - heads), kept - heads)]
    texts = [[(begin[text], length[text]) for begin, length in stretches] for text in range(texts_per_example)]
    return _Arrangement(ids, offsets, texts, kept, truncated, example_offsets, max_length)


def _written(arranged: _Arrangement, tokenizer: Tokenizer) -> EncodedExamples:
    """Writes the tokens of an arrangement between the special ones."""
    template, max_length = tokenizer.template, arranged.max_length
    dtype = np.uint16 if tokenizer.vocab_size < 65_536 else np.int32
    token_ids, offsets = template.lay_out(arranged.ids, arranged.texts, special_ids_of(tokenizer), dtype)
    return EncodedExamples(
        token_ids=token_ids,
        offsets=offsets,
        first_lengths=template.first_lengths(arranged.kept),
        truncated=arranged.truncated,
        max_length=int(np.diff(offsets).max(initial=0)) if max_length is None else max_length,
        example_offsets=arranged.example_offsets,
    )


def _tokenize_once(
    texts: list[str], tokenizer: Tokenizer, most: int | None
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Tokenizes each different text once: flat ids, their offsets, and for each text its row among them.

    Of a text with more tokens than `most`, those behind them may be left out.
    """
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {number} is {type(text).__name__}, expected str", hint="convert or remove cells that are no text"
            )
    row_of: dict[str, int] = {}
    rows = np.fromiter((row_of.setdefault(text, len(row_of)) for text in texts), np.int64, len(texts))
    different = list(row_of)
    if most is None or tokenizer.white_space == "unknown":
        return *tokenizer.encode_flat(different), rows
    begun = [beginning(text, most) for text in different]
    ids, offsets = tokenizer.encode_flat(begun)
    short = np.diff(offsets) <= most
    if any(short[row] and len(begun[row]) < len(text) for row, text in enumerate(different)):
        ids, offsets = tokenizer.encode_flat(different)
    return ids, offsets, rows


def _windows(
    starts: NDArray[np.int64],
    whole: NDArray[np.int64],
    kept: NDArray[np.int64],
    counts: NDArray[np.int64],
    stride: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Makes of each text the part of it that each window shows.

    Args:
        starts: (texts of an example, examples) where each text begins.
        whole: its tokens.
        kept: how many of them a window shows.
        counts: (examples,) windows of each example.
        stride: tokens by which each window begins after the one before.

    Returns:
        Where each part begins and how many tokens it has, (texts of an example, windows).
    """
    example = np.repeat(np.arange(len(counts)), counts)
    number = ragged_positions(np.zeros(len(counts), np.int64), counts)
    moved = np.minimum(number * stride, (whole - kept)[:, example])
    return starts[:, example] + moved, kept[:, example]
