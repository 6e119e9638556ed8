"""One name and one format for each metric."""

import pytest

from bertune.evaluation.metrics import METRICS
from bertune.wording.metric_text import is_percentage, metric_interval, metric_name, metric_text, part_of, percent


def test_every_metric_has_a_name_for_people() -> None:
    names = {name: metric_name(name) for name in METRICS}
    assert not any("_" in spoken for spoken in names.values())
    assert len(set(names.values())) == len(METRICS)
    assert (names["f1_macro"], names["matthews"]) == ("macro F1", "Matthews correlation")


def test_correlations_alone_are_no_percentages() -> None:
    assert {name for name in METRICS if not is_percentage(name)} == {"matthews", "pearson", "spearman"}


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("accuracy", 0.7424, "74.2 %"), ("f1_macro", 1.0, "100.0 %"), ("matthews", -0.0321, "-0.032")],
)
def test_a_share_has_one_decimal_and_a_correlation_three(metric: str, value: float, text: str) -> None:
    assert metric_text(metric, value) == text


def test_intervals_have_the_format_of_their_metric() -> None:
    assert metric_interval("f1", 0.71, 0.7707) == "71.0\N{EN DASH}77.1 %"
    assert metric_interval("matthews", 0.1, 0.25) == "0.100\N{EN DASH}0.250"
    assert metric_interval("matthews", -0.1, 0.25) == "-0.100 to 0.250"


def test_f1_is_of_the_second_of_two_labels() -> None:
    assert metric_name("f1", ["no", "yes"]) == "F1 of 'yes'"
    assert metric_name("f1", ["no", "yes "]) == "F1 of 'yes '"
    assert metric_name("f1", ["a", "b", "c"]) == metric_name("f1") == "F1"


def test_a_few_of_very_many_are_not_none() -> None:
    assert [part_of(*counts) for counts in ((0, 2499), (1, 2499), (2, 2499), (0, 0))] == [
        "0.0 %",
        "< 0.1 %",
        "0.1 %",
        "0.0 %",
    ]
    assert percent(0.5, 0) == "50 %"
