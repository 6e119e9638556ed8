"""One model of the weights of several: the mean of all, and the greedy soup.

Source: Wortsman et al., 2022, "Model soups" (https://arxiv.org/abs/2203.05482), recipe 1. There all models start from
one head; here each seed draws its own, so that their mean need not be any good. Validation decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bertune.checkpoints.model_folder import load
from bertune.evaluation.scores import Scores
from bertune.experiments.study_table import SavedAverage
from bertune.models.classifier import Classifier

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Average:
    """The mean of several seeds' weights, and what it is worth.

    Args:
        recipe: `greedy soup`, or `mean of all`.
        seeds: whose weights it is the mean of.
        scores: on the validation data.
    """

    recipe: str
    seeds: tuple[int, ...]
    scores: Scores

    def saved(self) -> SavedAverage:
        """Returns what `seeds.json` holds of it."""
        return SavedAverage(self.recipe, self.seeds, self.scores.values, self.scores.mean_loss)


class _Sum:
    """A running sum of weights, in float64: the order in which they come does not show."""

    def __init__(self) -> None:
        self.seeds: tuple[int, ...] = ()
        self._total: Weights = {}

    def mean_with(self, weights: Weights) -> Weights:
        """Returns the mean of what was added and `weights`."""
        count = len(self.seeds) + 1
        return {
            name: ((self._total.get(name, 0.0) + value.double()) / count).float() for name, value in weights.items()
        }

    def add(self, seed: int, weights: Weights) -> None:
        self.seeds += (seed,)
        self._total = {name: self._total.get(name, 0.0) + value.double() for name, value in weights.items()}


def averages(
    models: Sequence[tuple[int, Path]], score_of: Callable[[Classifier], Scores]
) -> tuple[list[Average], Classifier | None]:
    """Tries both recipes.

    Args:
        models: seeds and model folders, from the best to the worst; at least two.
        score_of: scores a classifier on the validation data.

    Returns:
        What each recipe came to, and a classifier with the better of them if it is above the best model by metric, or
        on an equal metric by a lower loss; None if it is not. The soup may be the best model alone, and is left out
        where it is the mean of all.
    """
    soup, every = _Sum(), _Sum()
    classifier: Classifier | None = None
    alone: Scores | None = None
    best: Scores | None = None
    mean: Weights = {}
    soup_weights: Weights = {}
    for seed, folder in models:
        classifier = load(folder).classifier
        weights = classifier.state_dict()
        mean = every.mean_with(weights)
        every.add(seed, weights)
        mixed = soup.mean_with(weights)
        weights = {name: value.clone() for name, value in weights.items()}
        scores = _scored(classifier, mixed, score_of)
        alone = alone or scores
        if best is None or scores.rank >= best.rank:
            soup.add(seed, weights)
            best, soup_weights = scores, mixed
    assert classifier is not None
    assert alone is not None
    assert best is not None
    tried = [(Average("mean of all", every.seeds, _scored(classifier, mean, score_of)), mean)]
    if len(soup.seeds) < len(models):
        tried.insert(0, (Average("greedy soup", soup.seeds, best), soup_weights))
    better, weights = max(tried, key=lambda pair: pair[0].scores.rank)
    found = [average for average, _ in tried]
    if better.scores.rank <= alone.rank:
        return found, None
    classifier.load_state_dict(weights)
    return found, classifier


def best_of(found: Sequence[Average]) -> Average:
    """Returns the average with the best metric, on an equal one that with the lower loss."""
    return max(found, key=lambda average: average.scores.rank)


def _scored(classifier: Classifier, weights: Weights, score_of: Callable[[Classifier], Scores]) -> Scores:
    classifier.load_state_dict(weights)
    with torch.no_grad():
        return score_of(classifier)
