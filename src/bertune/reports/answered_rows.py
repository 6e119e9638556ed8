"""What a run answered on its validation rows, beyond its scores: where it is wrong, how surely, and on which rows."""

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract
from bertune.evaluation import answers
from bertune.evaluation.calibration_error import calibration_error, reliability_of
from bertune.evaluation.intervals import Estimate, share_interval
from bertune.reports.run_files import Rows

MOST_ERRORS: Final = 25
_MOST_POINTS: Final = 1_000
_MOST_GROUPS: Final = 5
_ROWS_A_GROUP: Final = 20
_KEPT: Final = ("where", "text_a", "text_b", "tokens", "target")


def answer_numbers(rows: Rows, contract: Contract) -> dict[str, Any]:
    """Returns all numbers about the rows of `validation.jsonl`, by the contract's temperature and thresholds.

    `measure` says what `overall`, `by_length` and `by_target` are: for classes the share of rows that are right, for
    multi-label the share of rows with every label right, for values the mean absolute error. Intervals are of 95 %,
    Agresti-Coull's for shares, the normal one for errors.

    Args:
        rows: at least one.
        contract: of the model that answered.
    """
    logits = np.array([row["logits"] for row in rows])
    tokens = np.array([row["tokens"] for row in rows])
    targets = answers.targets_of([row["target"] for row in rows], contract)
    if not contract.kind.has_labels:
        given = answers.values(logits, contract)
        measured, sureness = np.abs(given - targets), np.abs(given - targets)
        told: list[Any] = given.tolist()
        numbers: dict[str, Any] = {"measure": "mean absolute error", "by_target": _groups(targets, measured)}
        chosen = _evenly(len(rows), _MOST_POINTS)
        numbers["points"] = [[targets[row].item(), given[row].item()] for row in chosen]
    else:
        shares = answers.probabilities(logits, contract)
        decided = answers.decide(shares, contract)
        measured, sureness = _right(decided, targets), _sureness_of_the_wrong(shares, decided, targets)
        told = [answers.kept_of(ids, contract) for ids in decided]
        numbers = {"measure": "all labels right" if targets.ndim == 2 else "right"}
        if targets.ndim == 1:
            numbers["by_target"] = [
                {"label": name} | _summary(measured[targets == label]) for label, name in enumerate(contract.labels)
            ]
        numbers["calibration_error"] = calibration_error(shares, targets)
        numbers["reliability"] = reliability_of(shares, targets).to_dict()
    wrong = np.flatnonzero(sureness > 0)
    surest = wrong[np.argsort(-sureness[wrong], kind="stable")][:MOST_ERRORS].tolist()
    return numbers | {
        "rows": len(rows),
        "wrong": len(wrong),
        "overall": _summary(measured),
        "by_length": _groups(tokens, measured),
        "errors": [_kept(rows[row]) | {"answer": told[row], "sureness": float(sureness[row])} for row in surest],
    }


def _right(decided: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = np.equal(decided, targets)
    return np.asarray(same.all(axis=1)) if same.ndim == 2 else same


def _sureness_of_the_wrong(
    shares: NDArray[np.float64], decided: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(rows,) the probability that the model gave to its wrong answer (the surest one, for multi-label); 0 if right."""
    if targets.ndim == 2:
        of_answers = np.where(decided == 1, shares, 1 - shares)
        worst: NDArray[np.float64] = np.where(decided == targets, 0.0, of_answers).max(axis=1)
        return worst
    return np.where(decided == targets, 0.0, shares[np.arange(len(decided)), decided])


def _groups(by: NDArray[Any], measured: NDArray[Any]) -> list[dict[str, Any]]:
    """Cuts rows into groups of about equal size by a number, and measures each."""
    groups = int(np.clip(len(by) // _ROWS_A_GROUP, 1, _MOST_GROUPS))
    edges = np.unique(np.quantile(by, np.linspace(0, 1, groups + 1)[1:], method="higher"))
    places = np.searchsorted(edges, by, side="left")
    return [
        {"from": by[places == place].min().item(), "to": by[places == place].max().item()}
        | _summary(measured[places == place])
        for place in range(len(edges))
    ]


def _summary(measured: NDArray[Any]) -> dict[str, Any]:
    """Rows, mean and its 95 % interval, Agresti-Coull's for what is true or false; without rows there is no mean.

    Of errors, one alone or all of them equal, there is no interval.
    """
    count = len(measured)
    if not count:
        return {"rows": 0, "value": None, "low": None, "high": None}
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
    return {"rows": count, "value": mean, "low": low, "high": high}


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _KEPT if name in row}


def _evenly(count: int, most: int) -> Iterable[int]:
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen
