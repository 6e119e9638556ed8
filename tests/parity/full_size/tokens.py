"""Tokenizer and encoding beside `FullTokenizer`, `convert_single_example` and the lesson's own encoding."""

import os
from itertools import chain
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from glue_sentences import SENTENCE_COLUMNS, sentences
from hostile_strings import hostile_strings
from inputs import CASED_SIZE, GLUE, GOLDEN, MAX_LENGTH, cased_vocabulary, pair_tables, uncased_vocabulary
from official.nlp.tools.tokenization import FullTokenizer
from original import features_of
from rows import Row, arrays_row, equal_row

from bertune.tokenization.encode_texts import bert_encode
from bertune.tokenization.tokenizer import BertTokenizer


def tokenize(folder: Path) -> list[Row]:
    """Pieces and ids of every sentence of the GLUE files that are there, and of hostile strings."""
    hostile = list(hostile_strings())
    glue = {name: sentences(GLUE, name) for name in SENTENCE_COLUMNS if (GLUE / name).exists()}
    if not glue:
        name, tables = pair_tables()
        rows = chain.from_iterable(tables.values())
        glue = {name: [str(row[column]) for row in rows for column in ("sentence1", "sentence2")]}
    everything = [text for texts in glue.values() for text in texts]
    pairs_only = [text for name, texts in glue.items() if not name.startswith("SST-2") for text in texts]
    uncased, cased = uncased_vocabulary(), cased_vocabulary(folder)
    small = GOLDEN / "small_cased_vocab.txt"
    many = f"{len(glue)} GLUE files" if len(glue) > 1 else next(iter(glue))
    cased_name = f"a cased vocabulary of {CASED_SIZE:,}"
    return [
        *_tokenizer_rows(uncased, True, everything, f"sentences of {many}, uncased vocabulary of 30,522"),
        *_tokenizer_rows(uncased, True, hostile, "hostile strings, uncased vocabulary of 30,522"),
        *_tokenizer_rows(cased, False, pairs_only, f"sentences of pairs, {cased_name}"),
        *_tokenizer_rows(cased, False, hostile, f"hostile strings, {cased_name}"),
        *_tokenizer_rows(small, True, hostile, "hostile strings, a small vocabulary, lower-cased"),
    ]


def _tokenizer_rows(vocabulary: Path, lower: bool, texts: list[str], name: str) -> list[Row]:
    theirs, ours = FullTokenizer(str(vocabulary), do_lower_case=lower), BertTokenizer(vocabulary, do_lower_case=lower)
    pieces = [theirs.tokenize(text) for text in texts]
    ids = ours.encode_batch(texts)
    note = f"{sum(map(len, pieces)):,} pieces"
    return [
        equal_row(f"pieces: {name}", [ours.convert_ids_to_tokens(row) for row in ids], pieces, note),
        equal_row(f"ids: {name}", ids, [theirs.convert_tokens_to_ids(row) for row in pieces], note),
    ]


def encode(folder: Path) -> list[Row]:
    """`bert_encode` of all pairs, cut to a length and, as in the lesson, whole."""
    name, tables = pair_tables()
    table = list(chain.from_iterable(tables.values()))
    columns = {column: [str(row[column]) for row in table] for column in ("sentence1", "sentence2")}
    ours, theirs = BertTokenizer(uncased_vocabulary()), FullTokenizer(str(uncased_vocabulary()), do_lower_case=True)
    cut = features_of(table, theirs)
    del cut["label"]
    short = 40
    shortened = features_of(table, theirs, short)
    del shortened["label"]
    return [
        arrays_row(
            f"bert_encode(max_length={MAX_LENGTH}) of {name} and convert_single_example's three arrays",
            _padded(bert_encode(columns, ours, max_length=MAX_LENGTH), MAX_LENGTH),
            cut,
            0,
            f"{len(table):,} pairs",
        ),
        arrays_row(
            f"bert_encode(max_length={short}), where most pairs are cut",
            _padded(bert_encode(columns, ours, max_length=short), short),
            shortened,
            0,
        ),
        arrays_row(
            "bert_encode without a length and the lesson's ragged tensors",
            bert_encode(columns, ours),
            _as_in_the_lesson(columns, theirs),
            0,
        ),
    ]


def _padded(arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    return {name: np.pad(array, ((0, 0), (0, length - array.shape[1]))) for name, array in arrays.items()}


def _as_in_the_lesson(columns: dict[str, list[str]], tokenizer: FullTokenizer) -> dict[str, np.ndarray]:
    """[CLS] a [SEP] b [SEP] as ragged tensors, whose `to_tensor` pads to the longest."""
    first, second = (
        tf.ragged.constant(
            [tokenizer.convert_tokens_to_ids([*tokenizer.tokenize(text), "[SEP]"]) for text in texts], tf.int32
        )
        for texts in columns.values()
    )
    start = tf.fill([first.nrows(), 1], tf.constant(tokenizer.vocab["[CLS]"], tf.int32))
    start = tf.RaggedTensor.from_tensor(start)
    ids = tf.concat([start, first, second], axis=-1)
    types = tf.concat([tf.zeros_like(start), tf.zeros_like(first), tf.ones_like(second)], axis=-1)
    ragged = {"input_word_ids": ids, "input_mask": tf.ones_like(ids), "input_type_ids": types}
    return {name: values.to_tensor().numpy() for name, values in ragged.items()}
