"""The mean of several models' weights: which take part, and that it is their mean."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier

from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.experiments.soup import averages, best_of
from bertune.models.classifier import Classifier
from bertune.tokenization.tokenizer import BertTokenizer

SIGNATURE = ModelSignature(labels=("no", "yes"), is_pair=False, max_length=32)


@dataclass
class Near:
    """Scores a classifier by how near a number in it is to a goal; stands for scores on validation data."""

    goal: float
    number: float

    @property
    def chosen_value(self) -> float:
        return round(1 - abs(self.goal - self.number), 6)

    @property
    def rank(self) -> tuple[float, float]:
        return self.chosen_value, 0.0


@dataclass
class Tied(Near):
    """All models have the same metric; the loss is the distance from the goal."""

    @property
    def rank(self) -> tuple[float, float]:
        return 0.5, -abs(self.goal - self.number)


def number_in(classifier: Classifier) -> float:
    return float(classifier.classifier.bias.detach()[0])


@pytest.fixture
def models(tmp_path: Path) -> list[tuple[int, Path]]:
    """Seeds 1 to 3, whose number is 1.0, 3.0 and 9.0."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(SIZES.vocab_size - 5))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizer(tmp_path / "vocab.txt")
    found = []
    for seed, number in {1: 1.0, 2: 3.0, 3: 9.0}.items():
        classifier = make_classifier(seed)
        with torch.no_grad():
            classifier.classifier.bias[0] = number
        found.append((seed, save(classifier, tmp_path / f"model-{seed}", tokenizer=tokenizer, signature=SIGNATURE)))
    return found


def test_the_soup_takes_in_what_helps_and_leaves_out_what_does_not(models: list[tuple[int, Path]]) -> None:
    found, classifier = averages(models, lambda each: Near(2.0, number_in(each)))
    assert [(average.recipe, average.seeds) for average in found] == [
        ("greedy soup", (1, 2)),
        ("mean of all", (1, 2, 3)),
    ]
    assert classifier is not None
    assert number_in(classifier) == 2.0
    parts = [make_classifier(seed).state_dict() for seed in (1, 2)]
    for name, value in classifier.state_dict().items():
        if name != "classifier.bias":
            torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2, rtol=1e-6, atol=1e-8)


def test_the_mean_of_all_is_kept_where_it_is_better_than_the_soup(models: list[tuple[int, Path]]) -> None:
    """From 1.0 the soup does not go to 2.0, which is worse; the mean of all three is 4.33, and right."""
    scores = {1.0: 0.5, 2.0: 0.4, 5.0: 0.4}

    class Table(Near):
        @property
        def chosen_value(self) -> float:
            return scores.get(round(self.number, 2), 0.9)

    found, classifier = averages(models, lambda each: Table(0, number_in(each)))
    assert [(average.recipe, average.seeds) for average in found] == [("greedy soup", (1,)), ("mean of all", (1, 2, 3))]
    assert classifier is not None
    assert number_in(classifier) == pytest.approx(13 / 3)


def test_no_average_is_kept_that_is_not_better_than_the_best_model(models: list[tuple[int, Path]]) -> None:
    found, classifier = averages(models, lambda each: Near(1.0, number_in(each)))
    assert [average.seeds for average in found] == [(1,), (1, 2, 3)]
    assert classifier is None


def test_an_equal_average_does_not_take_the_best_models_place(models: list[tuple[int, Path]]) -> None:
    """The soup goes on where nothing is lost, as in the paper; what is kept must gain."""
    found, classifier = averages(models, lambda each: Near(0.0, 0.0))
    assert found[-1].seeds == (1, 2, 3)
    assert classifier is None


def test_on_an_equal_metric_the_average_with_the_lower_loss_is_kept(models: list[tuple[int, Path]]) -> None:
    found, classifier = averages(models, lambda each: Tied(2.0, number_in(each)))
    assert [average.seeds for average in found] == [(1, 2), (1, 2, 3)]
    assert best_of(found).seeds == (1, 2)
    assert classifier is not None
    assert number_in(classifier) == 2.0


def test_on_an_equal_metric_the_best_model_stays_where_its_loss_is_lower(models: list[tuple[int, Path]]) -> None:
    found, classifier = averages(models, lambda each: Tied(1.0, number_in(each)))
    assert found[0].seeds == (1,)
    assert classifier is None
