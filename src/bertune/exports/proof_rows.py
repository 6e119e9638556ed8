"""Rows for the proof of an export: texts, rows at the limits, and rows of random ids and length."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.data.demo_data import demo_folder
from bertune.data.examples import Columns, Examples
from bertune.data.sources import read_examples
from bertune.evaluation.labelled_rows import TextRows
from bertune.exports.hostile_texts import text_columns, with_hostile_texts
from bertune.models.encoder_config import EncoderConfig
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

LEAST_ROWS = 1000
LIMIT_ROWS = 7
_LEAST_RANDOM_ROWS = 128
_SEED = 10


def rows_for(model: LoadedModel, examples: Examples | None = None, *, with_strings: bool = False) -> ProofRows:
    """Chooses the rows on which a model and its export are compared, always the same.

    Every text, encoded as in training; then rows at the limits (one token, all positions, first and last id, one type
    only); then rows of random ids and types, of lengths from 1 to all positions with the short ones more frequent, at
    least 128 and as many as make 1,000 rows in all.

    Args:
        model: for its tokenizer, signature and sizes.
        examples: texts of the user's; None takes the questions of the demo.
        with_strings: whether the texts themselves are among the rows, for an export that takes strings; hostile ones
            are then added.

    Raises:
        ConfigError: single texts for a pair model, or pairs for a single-text model.
    """
    given = _demo_examples(is_pair=model.signature.is_pair is True) if examples is None else examples
    if with_strings:
        given = with_hostile_texts(given, model.tokenizer)
    texts = TextRows(given).encoded_for(model).sequences  # an export answers one window a row
    config = model.classifier.encoder.config
    random = np.random.default_rng(_SEED)
    limits = _rows_at_limits(config.vocab_size, config.max_positions)
    count = max(_LEAST_RANDOM_ROWS, LEAST_ROWS - len(texts) - len(limits))
    drawn = _random_rows(count, config.vocab_size, config.max_positions, random)
    return ProofRows(
        _joined([texts, _typed(limits, config), _typed(drawn, config)], config.max_positions),
        texts=len(texts),
        vocab_size=config.vocab_size,
        max_positions=config.max_positions,
        strings=tuple(map(tuple, text_columns(given))) if with_strings else (),
    )


def _typed(rows: EncodedExamples, config: EncoderConfig) -> EncodedExamples:
    """Takes the second type away from rows of a model that has one type, or none."""
    return rows if config.type_vocab_size > 1 else replace(rows, first_lengths=rows.lengths.astype(np.int32))


def _demo_examples(*, is_pair: bool) -> Examples:
    """The questions of the demo, as pairs or each on its own; their labels do not matter here."""
    folder = demo_folder()
    columns = Columns("question1", "question2")
    splits = [
        read_examples(folder / f"{split}.csv", columns, require_label=False)
        for split in ("test", "validation", "train")
    ]
    first = [text for split in splits for text in split.texts_a]
    second = [text for split in splits for text in split.texts_b or ()]
    return (
        Examples.from_lists(first, second, name="the demo") if is_pair else Examples.from_lists(first, name="the demo")
    )


def _rows_at_limits(vocab_size: int, max_positions: int) -> EncodedExamples:
    """Rows whose length, ids or types are at an end of what the model takes."""
    last = vocab_size - 1
    rows = [
        (np.array([0]), 1),
        (np.array([last]), 0),
        (np.arange(max_positions) % vocab_size, max_positions),
        (last - np.arange(max_positions) % vocab_size, 0),
        (np.full(max_positions, last), max_positions // 2),
        (np.full(max_positions - 1, 0), 1),
        (np.array([0, last]), 1),
    ]
    ids, first_lengths = zip(*rows, strict=True)
    return _rows(list(ids), np.array(first_lengths), max_positions)


def _random_rows(count: int, vocab_size: int, max_positions: int, random: np.random.Generator) -> EncodedExamples:
    """Rows of random ids; sorted by length, so that padding them costs little."""
    lengths = np.sort(np.exp(random.uniform(0, np.log(max_positions + 1), count)).astype(np.int64))
    lengths = lengths.clip(1, max_positions)
    ids = [random.integers(vocab_size, size=length) for length in lengths]
    return _rows(ids, random.integers(lengths + 1), max_positions)


def _rows(ids: list[NDArray[np.int64]], first_lengths: NDArray[np.int64], max_positions: int) -> EncodedExamples:
    return EncodedExamples(
        token_ids=np.concatenate(ids).astype(np.int32),
        offsets=offsets_of(np.array([len(row) for row in ids])),
        first_lengths=first_lengths.astype(np.int32),
        truncated=np.zeros(len(ids), dtype=bool),
        max_length=max_positions,
    )


def _joined(parts: list[EncodedExamples], max_positions: int) -> EncodedExamples:
    return EncodedExamples(
        token_ids=np.concatenate([part.token_ids.astype(np.int32) for part in parts]),
        offsets=offsets_of(np.concatenate([part.lengths for part in parts])),
        first_lengths=np.concatenate([part.first_lengths for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
        max_length=max_positions,
    )
