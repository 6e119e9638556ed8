"""Metrics of values, from rows with weights."""

from typing import NamedTuple

import numpy as np

from bertune.evaluation.arrays import FloatArray, divide


class WeightedRows(NamedTuple):
    """Values and how often each row counts: predictions and targets (rows,), weights (..., rows)."""

    predictions: FloatArray
    targets: FloatArray
    weights: FloatArray


def pearson(rows: WeightedRows) -> FloatArray:
    """The linear correlation."""
    return _correlation(rows.predictions, rows.targets, rows.weights)


def spearman(rows: WeightedRows) -> FloatArray:
    """The correlation of ranks; equal values share their mean rank."""
    return _correlation(
        _mean_ranks(rows.predictions, rows.weights), _mean_ranks(rows.targets, rows.weights), rows.weights
    )


def _correlation(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Correlates values, (rows,) or (..., rows), by weights (..., rows)."""
    product = _standardised(first, weights) * _standardised(second, weights)
    correlation: FloatArray = np.clip(_weighted_mean(product, weights)[..., 0], -1.0, 1.0)
    return correlation


def _standardised(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns values with mean 0 and spread 1, or all 0 where they are constant."""
    largest = np.abs(values).max()
    values = values / largest if largest else values  # so that squares neither overflow nor vanish
    mean = _weighted_mean(values, weights)
    centred = values - mean
    spread = np.sqrt(_weighted_mean(centred**2, weights))
    # Constant values differ from their rounded mean by a little, which means nothing.
    return divide(centred, np.where(spread > 1e-13 * np.abs(mean), spread, 0.0))


def _weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    mean: FloatArray = (weights * values).sum(axis=-1, keepdims=True) / weights.sum(axis=-1, keepdims=True)
    return mean


def _mean_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns the rank of each row, (..., rows), where a row of weight w stands for w equal rows."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    of_value = np.add.reduceat(weights[..., order], starts, axis=-1)
    middle = np.cumsum(of_value, axis=-1) - (of_value - 1) / 2
    ranks: FloatArray = np.empty(weights.shape)
    ranks[..., order] = np.repeat(middle, np.diff(np.append(starts, len(values))), axis=-1)
    return ranks
