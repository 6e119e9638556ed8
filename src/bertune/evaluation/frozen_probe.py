"""A baseline for a fine-tuned model: a regression on the features of the same encoder, which is not trained at all."""

from typing import Final

import numpy as np
import torch

from bertune.batches.dataset import Dataset
from bertune.evaluation.mean_features import mean_features
from bertune.evaluation.regression_baseline import BaselineRows, RegressionBaseline
from bertune.evaluation.score_parts import Scoring
from bertune.models.encoder import Encoder

PENALTIES: Final = (0.01, 0.1, 1.0, 10.0)
"""Of the squared weights beside the mean loss; one is chosen by cross-validation on the training rows."""
MOST_TRAINED: Final = 1000
MOST_SCORED: Final = 500

_COST = 0.05
# Fewer say nothing; where they are more than the share of the cost allows, they take seconds.
_LEAST_TRAINED, _LEAST_SCORED = 200, 100


def rows_for_probe(train_rows: int, validation_rows: int, epochs: int) -> tuple[int, int]:
    """Returns how many training rows are fitted on and how many validation rows are scored.

    A step costs about three passes over its rows, an evaluation one; the probe is one pass over its own rows. It has
    5 % of the passes of the run, two thirds of them on training rows, up to 1,000 and 500; of small tables 200 and 100
    at least, or all.

    Args:
        train_rows: of the run.
        validation_rows: of the run.
        epochs: of the run.
    """
    passes = _COST * epochs * (3 * train_rows + validation_rows)
    trained = min(train_rows, MOST_TRAINED, max(int(passes * 2 / 3), _LEAST_TRAINED))
    return trained, min(validation_rows, MOST_SCORED, max(int(passes / 3), _LEAST_SCORED))


def probe(
    encoder: Encoder,
    train: Dataset,
    validation: Dataset,
    scoring: Scoring,
    *,
    epochs: int,
    precision: torch.dtype,
    target_range: tuple[float, float] | None = None,
) -> RegressionBaseline | None:
    """Fits an L2-regularized regression on mean-pooled hidden states of an encoder, and scores it.

    Multinomial logistic regression for classes, one of each label for multi-label, ridge for values; on standardised
    features, its penalty chosen by threefold cross-validation on the training rows. Rows are evenly spaced over the
    data, for classes in the order of the classes. Nothing is drawn: the same data and encoder give the same result.

    Args:
        encoder: as restored; it is not changed.
        train: with targets.
        validation: with targets.
        scoring: kind, metrics and names of the labels.
        epochs: of the run, by which the number of rows is chosen (`rows_for_probe`).
        precision: in which the encoder's layers compute.
        target_range: of a regression: answers are clipped to it.

    Returns:
        The answers, or None where there is nothing to fit: rows of one target only, fewer than 10 of them, or hidden
        states that are not finite, of which training has more to say.
    """
    rows = BaselineRows.spaced(train, validation, rows_for_probe(len(train), len(validation), epochs), scoring.kind)
    if rows is None:
        return None
    given = mean_features(encoder, train.encoded.take(rows.fitted), precision=precision).astype(np.float64)
    if not np.isfinite(given).all():
        return None
    mean, spread = given.mean(axis=0), given.std(axis=0)
    spread[spread == 0] = 1.0
    new = mean_features(encoder, validation.encoded.take(rows.scored), precision=precision)
    if not np.isfinite(new).all():
        return None
    features = ((given - mean) / spread, (new - mean) / spread)
    return RegressionBaseline.fitted(
        "frozen features", features, rows, scoring, penalties=PENALTIES, target_range=target_range
    )
