"""What a run answered on its validation rows, beyond its scores: where it is wrong, how surely, and on which rows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation import answers
from bertune.evaluation.calibration_error import calibration_error, reliability_of
from bertune.evaluation.intervals import Estimate, share_interval
from bertune.evaluation.saved_calibration import SavedBins
from bertune.reports.run_metrics import AnswerNumbers, ErrorRow, Group, Measure
from bertune.training.saved_run import AnsweredRow, Target

MOST_ERRORS: Final = 25
_MOST_POINTS: Final = 1_000
_MOST_GROUPS: Final = 5
_ROWS_A_GROUP: Final = 20


def answer_numbers(rows: Sequence[AnsweredRow], signature: ModelSignature) -> AnswerNumbers:
    """Returns all numbers about the rows of `validation.jsonl`, by the signature's temperature and thresholds.

    Intervals are of 95 %, Agresti-Coull's for shares, the normal one for errors.

    Args:
        rows: at least one.
        signature: of the model that answered.
    """
    logits = np.array([row.logits for row in rows])
    tokens = np.array([row.tokens for row in rows])
    targets = answers.targets_of([row.target for row in rows], signature)
    if not signature.kind.has_labels:
        given = answers.values(logits, signature)
        measured, confidence = np.abs(given - targets), np.abs(given - targets)
        told: list[Target] = given.tolist()
        chosen = _evenly(len(rows), _MOST_POINTS)
        measure: Measure = "mean absolute error"
        more = _OfKind(
            by_target=_groups(targets, measured),
            points=tuple((targets[row].item(), given[row].item()) for row in chosen),
        )
    else:
        shares = answers.probabilities(logits, signature)
        decided = answers.decide(shares, signature)
        measured, confidence = _right(decided, targets), _confidence_of_the_wrong(shares, decided, targets)
        told = [answers.kept_of(ids, signature) for ids in decided]
        measure = "all labels right" if targets.ndim == 2 else "right"
        more = _OfKind(
            by_target=None if targets.ndim == 2 else _by_label(measured, targets, signature.labels),
            calibration_error=calibration_error(shares, targets),
            reliability=reliability_of(shares, targets).saved(),
        )
    wrong = np.flatnonzero(confidence > 0)
    most_confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_ERRORS].tolist()
    return AnswerNumbers(
        measure=measure,
        **vars(more),
        rows=len(rows),
        wrong=len(wrong),
        overall=_summary(measured),
        by_length=_groups(tokens, measured),
        errors=tuple(_error(rows[row], told[row], float(confidence[row])) for row in most_confident),
    )


@dataclass(frozen=True, kw_only=True)
class _OfKind:
    """What of `AnswerNumbers` depends on the kind of task."""

    by_target: tuple[Group, ...] | None
    points: tuple[tuple[float, float], ...] | None = None
    calibration_error: float | None = None
    reliability: SavedBins | None = None


def _by_label(measured: NDArray[Any], targets: NDArray[Any], labels: Sequence[str]) -> tuple[Group, ...]:
    return tuple(replace(_summary(measured[targets == label]), label=name) for label, name in enumerate(labels))


def _right(decided: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = np.equal(decided, targets)
    return np.asarray(same.all(axis=1)) if same.ndim == 2 else same


def _confidence_of_the_wrong(
    shares: NDArray[np.float64], decided: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(rows,) the probability of the wrong answer (of the most confident one, for multi-label); 0 if right."""
    if targets.ndim == 2:
        of_answers = np.where(decided == 1, shares, 1 - shares)
        worst: NDArray[np.float64] = np.where(decided == targets, 0.0, of_answers).max(axis=1)
        return worst
    return np.where(decided == targets, 0.0, shares[np.arange(len(decided)), decided])


def _groups(by: NDArray[Any], measured: NDArray[Any]) -> tuple[Group, ...]:
    """Cuts rows into groups of about equal size by a number, and measures each."""
    groups = int(np.clip(len(by) // _ROWS_A_GROUP, 1, _MOST_GROUPS))
    edges = np.unique(np.quantile(by, np.linspace(0, 1, groups + 1)[1:], method="higher"))
    places = np.searchsorted(edges, by, side="left")
    return tuple(
        replace(
            _summary(measured[places == place]),
            start=by[places == place].min().item(),
            end=by[places == place].max().item(),
        )
        for place in range(len(edges))
    )


def _summary(measured: NDArray[Any]) -> Group:
    """Rows, mean and its 95 % interval, Agresti-Coull's for what is true or false; without rows there is no mean.

    Of errors, one alone or all of them equal, there is no interval.
    """
    count = len(measured)
    if not count:
        return Group(rows=0, value=None, low=None, high=None)
    mean = float(measured.mean())
    low: float | None
    high: float | None
    if measured.dtype == np.bool_:
        low, high = share_interval(mean, count)
    elif measured.min() == measured.max():
        low = high = None
    else:
        low, high = Estimate(mean, float(measured.std(ddof=1)) / math.sqrt(count)).interval()
        low = max(0.0, low)
    return Group(rows=count, value=mean, low=low, high=high)


def _error(row: AnsweredRow, told: Target, confidence: float) -> ErrorRow:
    texts = {"text_a": row.text_a, "text_b": row.text_b}
    return ErrorRow(where=row.where, **texts, tokens=row.tokens, target=row.target, answer=told, confidence=confidence)


def _evenly(count: int, most: int) -> Iterable[int]:
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen
