"""What a regression that takes seconds answers, which a fine-tuned model has to beat, and the model beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.data.task_kind import TaskKind
from bertune.evaluation.comparison import compare_decisions
from bertune.evaluation.metrics import METRICS
from bertune.evaluation.paired_bootstrap import measure_decisions
from bertune.evaluation.penalized_regression import choose_penalty, decide, fit, outputs, wanted_of
from bertune.evaluation.saved_scores import SavedComparison, SavedRegression
from bertune.evaluation.score_parts import Scoring
from bertune.wording.metric_text import metric_name, metric_text

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FeatureKind = Literal["frozen features", "TF-IDF"]
"""What a regression reads: mean-pooled hidden states of the encoder before training, or weighted counts of pieces."""

_FEWEST_ROWS: Final = 10
_NORMAL_WIDTH: Final = 2 * 1.96
# How often luck alone makes a difference of a standard error, to either side.
_ONE_ERROR: Final = 0.32


@dataclass(frozen=True, eq=False)
class BaselineRows:
    """The rows of a run that a regression is fitted and scored on.

    Args:
        fitted: numbers of training rows.
        scored: numbers of validation rows.
        targets: of the training rows.
        truth: targets of the validation rows.
    """

    fitted: NDArray[np.int64]
    scored: NDArray[np.int64]
    targets: NDArray[Any]
    truth: NDArray[Any]

    @classmethod
    def spaced(cls, train: Dataset, validation: Dataset, counts: tuple[int, int], kind: TaskKind) -> Self | None:
        """Chooses rows that are evenly spaced over the data, so that each class keeps its share; nothing is drawn.

        Args:
            train: with targets.
            validation: with targets.
            counts: rows of each at most.
            kind: of the task.

        Returns:
            None where there is nothing to fit: fewer than 10 rows, or all of one target.
        """
        assert train.targets is not None
        assert validation.targets is not None
        fitted, scored = (
            _spaced(targets, min(count, len(targets)), kind)
            for targets, count in zip((train.targets, validation.targets), counts, strict=True)
        )
        targets = train.targets[fitted]
        if len(fitted) < _FEWEST_ROWS or (targets == targets[0]).all():
            return None
        return cls(fitted, scored, targets, validation.targets[scored])


@dataclass(frozen=True, eq=False)
class RegressionBaseline:
    """What a regression answered.

    Args:
        features: that it reads.
        kind: of the task.
        metrics: on the rows that were scored, in the order asked for.
        rows_trained: training rows that it was fitted on.
        scored: numbers of the validation rows that it was scored on.
        decisions: for them, in the form of targets.
        targets: of them.
        num_labels: outputs; 1 for values.
        penalty: that cross-validation chose.
    """

    features: FeatureKind
    kind: TaskKind
    metrics: dict[str, float]
    rows_trained: int
    scored: NDArray[np.int64]
    decisions: NDArray[Any]
    targets: NDArray[Any]
    num_labels: int
    penalty: float

    @classmethod
    def fitted(
        cls,
        features: FeatureKind,
        given: "tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[csr_array, csr_array]",
        rows: BaselineRows,
        scoring: Scoring,
        *,
        penalties: Sequence[float],
        target_range: tuple[float, float] | None = None,
    ) -> Self:
        """Fits a regression and scores it; see `penalized_regression`.

        Args:
            features: what they are.
            given: features of the rows to fit, and of those to score.
            rows: to fit and to score.
            scoring: kind, metrics and names of the labels.
            penalties: of the squared weights beside the mean loss, of which cross-validation on the training rows
                chooses one.
            target_range: of values: answers are clipped to it.
        """
        kind, num_labels = scoring.kind, len(scoring.label_names or "1")
        wanted = wanted_of(rows.targets, kind, num_labels)
        penalty = choose_penalty(given[0], wanted, rows.targets, kind, penalties)
        answers = decide(outputs(given[1], fit(given[0], wanted, penalty, kind)), kind, target_range)
        found = measure_decisions(scoring.metrics, answers, rows.truth, kind=kind, num_labels=num_labels)
        trained = len(rows.fitted)
        return cls(features, kind, found, trained, rows.scored, answers, rows.truth, num_labels, penalty)

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{'logistic' if self.kind.has_labels else 'ridge'} regression on {self.features}"

    def saved(self, beside: "BaselineComparison | None" = None) -> SavedRegression:
        """Returns what `scores.json` holds of it.

        Args:
            beside: the model beside it.
        """
        compared = None if beside is None else beside.saved()
        return SavedRegression(self.name, self.metrics, self.rows_trained, len(self.scored), self.penalty, compared)

    def beside(self, decisions: NDArray[Any]) -> "BaselineComparison":
        """Compares a model with it on the rows that both answered.

        Args:
            decisions: of the model, for all validation rows.
        """
        metric = next(iter(self.metrics))
        found = compare_decisions(
            [self.decisions, decisions[self.scored]],
            self.targets,
            kind=self.kind,
            metrics=[metric],
            num_labels=self.num_labels,
        )
        baseline, model = (scores[metric] for scores in found.scores)
        pair = found.pairs[0]
        interval = (pair.metrics[metric].low, pair.metrics[metric].high)
        return BaselineComparison(self.features, self.name, metric, model, baseline, interval, pair.p, len(self.scored))


@dataclass(frozen=True)
class BaselineComparison:
    """A fine-tuned model beside a regression, on the same validation rows.

    Args:
        features: that the regression reads.
        name: of the regression.
        metric: that is compared.
        model: its value for the fine-tuned model.
        baseline: its value for the regression.
        interval: 95 % interval of the difference, model less regression, by the paired bootstrap.
        p: two-sided, of the comparison: the larger of McNemar's and the bootstrap's (`compare_decisions`).
        rows: compared.
    """

    features: FeatureKind
    name: str
    metric: str
    model: float
    baseline: float
    interval: tuple[float, float]
    p: float
    rows: int

    @property
    def standard_error(self) -> float:
        """Of the difference."""
        low, high = self.interval
        return (high - low) / _NORMAL_WIDTH

    @property
    def lead(self) -> float:
        """By how much the regression is better; negative where it is worse."""
        lead = self.baseline - self.model
        return lead if METRICS[self.metric].higher_is_better else -lead

    @property
    def is_below(self) -> bool:
        """Whether the model is worse by more than one standard error, by the bootstrap and by the exact test.

        A level of 5 % would hide on some hundred rows what is worth a try; and the best epoch was chosen on these rows,
        which flatters the model, not the regression. The exact test keeps one row or two from telling anything.
        """
        return self.lead > self.standard_error and self.p < _ONE_ERROR

    def saved(self) -> SavedComparison:
        """Returns what `scores.json` holds of it."""
        return SavedComparison(self.metric, self.model, self.baseline, *self.interval, self.p)

    def sentence(self) -> str:
        """Says by how much the model is worse."""
        baseline, model = (metric_text(self.metric, value) for value in (self.baseline, self.model))
        return (
            f"{metric_name(self.metric)} is {model}, below the {baseline} of a {self.name}, on the same {self.rows:,} "
            f"validation rows (p = {self.p:.3f})"
        )


def _spaced(targets: NDArray[Any], count: int, kind: TaskKind) -> NDArray[np.int64]:
    """Returns numbers of rows, evenly spaced, in their order; each class keeps its share."""
    order = np.argsort(targets, kind="stable") if kind.has_one_label else np.arange(len(targets))
    places = (np.arange(count) * (len(targets) / count)).astype(np.int64)
    return np.sort(order[places])
