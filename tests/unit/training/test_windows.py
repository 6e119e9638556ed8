"""Training and predicting texts in windows: an example weighs one, however many windows it has."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tests.unit.training.conftest import SIZES, make_classifier

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.evaluate_model import evaluate
from bertune.evaluation.logits import predict_logits
from bertune.evaluation.predict_texts import predict
from bertune.models.classifier import Classifier
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.long_texts import LongText
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.engine import TorchEngine
from bertune.training.engine_choice import engine_for
from bertune.training.loop import fit, optimizer_of
from bertune.training.objective import Objective
from bertune.training.plan import plan_of
from bertune.training.step import StepPlace, take_step

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "up", "down", *(f"w{number}" for number in range(33))]
STILL = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
MAX_LENGTH = 16


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return BertTokenizer(path)


def texts_of(rows: int, seed: int, *, shortest: int = 4, longest: int = 60) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of filler words whose class is told by their last word."""
    source = np.random.default_rng(seed)
    targets = source.integers(0, 2, rows)
    texts = []
    for target in targets:
        words = [f"w{number}" for number in source.integers(0, 33, source.integers(shortest, longest))]
        texts.append(" ".join([*words, WORDS[5 + int(target)]]))
    return texts, targets


def windows_of(texts: list[str], tokenizer: BertTokenizer, targets: Any = None) -> Dataset:
    return Dataset(encode_examples(texts, None, tokenizer, MAX_LENGTH, long_text="windows", window_stride=9), targets)


@pytest.fixture
def data(tokenizer: BertTokenizer) -> Dataset:
    made = windows_of(*((pair := texts_of(24, 1))[0], tokenizer), pair[1])
    assert made.encoded.sequence_counts.max() > 4
    assert made.encoded.sequence_counts.min() == 1
    return made


def loss_by_hand(classifier: Classifier, data: Dataset, indices: NDArray[np.int64]) -> torch.Tensor:
    """Each window of each example by itself; the mean of an example's logits; the mean of the examples' losses."""
    losses = []
    assert data.targets is not None
    for index in indices:
        example = data.encoded.take([index]).sequences
        logits = [classifier(pack(example, np.array([window])))[0] for window in range(len(example))]
        losses.append(F.cross_entropy(torch.stack(logits).mean(0), torch.tensor(int(data.targets[index]))))
    return torch.stack(losses).mean()


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("micro_batch_size", [8, 3])
def test_a_step_has_loss_and_gradients_of_the_pooled_logits(
    data: Dataset, kernels: bool, micro_batch_size: int
) -> None:
    classifier = make_classifier(config=STILL)
    by_hand = copy.deepcopy(classifier)
    config = TrainingConfig(
        recipe="lesson", learning_rate=1e-3, warmup_fraction=0.0, max_gradient_norm=0.0, weight_decay=0.0
    )
    plan = plan_of(config, classifier, 8)
    indices = np.array([3, 11, 0, 7, 20, 19, 5, 2])

    expected = loss_by_hand(by_hand, data, indices)
    expected.backward()  # type: ignore[no-untyped-call]
    norm = float(torch.stack([p.grad.norm() for p in by_hand.parameters() if p.grad is not None]).norm())
    optimizer_of(by_hand, plan, 10).step()

    optimizer = optimizer_of(classifier, plan, 10)
    engine = engine_for(classifier, optimizer) if kernels else TorchEngine(classifier, optimizer, name="")
    assert (engine.name == "compiled kernels") is kernels
    step = take_step(
        engine,
        Objective("classification", ("accuracy",)),
        data,
        indices,
        place=StepPlace(step=0, epoch=1, rate=1e-3),
        micro_batch_size=micro_batch_size,
    )
    assert step.loss == pytest.approx(expected.item(), rel=1e-5)
    assert step.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert (step.examples, step.tokens) == (8, int(data.encoded.take(indices).offsets[-1]))
    for (name, mine), (_, theirs) in zip(classifier.named_parameters(), by_hand.named_parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-4, msg=name)  # Adam's first step is 1e-3 each


def test_predictions_are_the_mean_of_the_windows_in_the_order_of_the_examples(data: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    logits = predict_logits(classifier, data)
    with torch.inference_mode():
        for index in range(len(data)):
            example = data.encoded.take([index]).sequences
            windows = [classifier(pack(example, np.array([window])))[0] for window in range(len(example))]
            np.testing.assert_allclose(logits[index], torch.stack(windows).mean(0), atol=1e-5)


def test_predictions_do_not_depend_on_what_is_computed_with_them(data: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    logits = predict_logits(classifier, data)
    for batch_tokens in (1, 40, 100_000):
        seen: list[int] = []
        again = predict_logits(classifier, data, batch_tokens=batch_tokens, on_batch=seen.append)
        np.testing.assert_allclose(again, logits, atol=1e-5)
        assert sum(seen) == len(data)
    order = np.random.default_rng(0).permutation(len(data))[:7]
    np.testing.assert_allclose(predict_logits(classifier, data.encoded.take(order)), logits[order], atol=1e-5)


@pytest.mark.parametrize("mode", ["head-tail", "windows"])
def test_where_nothing_is_too_long_training_is_the_same_bit_for_bit(tokenizer: BertTokenizer, mode: LongText) -> None:
    texts, targets = texts_of(40, 2, longest=13)
    config = TrainingConfig(epochs=2, batch_size=8, precision="fp32")
    logits = []
    for long_text in ("first", mode):
        data = Dataset(encode_examples(texts, None, tokenizer, MAX_LENGTH, long_text=long_text), targets)
        classifier = make_classifier()
        fit(classifier, data, config=config)
        logits.append(predict_logits(classifier, data))
    np.testing.assert_array_equal(*logits)


def test_a_saved_model_reads_long_texts_as_it_was_trained(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    texts, targets = texts_of(30, 3)
    labels = [WORDS[5 + target] for target in targets]
    signature = ModelSignature(
        labels=("up", "down"), is_pair=False, max_length=MAX_LENGTH, long_text="windows", window_stride=9
    )
    classifier = make_classifier(config=STILL).eval()
    save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=signature)
    model = load(tmp_path / "model")
    predictions = predict(model, texts)
    np.testing.assert_allclose(predictions.logits, predict_logits(classifier, windows_of(texts, tokenizer)), atol=1e-6)
    scores, again = evaluate(model, Examples.from_lists(texts, labels=labels))
    np.testing.assert_array_equal(again.logits, predictions.logits)
    assert scores.value("accuracy") == (predictions.logits.argmax(axis=1) == targets).mean()
    assert predictions.long_texts.summary().endswith("over 16 tokens: read in 4.3 windows on average")


def accuracy_of(mode: LongText, tokenizer: BertTokenizer, *, is_pair: bool) -> float:
    """Trains on texts whose last word decides, and scores on others."""
    sets = []
    stride = 6 if mode == "windows" else None
    for rows, seed in ((400, 1), (200, 2)):
        texts, targets = texts_of(rows, seed, shortest=24, longest=50)
        first, second = ([f"w{row % 33}" for row in range(rows)], texts) if is_pair else (texts, None)
        encoded = encode_examples(first, second, tokenizer, MAX_LENGTH, long_text=mode, window_stride=stride)
        sets.append(Dataset(encoded, targets))
    config = TrainingConfig(epochs=6, batch_size=16, learning_rate=3e-3, precision="fp32")
    scores = fit(make_classifier(config=STILL), *sets, config=config).best.scores
    assert scores is not None
    return scores.value("accuracy")


@pytest.mark.parametrize("is_pair", [False, True])
def test_a_label_told_by_the_last_word_is_learnt_where_it_is_seen(tokenizer: BertTokenizer, is_pair: bool) -> None:
    assert accuracy_of("first", tokenizer, is_pair=is_pair) < 0.6
    assert accuracy_of("head-tail", tokenizer, is_pair=is_pair) > 0.95
    assert accuracy_of("windows", tokenizer, is_pair=is_pair) > 0.9
