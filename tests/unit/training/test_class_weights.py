"""Weights of classes: what the user writes, and what `balanced` means."""

import numpy as np
import pytest
import sklearn.utils.class_weight

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.training.class_weights import class_weights_of

NAMES = ("no", "yes", "a=b")


def test_balanced_equals_scikit_learn() -> None:
    targets = np.array([0] * 7 + [1] * 2 + [2])
    expected = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.arange(3), y=targets)
    weights = class_weights_of(["balanced"], kind=TaskKind.CLASSIFICATION, names=NAMES, targets=targets)
    assert weights is not None
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)


def test_balanced_of_several_labels_makes_having_one_weigh_as_much_as_not() -> None:
    targets = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    weights = class_weights_of(["balanced"], kind=TaskKind.MULTI_LABEL, names=NAMES, targets=targets)
    assert weights is not None
    assert weights.tolist() == [1.5, 1.0, 1.0]  # what no row or every row has cannot be balanced


def test_labels_that_are_not_named_weigh_one() -> None:
    weights = class_weights_of(["a=b=2.5", "no=0.5"], kind=TaskKind.CLASSIFICATION, names=NAMES, targets=np.array([0]))
    assert weights is not None
    assert weights.tolist() == [0.5, 1.0, 2.5]
    assert class_weights_of([], kind=TaskKind.REGRESSION, names=("0",), targets=np.array([0.5])) is None


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["balance"], "'balance' is neither balanced nor LABEL=WEIGHT"),
        (["maybe=2"], "no label is called 'maybe'; the labels are no, yes, a=b"),
        (["yes=-1"], "'yes=-1': expected a number above 0"),
        (["yes=nan"], "'yes=nan': expected a number above 0"),
        (["yes=inf"], "'yes=inf': expected a number above 0"),
        (["yes=0"], "'yes=0': expected a number above 0"),
        (["yes=twice"], "'yes=twice': expected a number above 0"),
        (["yes=2", "yes=3"], "the label 'yes' has two class weights"),
        (["balanced", "yes=2"], "balanced weighs all labels"),
    ],
)
def test_weights_that_mean_nothing_are_refused(wanted: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        class_weights_of(wanted, kind=TaskKind.CLASSIFICATION, names=NAMES, targets=np.array([0, 1, 2]))


def test_a_regression_has_no_classes_to_weigh() -> None:
    with pytest.raises(ConfigError, match="for labels, not for values"):
        class_weights_of(["balanced"], kind=TaskKind.REGRESSION, names=("0",), targets=np.array([0.5]))
