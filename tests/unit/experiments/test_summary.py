"""Mean, spread and interval over seeds, and what is said about them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bertune.experiments.study_table import SeedResult
from bertune.experiments.summary import spread_of, summarize
from bertune.system.hinted_values import to_json

GOOD = SeedResult(1, "seed-1", "finished", 9.6, 3, {"accuracy": 0.80, "f1": 0.9}, 0.5)
BETTER = SeedResult(2, "seed-2", "finished", 9.4, 2, {"accuracy": 0.84, "f1": 0.8}, 0.6)
COLLAPSED = SeedResult(3, "seed-3", "finished", 9.0, 1, {"accuracy": 0.68, "f1": 0.81}, 0.7, collapsed=True)
DIVERGED = SeedResult(4, "seed-4", "diverged", 1.0, reason="the loss at step 3 is nan (learning rate 0.5)")


def test_the_spread_is_that_of_numpy_and_the_interval_that_of_scipy() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.02, 5)
    spread = spread_of(values.tolist())
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert spread.mean == pytest.approx(values.mean(), rel=1e-12)
    assert spread.std == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (spread.low, spread.high) == (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))
    assert (spread.minimum, spread.maximum) == (values.min(), values.max())


def test_the_interval_ends_where_no_value_of_the_metric_can_be() -> None:
    names = ("accuracy", "matthews")
    for values, ends in {(0.1, 0.9): ((0.0, 1.0), (-1.0, 1.0)), (0.4, 0.6): ((0.0, 1.0), (-0.7706, 1.0))}.items():
        seeds = [replace(GOOD, seed=seed, metrics=dict.fromkeys(names, value)) for seed, value in enumerate(values)]
        metrics = summarize(seeds).metrics
        for name, (low, high) in zip(names, ends, strict=True):
            assert (metrics[name].low, metrics[name].high) == (pytest.approx(low, abs=1e-4), high)
    inside = [replace(GOOD, seed=seed, metrics={"accuracy": 0.5 + seed / 1000}) for seed in (1, 2)]
    spread = summarize(inside).metrics["accuracy"]
    assert spread == spread_of([0.501, 0.502])


def test_one_seed_has_no_spread() -> None:
    spread = spread_of([0.8])
    assert (spread.mean, spread.std, spread.low, spread.high) == (0.8, None, None, None)
    assert not any("interval:" in line for line in summarize([GOOD]).lines())


def test_seeds_that_agree_have_no_interval_rather_than_one_of_no_width() -> None:
    agreeing = [replace(GOOD, seed=seed, metrics={"accuracy": 0.98}) for seed in (1, 2)]
    spread = summarize(agreeing).metrics["accuracy"]
    assert (spread.mean, spread.std, spread.low, spread.high) == (0.98, 0.0, None, None)
    lines = summarize(agreeing).lines()
    assert "accuracy  98.0 %  0.0 %      none: the seeds agree  98.0 %   98.0 %" in lines


def test_collapsed_seeds_count_in_the_mean_and_diverged_ones_cannot() -> None:
    summary = summarize([DIVERGED, COLLAPSED, BETTER, GOOD])
    assert [result.seed for result in summary.results] == [1, 2, 3, 4]
    assert summary.metrics["accuracy"].mean == pytest.approx((0.80 + 0.84 + 0.68) / 3)
    assert (summary.best, summary.collapsed, summary.diverged) == (2, (3,), (4,))
    json.dumps(to_json(summary.saved()), allow_nan=False)


def test_of_two_equal_seeds_the_one_with_the_lower_loss_is_best() -> None:
    equal = replace(GOOD, seed=5, loss=0.4)
    assert summarize([GOOD, equal]).best == 5
    assert summarize([equal, replace(equal, seed=6)]).best == 5


def test_nothing_is_best_where_all_diverged() -> None:
    summary = summarize([DIVERGED])
    assert (summary.best, summary.metrics) == (None, {})
    assert "diverged: seed 4" in summary.lines()[-1]


def test_the_table_names_the_best_the_collapsed_and_the_diverged() -> None:
    lines = summarize([GOOD, BETTER, COLLAPSED, DIVERGED]).lines()
    assert lines[0] == "4 seeds, scores on the validation data:"
    assert lines[2:8] == [
        "seed  epoch  accuracy      F1    loss  seconds",
        "1         3    80.0 %  90.0 %  0.5000       10",
        "2         2    84.0 %  80.0 %  0.6000        9  best",
        "3         1    68.0 %  81.0 %  0.7000        9  collapsed",
        "4         –         –       –       –        1  diverged: the loss at step 3 is",  # noqa: RUF001
        "                                                nan (learning rate 0.5)",
    ]
    assert lines[9:11] == [
        "metric      mean    std  95 % interval of the mean  lowest  highest",
        "accuracy  77.3 %  8.3 %                56.6–98.0 %  68.0 %   84.0 %",  # noqa: RUF001
    ]
    assert "collapsed: seed 3; diverged: seed 4" in lines
