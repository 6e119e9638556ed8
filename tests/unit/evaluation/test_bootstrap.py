"""What the bootstrap draws from: the rows, and pseudo-rows of which half are right, written out by hand."""

import numpy as np
import pytest

from bertune.evaluation.bootstrap import class_estimates, correlation_errors, label_estimates
from bertune.evaluation.intervals import PSEUDO_ROWS
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.score_parts import Drawing

HALF = PSEUDO_ROWS / 2


def _with_pseudo_rows(confusion: np.ndarray) -> np.ndarray:
    """Adds right ones, as frequent as each class is there and given, and wrong ones, spread over the other classes."""
    share = (confusion.sum(axis=0) + confusion.sum(axis=1)) / (2 * confusion.sum())
    present = np.flatnonzero(share)
    whole = confusion + HALF * np.diag(share)
    for true in present:
        for other in present:
            if other != true:
                whole[true, other] += HALF * share[true] / (len(present) - 1)
    return whole


def _f1(confusion: np.ndarray) -> np.ndarray:
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return np.divide(2 * confusion.diagonal(), total, out=np.zeros(len(total)), where=total > 0)


@pytest.mark.parametrize("confusion", [[[9, 2, 0], [1, 5, 0], [0, 0, 0]], [[4, 1, 2], [0, 7, 1], [3, 0, 6]]])
def test_metrics_of_classes_are_measured_with_pseudo_rows(confusion: list[list[int]]) -> None:
    counts = np.array(confusion)
    found = class_estimates(["accuracy", "f1_macro"], counts, 1, Drawing(50))
    whole = _with_pseudo_rows(counts.astype(float))
    present = (whole.sum(axis=0) + whole.sum(axis=1)) > 0
    assert found["accuracy"].own.middle == pytest.approx(whole.trace() / whole.sum())
    assert found["f1_macro"].own.middle == pytest.approx(_f1(whole)[present].mean())
    always = np.zeros_like(whole)
    always[:, 1] = whole.sum(axis=1)
    answered = (always.sum(axis=0) + always.sum(axis=1)) > 0
    assert found["f1_macro"].differences[0].middle == pytest.approx(
        _f1(whole)[present].mean() - _f1(always)[answered].mean()
    )


PREDICTIONS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
TARGETS = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]])


def _label_sums(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Right, there, given by label, rows that are all right, and rows; with the pseudo-rows."""
    mean, labels = targets.mean(axis=0), targets.shape[1]
    correct, there, given = (rows * targets).sum(axis=0), targets.sum(axis=0), rows.sum(axis=0)
    correct, there, given = correct + HALF * mean, there + 2 * HALF * mean, given + HALF * mean
    for wrong in range(labels):
        is_wrong = np.arange(labels) == wrong
        correct = correct + HALF / labels * np.where(is_wrong, 0, mean)
        given = given + HALF / labels * np.where(is_wrong, 1 - mean, mean)
    exact = (rows == targets).all(axis=1).sum() + HALF
    return correct, there, given, exact, len(rows) + 2 * HALF


def test_metrics_of_labels_are_measured_with_pseudo_rows() -> None:
    names = ["f1_micro", "f1_macro", "subset_accuracy", "hamming_loss"]
    constant = np.array([1, 0, 0])
    found = label_estimates(names, PREDICTIONS, TARGETS, [constant], Drawing(50))
    correct, there, given, exact, rows = _label_sums(PREDICTIONS, TARGETS)
    expected = {
        "f1_micro": 2 * correct.sum() / (there + given).sum(),
        "f1_macro": (2 * correct / (there + given)).mean(),
        "subset_accuracy": exact / rows,
        "hamming_loss": (there + given - 2 * correct).sum() / (3 * rows),
    }
    # A constant answer meets the same rows, pseudo-rows among them, which have its labels as often as the others.
    is_constant = (constant == TARGETS).all(axis=1)
    same = is_constant.sum() + is_constant.mean() * 2 * HALF
    always = {
        "f1_micro": 2 * there[0] / (there.sum() + rows),
        "f1_macro": 2 * there[0] / (there[0] + rows) / 3,
        "subset_accuracy": same / rows,
        "hamming_loss": (there.sum() + rows - 2 * there[0]) / (3 * rows),
    }
    for name in names:
        assert found[name].own.middle == pytest.approx(expected[name]), name
        assert found[name].differences[0].middle == pytest.approx(expected[name] - always[name]), name


def test_rows_that_are_alike_are_drawn_as_one_with_their_number() -> None:
    """Twice the rows: the same shares but for fewer pseudo-rows beside them, and smaller errors."""
    once = label_estimates(["f1_micro"], PREDICTIONS, TARGETS, [TARGETS[0]], Drawing(2000))["f1_micro"].own
    often = [np.tile(rows, (40, 1)) for rows in (PREDICTIONS, TARGETS)]
    many = label_estimates(["f1_micro"], *often, [TARGETS[0]], Drawing(2000))["f1_micro"].own  # type: ignore[call-arg]
    assert many.middle == pytest.approx(compute_metrics(["f1_micro"], PREDICTIONS, TARGETS)["f1_micro"], abs=0.01)
    assert 0.05 < many.error * np.sqrt(40) / once.error < 2


@pytest.mark.parametrize("rows", [30, 300])
def test_a_correlations_error_is_that_of_fishers_z(rows: int) -> None:
    source = np.random.default_rng(rows)
    values = source.standard_normal(rows)
    targets = values + source.standard_normal(rows)
    found = correlation_errors(["pearson"], values, targets, Drawing(2000))
    assert found["pearson"] == pytest.approx(1 / np.sqrt(rows - 3), rel=0.3)
    assert found == correlation_errors(["pearson"], values, targets, Drawing(2000))
    assert found != correlation_errors(["pearson"], values, targets, Drawing(2000, 1))
