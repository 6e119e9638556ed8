"""What may be given to `predict` and `evaluate`, and what would be misread and is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.errors import BertuneError, ConfigError, DataError
from bertune.evaluation.evaluate_model import evaluate
from bertune.evaluation.explain import explain
from bertune.evaluation.given_texts import examples_of, labelled_examples_of
from bertune.evaluation.predict_texts import predict
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.tokenizer import BertTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
TEXTS = ["a b", "c", "d e f"]
PAIRS = [("a b", "c"), ("d", "e f g h"), ("h", "h")]
SINGLE = ModelSignature(labels=("0", "1"), is_pair=False, max_length=16, text_a="text", text_b=None)
PAIR = ModelSignature(labels=("no", "yes"), is_pair=True, max_length=16, text_a="first", text_b="second")
SEVERAL = replace(SINGLE, kind="multi-label", labels=("x", "y"), metrics=("f1_micro",), label="tags")


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    sizes = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    classifier, _ = classifier_model(sizes, 2, seed=1)
    return LoadedModel(classifier.eval(), BertTokenizer(tmp_path / "vocab.txt"), SINGLE)


def test_a_table_is_predicted_by_its_column_of_texts_never_by_its_columns_names(model: LoadedModel) -> None:
    expected = predict(model, TEXTS).logits
    values: dict[str, Any] = {"id": [1, 2, 3], "text": TEXTS, "other": ["a"] * 3}
    for library in ("pandas", "polars"):
        frame = pytest.importorskip(library).DataFrame(values)
        np.testing.assert_array_equal(predict(model, frame).logits, expected)
        np.testing.assert_array_equal(predict(model, frame["text"]).logits, expected)
        assert len(np.unique(predict(model, frame, text_a="other").logits[:, 0])) == 1
    dataset = pytest.importorskip("datasets").Dataset.from_dict(values)
    np.testing.assert_array_equal(predict(model, dataset).logits, expected)
    np.testing.assert_array_equal(predict(model, dataset["text"]).logits, expected)
    assert explain(model, pyarrow.table(values))[2].texts == ("d e f",)


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        pyarrow.array(TEXTS),
        pyarrow.chunked_array([TEXTS]),
        pyarrow.table({"text": TEXTS}),
        Examples.from_lists(TEXTS),
    ],
)
def test_texts_may_be_given_in_many_forms(given: object) -> None:
    examples = examples_of(SINGLE, given)
    assert (examples.texts_a, examples.texts_b) == (TEXTS, None)


def test_pairs_are_tuples_lists_rows_of_an_array_or_two_columns() -> None:
    firsts, seconds = [list(texts) for texts in zip(*PAIRS, strict=True)]
    table = pyarrow.table({"second": seconds, "first": firsts})
    for given in (PAIRS, [list(pair) for pair in PAIRS], np.array(PAIRS), iter(PAIRS), table):
        examples = examples_of(PAIR, given)
        assert (examples.texts_a, examples.texts_b) == (firsts, seconds)
    named = examples_of(PAIR, table, text_a="second", text_b="first")
    assert (named.texts_a, named.texts_b) == (seconds, firsts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a b", "texts is one text, expected several"),
        ({"text": ["a"]}, "texts is a dict with the keys 'text'"),
        (None, r"texts is None \(nothing\), expected a list"),
        (3, "texts is the number 3, expected a list"),
        ([1, 2], r"texts\[0\] is the number 1, expected a text"),
        (["a", None], r"texts\[1\] is None \(nothing\), expected a text"),
        (["a", float("nan")], r"texts\[1\] is nan \(nothing\), expected a text"),
        ([("a", "b"), ("a", None)], r"texts\[1\]\[1\] is None \(nothing\), expected a text"),
        ([("a", "b"), "c"], r"texts\[1\] is the text 'c', but texts\[0\] is a tuple of 2"),
        (["a", ("b", "c")], r"texts\[1\] is a tuple of 2, but texts\[0\] is the text 'a'"),
        ([("a", "b", "c")], r"texts\[0\] is a tuple of 3, expected a text or a pair of texts"),
        ([{"text": "a"}], r"texts\[0\] is of type dict, expected a text"),
        ({"a", "b"}, "texts is a set, which has no order"),
        (b"a", "texts is of type bytes"),
        ([], "there is no text to predict"),
        (Path("test.csv"), "the texts are a path"),
    ],
)
def test_what_would_be_misread_is_refused_in_one_sentence(given: object, message: str) -> None:
    with pytest.raises(BertuneError, match=message):
        examples_of(SINGLE, given)


def test_single_texts_for_a_pair_model_are_refused_with_what_to_give() -> None:
    for given in (["a"], ("a", "b")):  # one pair that is not in a list looks like two texts
        with pytest.raises(ConfigError, match="one text a row; this model was trained on two") as error:
            examples_of(PAIR, given)
        assert error.value.hint == "give pairs: [(text, second text), …]"
    with pytest.raises(ConfigError, match="has no column 'second'; its columns are 'first', 'x'"):
        examples_of(PAIR, pyarrow.table({"first": ["a"], "x": ["b"]}))
    with pytest.raises(ConfigError, match="two texts a row; this model was trained on one"):
        examples_of(SINGLE, pyarrow.table({"text": ["a"], "x": ["b"]}), text_b="x")


def test_columns_are_named_for_tables_alone_and_a_place_in_training_names_none() -> None:
    with pytest.raises(ConfigError, match="text_a names a column of a table, but the texts are a list of 1"):
        examples_of(SINGLE, ["a"], text_a="text")
    with pytest.raises(ConfigError, match="does not know the names of this table's columns") as error:
        examples_of(replace(SINGLE, text_a=0), pyarrow.table({"ticket": ["T-1"], "text": ["a"]}))
    assert error.value.hint == "name the column: text_a=…"


def test_texts_with_labels_are_scored_as_the_examples_of_a_file(model: LoadedModel) -> None:
    expected, _ = evaluate(model, Examples.from_lists(TEXTS, labels=["0", "1", "1"]))
    table = pyarrow.table({"text": TEXTS, "label": [0, 1, 1], "swapped": [1, 0, 0]})
    for given in ((TEXTS, [0, 1, 1]), (TEXTS, np.array([0, 1, 1])), (table, ["0", "1", "1"]), table):
        scores, predictions = evaluate(model, given)  # type: ignore[arg-type]
        assert scores == expected
        assert len(predictions) == 3
    swapped, _ = evaluate(model, table, label="swapped")
    assert swapped.value("accuracy") == pytest.approx(1 - expected.value("accuracy"))


def test_what_cannot_be_scored_is_refused(model: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="expected texts with labels, got a list of 3") as error:
        evaluate(model, TEXTS)  # type: ignore[arg-type]
    assert error.value.hint == "give (texts, labels), or a table with columns"
    with pytest.raises(DataError, match="differ in length: 3 and 2 entries"):
        evaluate(model, (TEXTS, [0, 1]))
    with pytest.raises(DataError, match=r"labels\[1\] is None \(nothing\), expected a label"):
        evaluate(model, (TEXTS, [0, None, 1]))
    with pytest.raises(DataError, match="label '2' is not one of the known labels '0', '1'"):
        evaluate(model, (TEXTS, [0, 1, 2]))
    with pytest.raises(DataError, match=r"labels\[0\] is a list of 1, expected one label"):
        evaluate(model, (TEXTS, [["0"], ["1"], ["1"]]))


def test_several_labels_are_lists_in_memory_whatever_they_were_in_training() -> None:
    tags = [["x"], [], ["x", "y"]]
    for signature in (SEVERAL, replace(SEVERAL, label_separator=";")):
        for given in ((TEXTS, tags), pyarrow.table({"text": TEXTS, "tags": tags})):
            assert labelled_examples_of(signature, given).label_sets == [("x",), (), ("x", "y")]
    written = pyarrow.table({"text": TEXTS, "tags": ["x", "", "x;y"]})
    by_separator = labelled_examples_of(replace(SEVERAL, label_separator=";"), written)
    assert by_separator.label_sets == [("x",), (), ("x", "y")]
    flags = replace(SEVERAL, label=None, label_columns=("x", "y"))
    by_flags = labelled_examples_of(flags, pyarrow.table({"text": TEXTS, "x": [1, 0, 1], "y": [0, 0, 1]}))
    assert by_flags.label_sets == [("x",), (), ("x", "y")]
    with pytest.raises(DataError, match=r"labels\[0\] is the text 'x', expected a list of labels"):
        labelled_examples_of(SEVERAL, (TEXTS, ["x", "y", "x"]))


def test_a_loaded_model_is_shown_in_one_line(model: LoadedModel) -> None:
    assert repr(model) == "LoadedModel(classification of '0', '1'; texts of up to 16 tokens)"
