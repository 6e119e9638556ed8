"""Explanations: on a model that learned planted words, and on new models where only the arithmetic matters."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples, LabelSet
from bertune.errors import ConfigError, DataError
from bertune.evaluation import explain as module
from bertune.evaluation.explain import explain
from bertune.evaluation.explanation import Explanation, Method, WordReason
from bertune.evaluation.occlusion import scores_of
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.loop import fit

OTHER = ["the", "film", "was", "plot", "a", "music", "very", "and", "story", "actor"]
GOOD, BAD = ["great", "fine", "lovely"], ["bad", "poor", "awful"]
# "great" and "awful" are spelled in two pieces.
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *OTHER, "gre", "##at", "fine", "lovely", "bad", "poor", "aw"]
PIECES += ["##ful", "##e", ",", "!", "'"]
METHODS: tuple[Method, ...] = ("integrated-gradients", "occlusion")


def sentences(rows: int, seed: int) -> Examples:
    """Sentences with a good word, with a bad one, or with neither, so that no label is that of an empty sentence."""
    source = random.Random(seed)
    texts, labels = [], []
    for _ in range(rows):
        label, words = source.choice([("up", GOOD), ("down", BAD), ("plain", OTHER)])
        chosen = [*source.sample(OTHER, 6), source.choice(words)]
        source.shuffle(chosen)
        texts.append(" ".join(chosen))
        labels.append(label)
    return Examples.from_lists(texts, labels=labels)


def planted(rows: int, seed: int) -> Examples:
    """Of as many sentences those with a planted word."""
    made = sentences(rows, seed)
    return made.select([row for row, label in enumerate(made.labels or []) if label != "plain"])


def new_model(folder: Path, seed: int, spread: float = 0.2, **signature: object) -> LoadedModel:
    """A model with new weights, large ones so that its answers differ."""
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    values: dict[str, object] = {"labels": ("down", "up"), "is_pair": False, "max_length": 32} | signature
    made = ModelSignature(**values)  # type: ignore[arg-type]
    sizes = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=spread,
    )
    classifier, _ = classifier_model(sizes, made.num_outputs, pooling=made.pooling, seed=seed)
    return LoadedModel(classifier.eval(), BertTokenizer(folder / "vocab.txt"), made)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model that knows which words are good and which are bad."""
    model = new_model(tmp_path_factory.mktemp("model"), 1, spread=0.05, labels=("down", "plain", "up"), pooling="mean")
    train = sentences(320, 1)
    encoded = encode_examples(train.texts_a, None, model.tokenizer, 32)
    config = TrainingConfig(epochs=5, batch_size=16, learning_rate=3e-3, precision="fp32")
    fit(model.classifier, (encoded, train.label_ids(LabelSet(("down", "plain", "up")))), config=config)
    return model


def words_by_effect(explanation: Explanation) -> list[str]:
    (reason,) = explanation.reasons
    return [word.word for word in sorted(reason.words, key=lambda word: -word.attribution)]


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_word_comes_first(trained: LoadedModel, method: Method) -> None:
    held_out = planted(60, 2)
    for explanation, label in zip(explain(trained, held_out, method=method), held_out.labels or [], strict=True):
        assert explanation.prediction.label == label  # else there is nothing to be explained
        assert words_by_effect(explanation)[0] in (GOOD if label == "up" else BAD)


def test_a_word_for_the_other_label_speaks_against_the_answer(trained: LoadedModel) -> None:
    for method in METHODS:
        (explanation,) = explain(trained, ["the film was lovely fine and great a bad plot"], method=method)
        assert explanation.prediction.label == "up"
        assert words_by_effect(explanation)[-1] == "bad"
        assert explanation.reasons[0].words[-2].attribution < 0


def test_both_methods_put_the_words_in_a_like_order(trained: LoadedModel) -> None:
    held_out = planted(60, 3)
    correlations = []
    for gradients, occlusion in zip(*(explain(trained, held_out, method=method) for method in METHODS), strict=True):
        orders = [[word.attribution for word in each.reasons[0].words] for each in (gradients, occlusion)]
        correlations.append(spearmanr(*orders).statistic)
    assert np.mean(correlations) > 0.3  # six of the seven words do next to nothing; chance is 0, give or take 0.07


def test_integrated_gradients_add_up_to_the_difference_from_a_blank_text(trained: LoadedModel) -> None:
    for explanation in explain(trained, planted(30, 4)):
        (reason,) = explanation.reasons
        pieces = [piece.attribution for word in reason.words for piece in word.pieces]
        assert sum(pieces) == pytest.approx(reason.score - reason.blank_score, abs=0.01 * np.abs(pieces).sum())
        assert reason.residual == pytest.approx(reason.score - reason.blank_score - sum(pieces), abs=1e-9)
        assert reason.score - reason.blank_score > 1


def test_points_are_added_until_the_attributions_add_up(trained: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = module.integrated_gradients  # type: ignore[attr-defined]

    def counting(*arguments: Any, steps: int, **others: Any) -> Any:
        taken.append(steps)
        return real(*arguments, steps=steps, **others)

    monkeypatch.setattr(module, "integrated_gradients", counting)
    (explanation,) = explain(trained, ["the film was great"], steps=1)
    assert taken == [1 << doubling for doubling in range(len(taken))]
    assert len(taken) > 1
    monkeypatch.setattr(module, "_TOLERANCE", math.inf)
    (coarse,) = explain(trained, ["the film was great"], steps=1)
    assert abs(explanation.reasons[0].residual) < abs(coarse.reasons[0].residual)


@pytest.mark.parametrize("kind", ["two labels", "many labels", "pooling"])
def test_the_score_is_the_log_odds_of_the_probability_that_is_given(tmp_path: Path, kind: str) -> None:
    options: dict[str, dict[str, object]] = {
        "two labels": {"temperature": 2.5},
        "many labels": {"labels": ("a", "b", "c", "d")},
        "pooling": {"pooling": "mean"},
    }
    model = new_model(tmp_path, 2, **options[kind])
    for method in METHODS:
        for explanation in explain(model, ["the film was great", "bad , bad plot !"], method=method):
            share = explanation.prediction.probability
            assert share is not None
            assert explanation.reasons[0].score == pytest.approx(math.log(share / (1 - share)), abs=1e-4)


def test_occlusion_is_the_change_when_pad_stands_in_the_place_of_a_piece(tmp_path: Path) -> None:
    model = new_model(tmp_path, 3)
    (explanation,) = explain(model, ["the great plot"], method="occlusion")
    (reason,) = explanation.reasons
    pieces = ["[CLS]", "the", "gre", "##at", "plot", "[SEP]"]

    def score(*tokens: str) -> float:
        ids = np.array([model.tokenizer.convert_tokens_to_ids(tokens)])
        inputs = {"input_word_ids": ids, "input_mask": np.ones_like(ids), "input_type_ids": np.zeros_like(ids)}
        with torch.inference_mode():
            down, up = model.classifier(inputs)[0].tolist()
        return up - down if reason.label == "up" else down - up

    whole = score(*pieces)
    great = reason.words[1]
    assert reason.score == pytest.approx(whole, abs=1e-5)
    without = score("[CLS]", "the", "[PAD]", "[PAD]", "plot", "[SEP]")
    assert great.attribution == pytest.approx(whole - without, abs=1e-5)
    without = score("[CLS]", "the", "gre", "[PAD]", "plot", "[SEP]")
    assert great.pieces[1].attribution == pytest.approx(whole - without, abs=1e-5)
    assert reason.blank_score == pytest.approx(score("[CLS]", *["[PAD]"] * 4, "[SEP]"), abs=1e-5)


def test_words_and_pieces_name_their_places_in_the_text(tmp_path: Path) -> None:
    text = "The  Gréat\tplot, 'bad' zzz!"
    (explanation,) = explain(new_model(tmp_path, 4), [text])
    words: Sequence[WordReason] = explanation.reasons[0].words
    assert [word.word for word in words] == ["The", "Gréat", "plot", ",", "'", "bad", "'", "zzz", "!"]
    assert [text[word.start : word.end] for word in words] == [word.word for word in words]
    assert [piece.piece for piece in words[1].pieces] == ["gre", "##at"]
    assert [text[piece.start : piece.end] for piece in words[1].pieces] == ["Gré", "at"]
    assert [piece.piece for piece in words[7].pieces] == ["[UNK]"]


@pytest.mark.parametrize("method", METHODS)
def test_words_of_both_texts_of_a_pair_are_told_apart(tmp_path: Path, method: Method) -> None:
    model = new_model(tmp_path, 5, is_pair=True)
    (explanation,) = explain(model, [("the film", "film was bad")], method=method)
    words = explanation.reasons[0].words
    assert [(word.text, word.word) for word in words] == [(0, "the"), (0, "film"), (1, "film"), (1, "was"), (1, "bad")]
    assert words[1].attribution != words[2].attribution


@pytest.mark.parametrize("method", METHODS)
def test_what_the_model_does_not_read_is_counted_and_not_explained(tmp_path: Path, method: Method) -> None:
    model = new_model(tmp_path, 6, is_pair=True, max_length=9)
    (explanation,) = explain(model, [("the plot was great", "a bad very awful film")], method=method)
    assert explanation.unread == (2, 3)  # of 5 and 6 pieces there is room for 6
    assert [word.word for word in explanation.reasons[0].words] == ["the", "plot", "was", "a", "bad", "very"]
    whole = explain(replace(model, signature=replace(model.signature, max_length=14)), [("the", "a")], method=method)
    assert whole[0].unread == (0, 0)


def test_a_word_that_is_cut_in_two_keeps_its_first_pieces(tmp_path: Path) -> None:
    model = new_model(tmp_path, 6, max_length=5)
    (explanation,) = explain(model, ["the plot great"])
    last = explanation.reasons[0].words[-1]
    assert (last.word, [piece.piece for piece in last.pieces], explanation.unread) == ("gre", ["gre"], (1,))


@pytest.mark.parametrize("method", METHODS)
def test_a_text_read_in_windows_is_explained_whole(tmp_path: Path, method: Method) -> None:
    text = "the great film was a bad plot and very poor music"
    model = new_model(tmp_path, 6, max_length=7, long_text="windows", window_stride=3, pooling="mean")
    (explanation,) = explain(model, [text], method=method)
    (reason,) = explanation.reasons
    share = explanation.prediction.probability
    assert share is not None
    assert reason.score == pytest.approx(math.log(share / (1 - share)), abs=1e-4)
    assert [word.word for word in reason.words] == text.split()
    assert explanation.unread == (0,)
    if method == "integrated-gradients":
        assert abs(reason.residual) < 0.01 * sum(abs(word.attribution) for word in reason.words)
    else:  # "bad" blank in both windows that hold it
        (without,) = explain(model, [text.replace("bad", "zzz")], method=method)
        assert [piece.piece for piece in without.reasons[0].words[5].pieces] == ["[UNK]"]
        blank = without.reasons[0].score - without.reasons[0].words[5].attribution
        sign = 1 if without.reasons[0].label == reason.label else -1
        assert reason.score - reason.words[5].attribution == pytest.approx(sign * blank, abs=1e-5)


def test_the_middle_that_head_and_tail_leave_out_is_not_explained(tmp_path: Path) -> None:
    model = new_model(tmp_path, 6, max_length=6, long_text="head-tail")
    (explanation,) = explain(model, ["the film was a bad plot"])
    assert [word.word for word in explanation.reasons[0].words] == ["the", "a", "bad", "plot"]
    assert explanation.unread == (2,)


@pytest.mark.parametrize("method", METHODS)
def test_each_label_given_has_reasons_of_its_own(tmp_path: Path, method: Method) -> None:
    labels = ("a", "b", "c")
    model = new_model(tmp_path, 8, kind="multi-label", labels=labels, thresholds=(0.01, 0.99, 0.01))
    (explanation,) = explain(model, ["the film was great"], method=method)
    assert explanation.prediction.labels == ("a", "c")
    assert [reason.label for reason in explanation.reasons] == ["a", "c"]
    for reason in explanation.reasons:
        share = explanation.prediction.probabilities[reason.label or ""]
        assert reason.score == pytest.approx(math.log(share / (1 - share)), abs=1e-4)
    first, second = ([word.attribution for word in reason.words] for reason in explanation.reasons)
    assert first != pytest.approx(second)
    # The reasons of a label are not those of its neighbour in the logits.
    alone = replace(model, signature=replace(model.signature, thresholds=(0.99, 0.99, 0.01)))
    assert explain(alone, ["the film was great"], method=method)[0].reasons == (explanation.reasons[1],)


def test_where_no_label_is_given_the_most_probable_one_is_explained(tmp_path: Path) -> None:
    model = new_model(tmp_path, 8, kind="multi-label", labels=("a", "b", "c"), thresholds=(0.99, 0.99, 0.99))
    (explanation,) = explain(model, ["the film was great"])
    shares = explanation.prediction.probabilities
    assert explanation.prediction.labels == ()
    assert [reason.label for reason in explanation.reasons] == [max(shares, key=lambda name: shares[name])]


def test_a_value_is_explained_as_it_is(tmp_path: Path) -> None:
    model = new_model(tmp_path, 7, kind="regression", labels=())
    (explanation,) = explain(model, ["the film was great"])
    (reason,) = explanation.reasons
    assert reason.label is None
    assert reason.score == pytest.approx(explanation.prediction.value, abs=1e-5)
    assert reason.residual == pytest.approx(0, abs=1e-2)


def test_a_text_without_a_word_has_nothing_to_explain(tmp_path: Path) -> None:
    for method in METHODS:
        (explanation,) = explain(new_model(tmp_path, 8), [" "], method=method)
        assert explanation.reasons[0].words == ()
        assert explanation.reasons[0].score == pytest.approx(explanation.reasons[0].blank_score)


def test_parameters_get_no_gradient_and_dropout_stays_off(tmp_path: Path) -> None:
    model = new_model(tmp_path, 9)
    model.classifier.train()
    first, second = (explain(model, ["the film was great"]) for _ in range(2))
    assert first == second
    assert all(parameter.grad is None for parameter in model.classifier.parameters())
    assert model.classifier.training


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    model = new_model(tmp_path, 10)
    with pytest.raises(ConfigError, match="method 'lime' is none of integrated-gradients, occlusion"):
        explain(model, ["a"], method="lime")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="steps must be at least 1, not 0"):
        explain(model, ["a"], steps=0)
    with pytest.raises(ConfigError, match="one text"):
        explain(model, [("a", "the")])


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_an_answer_that_is_no_number_is_refused_and_not_explained(tmp_path: Path, method: Method) -> None:
    model = new_model(tmp_path, seed=3)
    with torch.no_grad():
        model.classifier.classifier.weight.fill_(3e38)
    with pytest.raises(DataError, match="logits of 2 of 2 rows are not finite numbers"):
        explain(model, sentences(2, seed=1), method=method)


@pytest.mark.parametrize(
    "signature",
    [
        ModelSignature(("a", "b", "c"), is_pair=False, max_length=8, temperature=1.7),
        ModelSignature(("a", "b", "c"), is_pair=False, max_length=8, kind="multi-label", temperature=0.6),
        ModelSignature((), is_pair=False, max_length=8, kind="regression"),
    ],
    ids=["classes", "several", "value"],
)
def test_what_occlusion_and_the_gradients_explain_is_the_same(signature: ModelSignature) -> None:
    logits = np.random.default_rng(3).normal(0, 8, (20, signature.num_outputs)).astype(np.float32)
    targets = list(range(signature.num_outputs))
    expected = module.score_of(signature, targets)(torch.from_numpy(logits).double()).numpy()
    np.testing.assert_allclose(scores_of(logits, signature, targets), expected, rtol=1e-12, atol=1e-12)
