import numpy as np
import pytest
from scipy.stats import binomtest

from bertune.evaluation.significance import holm, mcnemar, two_sided


@pytest.mark.parametrize("counts", [(0, 1), (3, 3), (1, 9), (12, 4), (40, 61), (0, 30), (700, 611), (30_000, 29_000)])
def test_mcnemar_is_the_exact_binomial_test_of_the_rows_only_one_gets_right(counts: tuple[int, int]) -> None:
    expected = binomtest(counts[0], sum(counts), 0.5).pvalue
    assert mcnemar(*counts) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(*counts) == mcnemar(*counts[::-1])


def test_without_any_row_that_only_one_gets_right_nothing_is_shown() -> None:
    assert mcnemar(0, 0) == 1.0


def test_holm_multiplies_the_smallest_by_their_number_the_next_by_one_less_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


def test_a_difference_that_is_always_on_one_side_has_the_smallest_p_value() -> None:
    assert two_sided(np.full(1999, 0.1)) == 2 / 2000
    assert two_sided(np.full(1999, -0.1)) == 2 / 2000
    assert two_sided(np.zeros(1999)) == 1.0
    assert two_sided([-0.01] * 49 + [0.01] * 950) == pytest.approx(2 * 50 / 1000)
    assert two_sided([-0.01] * 950 + [0.01] * 49) == pytest.approx(2 * 50 / 1000)
