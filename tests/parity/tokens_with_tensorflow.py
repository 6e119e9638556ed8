"""Tokenizes in a TensorFlow graph, compares with Google's ids and with the plain algorithm, and prints counts as JSON.

Run by tests/parity/test_saved_model_of_texts.py with a Python 3.11 that has TensorFlow, hypothesis and what bertune
depends on; its Unicode is that of the tables:

    python tests/parity/tokens_with_tensorflow.py golden UNCASED_VOCAB
    python tests/parity/tokens_with_tensorflow.py drawn
"""

import base64
import gzip
import json
import runpy
import struct
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertune.data.task_kind import TaskKind
from bertune.exports.program_description import TextDescription
from bertune.exports.word_piece_graph import WordPieceGraph
from bertune.tokenization.encode_texts import encode_examples, pad
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.word_piece_tables import tables_of

TESTS = Path(__file__).parents[1]
GOLDEN = json.loads(gzip.decompress((TESTS / "golden" / "tokenizer.json.gz").read_bytes()))
HOSTILE = runpy.run_path(str(TESTS / "golden" / "hostile_strings.py"))
REFERENCE = runpy.run_path(str(TESTS / "properties" / "reference_tokenizer.py"))["reference_pieces"]
SMALL_VOCAB = TESTS / "golden" / "small_cased_vocab.txt"
ALL_TOKENS = 1_000_000
COUNTS: Counter[str] = Counter()

telling = st.sampled_from([chr(code) for pool in HOSTILE["POOLS"].values() for code in HOSTILE["expand"](pool)])
characters = st.one_of(telling, st.characters(), st.sampled_from(HOSTILE["WORDS"]), st.just(" "))
texts = st.lists(characters, max_size=12).map("".join).filter(lambda text: not has_half_a_pair(text))
# Bytes that are no UTF-8 are dropped, as the original does.
strings = st.one_of(
    texts.map(str.encode), st.binary(max_size=20), st.tuples(texts.map(str.encode), st.binary(max_size=6)).map(b"".join)
)


def has_half_a_pair(text):
    return any("\ud800" <= char <= "\udfff" for char in text)


def function_of(tokenizer, *, pairs=False, max_length=ALL_TOKENS, long_text="first"):
    """A function from one or two tensors of strings to the encoder's arrays."""
    described = TextDescription(
        "", ("sentence1", "sentence2") if pairs else ("text",), max_length, long_text, tokenizer.cls_id,
        tokenizer.sep_id, tokenizer.pad_id, tokenizer.unk_id, TaskKind.CLASSIFICATION, (), (), None,
    )  # fmt: skip
    tables = tables_of(tokenizer)
    specs = [tf.TensorSpec([None], tf.string) for _ in described.names]
    return tf.function(
        lambda *columns: WordPieceGraph(tables, described).rows(columns), input_signature=specs, autograph=False
    )


def ids_of(function, batch):
    """Ids of each text between its special tokens."""
    made = function(tf.constant(batch))
    rows = zip(made["input_word_ids"].numpy(), made["input_mask"].numpy() == 1, strict=True)
    return [ids[mask].tolist()[1:-1] for ids, mask in rows]


def unpacked(text):
    content = base64.b64decode(text)
    flat = struct.unpack(f"<{len(content) // 2}H", content)
    rows, place = [], 0
    while place < len(flat):
        rows.append(list(flat[place + 1 : place + 1 + flat[place]]))
        place += 1 + flat[place]
    return rows


def golden(uncased_vocab):
    """Google's ids of the hostile strings, and of the telling ones."""
    for name, run in GOLDEN["runs"].items():
        vocabulary = uncased_vocab if run["vocab"] == "vocab.txt" else SMALL_VOCAB
        function = function_of(BertTokenizer(vocabulary, do_lower_case=run["do_lower_case"]))
        expected = zip(
            [*HOSTILE["hostile_strings"](), *GOLDEN["texts"]], [*unpacked(run["hostile"]), *run["ids"]], strict=True
        )
        rows = [(text, ids) for text, ids in expected if not has_half_a_pair(text)]
        for start in range(0, len(rows), 100):
            batch = rows[start : start + 100]
            found = ids_of(function, [text.encode() for text, _ in batch])
            COUNTS[name] += len(batch)
            COUNTS["other ids"] += sum(ids != other for ids, (_, other) in zip(found, batch, strict=True))


def drawn():
    """Any strings, and rows of them as bertune arranges them."""
    assert unicodedata.unidata_version == "14.0.0"
    for lower in (True, False):
        tokenizer = BertTokenizer(SMALL_VOCAB, do_lower_case=lower)
        any_strings(tokenizer, function_of(tokenizer))
        for pairs, max_length, long_text in (
            (False, 7, "first"),
            (True, 12, "first"),
            (True, 5, "first"),
            (False, 9, "head-tail"),
            (True, 13, "head-tail"),
        ):
            function = function_of(tokenizer, pairs=pairs, max_length=max_length, long_text=long_text)
            any_rows(tokenizer, function, pairs, max_length, long_text)


def any_strings(tokenizer, function):
    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(batch=st.lists(strings, min_size=1, max_size=16))
    def check(batch):
        expected = [
            REFERENCE(text.decode("utf-8", "ignore"), tokenizer.vocab, do_lower_case=tokenizer.do_lower_case)
            for text in batch
        ]
        found = [tokenizer.convert_ids_to_tokens(ids) for ids in ids_of(function, batch)]
        assert found == expected
        COUNTS["drawn strings"] += len(batch)

    check()


def any_rows(tokenizer, function, pairs, max_length, long_text):
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
    def check(rows):
        columns = [list(column) for column in zip(*rows, strict=True)][: 1 + pairs]
        second = columns[1] if pairs else None
        rows_of = encode_examples(columns[0], second, tokenizer, max_length, long_text=long_text)
        expected = pad(rows_of, pad_id=tokenizer.pad_id)
        found = function(*(tf.constant([text.encode() for text in column]) for column in columns))
        for name, array in expected.items():
            assert array.tolist() == found[name].numpy().tolist(), name
        COUNTS["drawn rows"] += len(rows)

    check()


if __name__ == "__main__":
    {"golden": golden, "drawn": drawn}[sys.argv[1]](*map(Path, sys.argv[2:]))
    print(json.dumps(COUNTS))
