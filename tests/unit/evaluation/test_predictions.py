from pathlib import Path

import numpy as np
import pytest
import torch

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples, ReadReport
from bertune.errors import DataError
from bertune.evaluation.given_texts import examples_of
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.logits import predict_logits
from bertune.evaluation.predict_texts import predict
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.encode_texts import pad
from bertune.tokenization.tokenizer import BertTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
TEXTS = [("a b", "c"), ("d", "e f g h"), ("h", "h"), ("g f e d c", "b a"), ("b", "d")]


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """A classifier of three labels whose answers to the texts are not all the same."""
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    sizes = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.5,
    )
    classifier, _ = classifier_model(sizes, 3, seed=1)
    signature = ModelSignature(labels=("no", "perhaps", "yes"), is_pair=True, max_length=32)
    made = LoadedModel(classifier.eval(), BertTokenizer(tmp_path / "vocab.txt"), signature)
    with torch.no_grad():  # a new head prefers one label whatever the text
        classifier.classifier.bias.sub_(torch.from_numpy(predict(made, TEXTS).logits.mean(axis=0)))
    return made


def test_each_text_gets_the_most_probable_label_of_its_own_row(model: LoadedModel) -> None:
    predictions = predict(model, TEXTS)
    answers = list(predictions)
    alone = [next(iter(predict(model, [pair]))) for pair in TEXTS]
    assert len(answers) == len(predictions) == 5  # one for each text, not one for each of the three labels
    assert len({answer.label for answer in answers}) > 1
    for row, answer in enumerate(answers):
        assert answer.label == model.signature.labels[int(predictions.logits[row].argmax())] == alone[row].label
        assert answer.probability == max(answer.probabilities.values())
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.probability == pytest.approx(alone[row].probability, abs=1e-5)


def test_logits_come_in_the_order_of_the_inputs_without_dropout(model: LoadedModel) -> None:
    encoded = TextRows(examples_of(model.signature, TEXTS)).encoded_for(model)
    with torch.inference_mode():
        expected = model.classifier(pad(encoded)).numpy()
    model.classifier.train()
    for batch_tokens in (1, 9, 2048):  # examples of like length are computed together, whatever their place
        np.testing.assert_allclose(
            predict_logits(model.classifier, encoded, batch_tokens=batch_tokens), expected, atol=1e-5
        )
    np.testing.assert_allclose(predict_logits(model.classifier, pad(encoded)), expected, atol=1e-5)
    assert model.classifier.training  # left as it was found


def test_predictions_are_shown_in_one_line(model: LoadedModel) -> None:
    assert repr(predict(model, TEXTS)) == "Predictions(5 rows, labels 'no', 'perhaps', 'yes')"


def test_predictions_say_what_computed_them(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", "kernels")
    assert predict(model, TEXTS).computed_by == "fp32, torch operators: compiled kernels are switched off"


def test_logits_that_are_not_finite_are_refused_by_the_place_of_their_text(model: LoadedModel) -> None:
    with torch.no_grad():  # finite, as every weight of a checkpoint must be
        model.classifier.encoder.embeddings.token.weight[PIECES.index("g")] = 3e38
    assert len(predict(model, TEXTS[:1])) == 1
    examples = Examples(["a", "b", "g"], ["c", "d", "a"], None, [2, 3, 7], ReadReport("new.csv", 3, 3, [], 0))
    with pytest.raises(DataError, match=r"logits of 1 of 3 rows are not finite numbers, the first in new\.csv:7"):
        predict(model, examples)
