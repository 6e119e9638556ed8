"""What counts as equal, and what a failed proof says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bertune.data.task_kind import TaskKind
from bertune.errors import BertuneError
from bertune.runtime import logit_differences
from bertune.runtime.logit_differences import compare

MODEL = np.array([[1.0, -1.0], [0.5, 0.50001], [-2.0, 3.0]], dtype=np.float32)


def moved(row: int, column: int, by: float) -> NDArray[np.float32]:
    answered = MODEL.copy()
    answered[row, column] += by
    return answered


def test_differences_within_the_tolerance_pass_and_are_measured() -> None:
    difference = compare(MODEL, moved(2, 1, 5e-5), tolerance=1e-4, kind=TaskKind.CLASSIFICATION)
    assert difference.largest == pytest.approx(5e-5, rel=0.01)
    assert difference.tied_rows == 0


def test_a_larger_difference_is_refused_with_its_size_and_row() -> None:
    with pytest.raises(
        BertuneError, match=r"up to 0\.25, at most 1e-04 is allowed \(1 of 3 rows; row 2: 3\.25"
    ) as error:
        compare(MODEL, moved(2, 1, 0.25), tolerance=1e-4, kind=TaskKind.CLASSIFICATION)
    assert error.value.exit_code == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(BertuneError, match="does not equal the model"):
        compare(MODEL, moved(0, 0, value), tolerance=1e-4, kind=TaskKind.CLASSIFICATION)


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(BertuneError, match=r"shape \(2, 2\), not \(3, 2\)"):
        compare(MODEL, MODEL[:2], tolerance=1e-4, kind=TaskKind.CLASSIFICATION)


def test_a_tie_may_fall_either_way_and_is_counted() -> None:
    assert compare(MODEL, moved(1, 0, 5e-5), tolerance=1e-4, kind=TaskKind.CLASSIFICATION).tied_rows == 1


def test_another_label_is_refused_where_the_model_has_no_tie() -> None:
    # Logits within the tolerance cannot do this; the labels are proved all the same, not derived.
    model, answered = np.array([[0.4, 0.0]], np.float32), np.array([[0.0, 0.1]], np.float32)
    with pytest.raises(BertuneError, match="predicts label 1 instead of 0 in row 0"):
        logit_differences._tied_rows(model, answered, 0.1)


def test_a_large_value_of_a_regression_may_differ_by_its_seventh_digit() -> None:
    values = np.array([[250_000.0], [1.0]], dtype=np.float32)
    assert compare(values, values + np.float32(0.5), tolerance=1.0, kind=TaskKind.REGRESSION).largest == 0.5
    near = values + np.array([[0.5], [0]], dtype=np.float32)
    assert compare(values, near, tolerance=1e-4, kind=TaskKind.REGRESSION).largest == 0.5
    with pytest.raises(BertuneError, match="1 of 2 rows; row 1"):
        compare(values, values + np.float32(0.5), tolerance=1e-4, kind=TaskKind.REGRESSION)
    with pytest.raises(BertuneError):
        compare(np.hstack([values, -values]), np.hstack([near, -values]), tolerance=1e-4, kind=TaskKind.CLASSIFICATION)


def test_of_several_labels_one_that_lies_at_its_threshold_is_a_tie() -> None:
    expected = np.array([[3.0, 1e-6, -2.0], [1.0, 0.5, -1.0]], np.float32)
    answered = expected + np.array([[0.0, -2e-6, 0.0], [1e-6, 0.0, 0.0]], np.float32)
    assert compare(expected, answered, tolerance=1e-5, kind=TaskKind.MULTI_LABEL).tied_rows == 1
    with pytest.raises(BertuneError, match="logits differ"):
        compare(expected, answered, tolerance=1e-6, kind=TaskKind.MULTI_LABEL)
