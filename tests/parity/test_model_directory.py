"""A saved model folder read by transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertune.batches.batch import pack
from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.predict_texts import predict
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.tokenizer import BertTokenizer

transformers = pytest.importorskip("transformers", reason="the peer package transformers is not installed")

VOCABULARY = Path(__file__).parents[1] / "golden" / "small_cased_vocab.txt"
TEXTS_A = ["the run of the", "un run", "of the of the of", "Run!"]
TEXTS_B = ["the un", "of the run of the", "the", "un un un"]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(VOCABULARY, do_lower_case=False)


def make_classifier(tokenizer: BertTokenizer, pooling: Any = "cls", activation: str = "gelu") -> Classifier:
    torch.manual_seed(0)
    sizes = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_act=activation,
        initializer_range=0.2,
    )
    return classifier_model(sizes, 2, pooling=pooling)[0].eval()


def signature_for(*, is_pair: bool) -> ModelSignature:
    return ModelSignature(labels=("not_equivalent", "equivalent"), is_pair=is_pair, max_length=64, task="mrpc")


def our_logits(classifier: Classifier, tokenizer: BertTokenizer, texts_b: list[str] | None) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = classifier(pack(encode_examples(TEXTS_A, texts_b, tokenizer, 64)))
    return logits


@pytest.mark.parametrize("is_pair", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "gelu_new", "relu"])
def test_transformers_loads_every_tensor_and_gives_our_logits(
    tmp_path: Path, tokenizer: BertTokenizer, activation: str, is_pair: bool
) -> None:
    classifier = make_classifier(tokenizer, activation=activation)
    save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature_for(is_pair=is_pair))
    model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "m", output_loading_info=True
    )
    assert {key: list(value) for key, value in report.items() if value} == {}
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.id2label == {0: "not_equivalent", 1: "equivalent"}
    assert model.config.label2id == {"not_equivalent": 0, "equivalent": 1}
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    texts_b = TEXTS_B if is_pair else None
    inputs = theirs(TEXTS_A, texts_b, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits
    difference = float((logits - our_logits(classifier, tokenizer, texts_b)).abs().max())
    print(f"{activation}: logits {difference:.2e}")
    assert difference <= 1e-5


def test_the_pipeline_gives_our_label_names_and_scores(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    classifier = make_classifier(tokenizer)
    save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature_for(is_pair=True))
    classify = transformers.pipeline("text-classification", str(tmp_path / "m"), device="cpu")
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    answers = classify(pairs, top_k=None)
    expected = our_logits(classifier, tokenizer, TEXTS_B).softmax(-1).numpy()
    for answer, scores in zip(answers, expected, strict=True):
        by_label = {entry["label"]: entry["score"] for entry in answer}
        assert by_label.keys() == {"not_equivalent", "equivalent"}
        np.testing.assert_allclose([by_label["not_equivalent"], by_label["equivalent"]], scores, rtol=0, atol=1e-5)


def test_the_tokenizer_of_the_folder_gives_our_ids(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    save(make_classifier(tokenizer), tmp_path / "m", tokenizer=tokenizer, signature=signature_for(is_pair=True))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    for first, second in zip(TEXTS_A, TEXTS_B, strict=True):
        encoded = theirs(first, second)
        assert (encoded["input_ids"], encoded["token_type_ids"]) == tokenizer.encode(first, second)
    assert theirs.model_max_length == 512


def test_a_mean_pooled_folder_is_refused_by_transformers_and_loaded_by_us(
    tmp_path: Path, tokenizer: BertTokenizer
) -> None:
    classifier = make_classifier(tokenizer, pooling="mean")
    save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature_for(is_pair=True))
    with pytest.raises(ValueError, match="bertune_mean_pooling"):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m")
    assert "does not load there" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    loaded = load(tmp_path / "m")
    assert torch.equal(
        our_logits(loaded.classifier, loaded.tokenizer, TEXTS_B), our_logits(classifier, tokenizer, TEXTS_B)
    )


def test_what_transformers_saves_again_is_restored_to_the_same_bits(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    classifier = make_classifier(tokenizer)
    save(classifier, tmp_path / "ours", tokenizer=tokenizer, signature=signature_for(is_pair=True))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs")
    other = make_classifier(tokenizer).encoder
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    receipt = restore(other, tmp_path / "theirs").assert_consumed()
    assert {record.name for record in receipt.having("unused")} == {"classifier.weight", "classifier.bias"}
    for name, parameter in other.named_parameters():
        assert torch.equal(parameter, classifier.encoder.get_parameter(name)), name
    assert BertConfig.from_json_file(tmp_path / "theirs" / "config.json") == classifier.encoder.config


def test_a_regressor_keeps_its_one_output(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    sizes = make_classifier(tokenizer).encoder.config
    regressor, _ = classifier_model(sizes, 1)
    signature = ModelSignature(labels=(), is_pair=True, max_length=64, kind="regression", metrics=("pearson",))
    save(regressor.eval(), tmp_path / "m", tokenizer=tokenizer, signature=signature)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")(
        TEXTS_A, TEXTS_B, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        difference = (model(**inputs).logits - our_logits(regressor, tokenizer, TEXTS_B)).abs().max()
    assert float(difference) <= 1e-5


def test_the_pipeline_gives_the_sigmoid_of_each_of_several_labels(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    sizes = make_classifier(tokenizer).encoder.config
    classifier, _ = classifier_model(sizes, 3, seed=4)
    signature = ModelSignature(labels=("toxic", "insult", "threat"), is_pair=True, max_length=64, kind="multi-label")
    save(classifier.eval(), tmp_path / "m", tokenizer=tokenizer, signature=signature)
    classify = transformers.pipeline("text-classification", str(tmp_path / "m"), device="cpu")
    assert classify.model.config.problem_type == "multi_label_classification"
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    answers = [{entry["label"]: entry["score"] for entry in answer} for answer in classify(pairs, top_k=None)]
    ours = [answer.probabilities for answer in predict(load(tmp_path / "m"), zip(TEXTS_A, TEXTS_B, strict=True))]
    for theirs, mine in zip(answers, ours, strict=True):
        assert theirs == pytest.approx(mine, abs=1e-5)
        assert abs(sum(mine.values()) - 1) > 0.01  # no softmax


@pytest.mark.parametrize("with_pairs", [True, False])
@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_a_classifier_that_transformers_saved_answers_as_it_does_there(
    tmp_path: Path, tokenizer: BertTokenizer, problem: str | None, with_pairs: bool
) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size,
        id2label={0: "neg", 1: "neu", 2: "pos"},
        label2id={"neg": 0, "neu": 1, "pos": 2},
        initializer_range=0.2,
        problem_type=problem,
        **sizes,
    )
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    their_tokenizer = transformers.BertTokenizer(str(VOCABULARY), do_lower_case=False)
    their_tokenizer.save_pretrained(tmp_path)
    texts_b = TEXTS_B if with_pairs else None
    with torch.inference_mode():
        inputs = their_tokenizer(TEXTS_A, texts_b, padding=True, return_tensors="pt")
        logits = theirs(**inputs).logits
    predictions = predict(load(tmp_path), Examples.from_lists(TEXTS_A, texts_b))
    np.testing.assert_allclose(predictions.logits, logits.numpy(), atol=1e-5)
    expected = logits.sigmoid() if problem else logits.softmax(-1)
    np.testing.assert_allclose(predictions.probabilities, expected.numpy(), atol=1e-5)
    assert list(next(iter(predictions)).probabilities) == ["neg", "neu", "pos"]
