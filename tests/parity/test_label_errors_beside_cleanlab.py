"""Planted label errors: bertune's order of doubtful rows beside cleanlab's, on the same out-of-fold answers."""

import os
from pathlib import Path
from statistics import fmean

import pytest
from benchmarks.label_errors import frozen_out_of_fold, planted, rankings, tables

pytestmark = pytest.mark.peer
# Others than those on which the ranking was chosen.
SEEDS = range(3, 8)


@pytest.mark.parametrize("name", ["messages", "sst2"])
def test_the_mean_average_precision_is_at_least_the_best_of_cleanlabs(name: str) -> None:
    pytest.importorskip("cleanlab", reason="the peer package cleanlab is not installed")
    metrics = pytest.importorskip("sklearn.metrics")
    glue = os.environ.get("BERTUNE_GLUE_DIR")
    if name == "sst2" and glue is None:
        pytest.skip("BERTUNE_GLUE_DIR is not set")
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        noisy, wrong = planted(tables(Path(glue or "."), seed, only=name)[name], seed)
        answered = frozen_out_of_fold(noisy)
        for ranking, quality in rankings().items():
            found.setdefault(ranking, []).append(metrics.average_precision_score(wrong, -quality(answered)))
    means = {ranking: fmean(values) for ranking, values in found.items()}
    ours = means.pop("bertune")
    assert sum(ranking.startswith("cleanlab") for ranking in means) == 3
    assert ours >= max(means.values()), (ours, means)
