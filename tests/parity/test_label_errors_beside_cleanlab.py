"""Planted label errors: bertune's order of doubtful rows beside cleanlab's, on the same out-of-fold answers."""

import os
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from benchmarks.label_errors import planted, tables
from sklearn.linear_model import LogisticRegression

from bertune.data.examples import Examples
from bertune.data.folds import folds_of
from bertune.data.task_kind import TaskKind
from bertune.evaluation.label_quality import label_quality, neighbour_shares
from bertune.evaluation.mean_features import mean_features
from bertune.fetch.resolve import resolve_model
from bertune.models.registry import read_config
from bertune.tokenization.encode_texts import encode_examples

pytestmark = pytest.mark.peer
SEEDS = range(3, 8)


@pytest.mark.parametrize("name", ["messages", "sst2"])
def test_our_mean_average_precision_is_at_least_the_best_of_cleanlabs(name: str) -> None:
    ranking = pytest.importorskip("cleanlab.rank", reason="the peer package cleanlab is not installed")
    metrics = pytest.importorskip("sklearn.metrics")
    glue = os.environ.get("BERTUNE_GLUE_DIR")
    if name == "sst2" and glue is None:
        pytest.skip("BERTUNE_GLUE_DIR is not set")
    methods = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    found: dict[str, list[float]] = {method: [] for method in (*methods, "ours")}
    for seed in SEEDS:
        noisy, wrong = planted(tables(Path(glue or "."), seed, only=name)[name], seed)
        texts, words = [text for text, _ in noisy], [label for _, label in noisy]
        features = features_of(texts)
        labels = sorted(set(words))
        targets = np.array([labels.index(word) for word in words])
        examples = Examples.from_lists(texts, None, words, name="table")
        folds = folds_of(examples, TaskKind.CLASSIFICATION, 5)
        probabilities = np.zeros((len(texts), len(labels)))
        for fold in range(1, 6):
            others = folds != fold
            model = LogisticRegression(C=10, max_iter=300).fit(features[others], targets[others])
            probabilities[~others] = model.predict_proba(features[~others])
        ours = label_quality(probabilities, targets, neighbour_shares(features, targets, len(labels)))
        found["ours"].append(metrics.average_precision_score(wrong, -ours))
        for method in methods:
            quality = ranking.get_label_quality_scores(targets, probabilities, method=method)
            found[method].append(metrics.average_precision_score(wrong, -quality))
    means = {method: fmean(values) for method, values in found.items()}
    assert means["ours"] >= max(means[method] for method in methods), means


def features_of(texts: list[str]) -> np.ndarray:
    """What the encoder of the demo makes of texts, untrained."""
    from bertune.checkpoints.model_files import config_file, tokenizer_folder
    from bertune.checkpoints.restore import restore
    from bertune.models.classifier import undrawn_model
    from bertune.tokenization.read_tokenizer import read_tokenizer

    folder = resolve_model("sentence-transformers/all-MiniLM-L6-v2")
    tokenizer = read_tokenizer(tokenizer_folder(folder))
    _, encoder = undrawn_model(read_config(config_file(folder)), 2)
    restore(encoder, folder).assert_consumed()
    return mean_features(encoder, encode_examples(texts, None, tokenizer, 128), precision=torch.float32)
