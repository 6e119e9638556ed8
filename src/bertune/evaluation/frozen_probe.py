"""A yardstick for a fine-tuned model: a regression on the features of the same encoder, which is not trained at all.

What a few seconds of logistic regression reach, fine-tuning has to beat.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.data.task_kind import TaskKind
from bertune.evaluation.answer_kinds import ANSWERS
from bertune.evaluation.comparison import compare_decisions
from bertune.evaluation.mean_features import mean_features
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.paired_bootstrap import measure_decisions
from bertune.evaluation.saved_scores import FrozenFeatures
from bertune.evaluation.score_parts import Scoring
from bertune.models.encoder import Encoder
from bertune.wording.metric_text import metric_name, metric_text

PENALTIES: Final = (0.01, 0.1, 1.0, 10.0)
"""Of the squared weights beside the mean loss; one is chosen by cross-validation on the training rows."""
MOST_TRAINED: Final = 1000
MOST_SCORED: Final = 500

_COST = 0.05
# Fewer say nothing; where they are more than the share of the cost allows, they take seconds.
_LEAST_TRAINED, _LEAST_SCORED = 200, 100
_FOLDS = 3
_FEWEST_ROWS = 10
_ITERATIONS = 60
# Beyond so many products a pass, cross-validation would take longer than reading the rows: this penalty is taken.
_MOST_TO_VALIDATE, _USUAL_PENALTY = 20_000_000, 0.1
_NORMAL_WIDTH = 2 * 1.96
# How often luck alone makes a difference of a standard error, to either side.
_ONE_ERROR = 0.32


@dataclass(frozen=True, eq=False)
class FrozenProbe:
    """What the regression answered.

    Args:
        kind: of the task.
        metrics: on the rows that were scored, in the order asked for.
        rows_trained: training rows that it was fitted on.
        scored: numbers of the validation rows that it was scored on.
        decisions: for them, in the form of targets.
        targets: of them.
        num_labels: outputs; 1 for values.
        penalty: of `PENALTIES`.
    """

    kind: TaskKind
    metrics: dict[str, float]
    rows_trained: int
    scored: NDArray[np.int64]
    decisions: NDArray[Any]
    targets: NDArray[Any]
    num_labels: int
    penalty: float

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{'logistic' if self.kind.has_labels else 'ridge'} regression on frozen features"

    def saved(self) -> FrozenFeatures:
        """Returns what `scores.json` holds of it."""
        return FrozenFeatures(self.name, self.metrics, self.rows_trained, len(self.scored), self.penalty)

    def line(self) -> str:
        """Returns its first metric with the number of rows, for a terminal."""
        metric, value = next(iter(self.metrics.items()))
        return (
            f"{self.name}: {metric_name(metric)} {metric_text(metric, value)} "
            f"({self.rows_trained:,} rows trained, {len(self.scored):,} scored)"
        )

    def beside(self, decisions: NDArray[Any]) -> "FrozenComparison":
        """Compares a model with it on the rows that both answered.

        Args:
            decisions: of the model, for all validation rows.
        """
        metric = next(iter(self.metrics))
        found = compare_decisions(
            [decisions[self.scored], self.decisions],
            self.targets,
            kind=self.kind,
            metrics=[metric],
            num_labels=self.num_labels,
        )
        model, frozen = (scores[metric] for scores in found.scores)
        pair = found.pairs[0]
        error = (pair.metrics[metric].high - pair.metrics[metric].low) / _NORMAL_WIDTH
        return FrozenComparison(self.name, metric, model, frozen, error, pair.p, len(self.scored))


@dataclass(frozen=True)
class FrozenComparison:
    """A fine-tuned model beside the regression, on the same validation rows.

    Args:
        name: of the regression.
        metric: that is compared.
        model: its value for the fine-tuned model.
        frozen: its value for the regression.
        standard_error: of the difference, by the paired bootstrap.
        p: two-sided, of the comparison: the larger of McNemar's and the bootstrap's (`compare_decisions`).
        rows: compared.
    """

    name: str
    metric: str
    model: float
    frozen: float
    standard_error: float
    p: float
    rows: int

    @property
    def is_below(self) -> bool:
        """Whether the model is worse by more than one standard error, by the bootstrap and by the exact test.

        A level of 5 % would hide on some hundred rows what is worth a try; and the best epoch was chosen on these rows,
        which flatters the model, not the regression. The exact test keeps one row or two from telling anything.
        """
        lead = self.frozen - self.model if METRICS[self.metric].higher_is_better else self.model - self.frozen
        return lead > self.standard_error and self.p < _ONE_ERROR

    def sentence(self) -> str:
        """Says by how much the model is worse."""
        frozen, model = (metric_text(self.metric, value) for value in (self.frozen, self.model))
        return (
            f"{metric_name(self.metric)} is {model}, below the {frozen} of a {self.name}, on the same {self.rows:,} "
            f"validation rows (p = {self.p:.3f})"
        )


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
) -> FrozenProbe | None:
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
    assert train.targets is not None
    assert validation.targets is not None
    kind, num_labels = scoring.kind, len(scoring.label_names or "1")
    trained, scored = rows_for_probe(len(train), len(validation), epochs)
    rows = _spaced(train.targets, trained, kind)
    targets = train.targets[rows]
    if len(rows) < _FEWEST_ROWS or (targets == targets[0]).all():
        return None
    chosen = _spaced(validation.targets, scored, kind)
    features = mean_features(encoder, train.encoded.take(rows), precision=precision).astype(np.float64)
    if not np.isfinite(features).all():
        return None
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread == 0] = 1.0
    features = (features - mean) / spread
    wanted = _wanted(targets, kind, num_labels)
    penalty = _choose_penalty(features, wanted, targets, kind)
    weights = _fit(features, wanted, penalty, kind)
    new = mean_features(encoder, validation.encoded.take(chosen), precision=precision)
    if not np.isfinite(new).all():
        return None
    answers = _decide(_with_one((new - mean) / spread) @ weights, kind, target_range)
    truth = validation.targets[chosen]
    found = measure_decisions(scoring.metrics, answers, truth, kind=kind, num_labels=num_labels)
    return FrozenProbe(kind, found, trained, chosen, answers, truth, num_labels, penalty)


def _spaced(targets: NDArray[Any], count: int, kind: TaskKind) -> NDArray[np.int64]:
    """Returns numbers of rows, evenly spaced, in their order; each class keeps its share."""
    order = np.argsort(targets, kind="stable") if kind.has_one_label else np.arange(len(targets))
    places = (np.arange(count) * (len(targets) / count)).astype(np.int64)
    return np.sort(order[places])


def _wanted(targets: NDArray[Any], kind: TaskKind, num_labels: int) -> NDArray[np.float64]:
    if kind.has_one_label:
        rows: NDArray[np.float64] = np.eye(num_labels)[targets]
        return rows
    return targets.astype(np.float64).reshape(len(targets), num_labels)


def _choose_penalty(
    features: NDArray[np.float64], wanted: NDArray[np.float64], targets: NDArray[Any], kind: TaskKind
) -> float:
    """Returns the penalty with the lowest loss on rows that were left out in turn."""
    if features.size * wanted.shape[1] > _MOST_TO_VALIDATE and kind.has_labels:
        return _USUAL_PENALTY
    fold = np.empty(len(features), np.int64)
    # In the order of the targets, so that each fold has its share of every class.
    order = np.arange(len(targets)) if kind.has_label_sets else np.argsort(targets, kind="stable")
    fold[order] = np.arange(len(features)) % _FOLDS
    losses = dict.fromkeys(PENALTIES, 0.0)
    for number in range(_FOLDS):
        fitted, left = fold != number, fold == number
        start = None
        for penalty in sorted(PENALTIES, reverse=True):  # each from the weights of the one before
            start = _fit(features[fitted], wanted[fitted], penalty, kind, start)
            losses[penalty] += _loss(_with_one(features[left]) @ start, wanted[left], kind)[0] * int(left.sum())
    return min(losses, key=lambda penalty: losses[penalty])


def _fit(
    features: NDArray[np.float64],
    wanted: NDArray[np.float64],
    penalty: float,
    kind: TaskKind,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Returns weights, (features + 1, outputs); the last row is the intercept, which no penalty holds."""
    rows, given = len(features), _with_one(features)
    size = (given.shape[1], wanted.shape[1])
    held = np.full((size[0], 1), penalty)
    held[-1] = 1e-6  # a class without rows would drift away
    if not kind.has_labels:
        # The same minimum as below, in closed form: the loss there is half the squared error.
        covariance = given.T @ given / rows + np.diag(held[:, 0])
        return np.asarray(np.linalg.solve(covariance, given.T @ wanted / rows), dtype=np.float64)
    from scipy.optimize import minimize  # takes a third of a second

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(size)
        loss, slope = _loss(given @ weights, wanted, kind)
        gradient = given.T @ slope + held * weights
        return loss + float((held * weights**2).sum()) / 2, gradient.ravel()

    begin = np.zeros(size) if start is None else start
    found = minimize(cost, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    best: NDArray[np.float64] = found.x.reshape(size)
    return best


def _loss(
    logits: NDArray[np.float64], wanted: NDArray[np.float64], kind: TaskKind
) -> tuple[float, NDArray[np.float64]]:
    """Returns the mean loss of the rows and its slope by the logits."""
    rows = len(logits)
    if not kind.has_labels:
        return float(((logits - wanted) ** 2).sum()) / (2 * rows), (logits - wanted) / rows
    if kind.has_label_sets:
        shares = 0.5 * (1 + np.tanh(logits / 2))
        return float((np.logaddexp(0, logits) - logits * wanted).sum()) / rows, (shares - wanted) / rows
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float((wanted * (total - shifted)).sum()) / rows, (np.exp(shifted - total) - wanted) / rows


def _with_one(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _decide(logits: NDArray[np.float64], kind: TaskKind, target_range: tuple[float, float] | None) -> NDArray[Any]:
    given = ANSWERS[kind].likeliest(logits)
    return given if target_range is None else np.clip(given, *target_range)
