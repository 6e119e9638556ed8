"""Scores against scikit-learn, intervals against what intervals promise, and the words they are told in."""

import json
import re
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from tests.unit.scored import scored

from bertune.errors import ConfigError, DataError
from bertune.evaluation import bootstrap
from bertune.evaluation.metrics import compute_metrics
from bertune.evaluation.scores import Scores

CLASS_METRICS = ["accuracy", "f1", "f1_macro", "matthews"]
VALUE_METRICS = ["pearson", "spearman"]
# The validation rows of MRPC: 408, of which 279 are equivalent.
MRPC_TARGETS = np.repeat([0, 1], [129, 279])


def logits_for(predictions: Any, num_classes: int = 2) -> Any:
    return np.eye(num_classes)[np.asarray(predictions)] * 2.0


def noisy(num_classes: int, rows: int = 300, seed: int = 1) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, num_classes, rows)
    return generator.normal(size=(rows, num_classes)) + 1.3 * np.eye(num_classes)[targets], targets


def score_classes(logits: Any, targets: Any, **options: Any) -> Scores:
    options = {"metrics": ["accuracy"], "bootstrap_samples": 200, **options}
    return scored(logits, targets, task_kind="classification", **options)


def score_values(values: Any, targets: Any, **options: Any) -> Scores:
    options = {"metrics": VALUE_METRICS, "bootstrap_samples": 200, **options}
    return scored(values, targets, task_kind="regression", **options)


def test_the_majority_baseline_of_mrpc_is_known() -> None:
    scores = score_classes(
        logits_for(MRPC_TARGETS), MRPC_TARGETS, metrics=["accuracy", "f1"], label_names=["not_equivalent", "equivalent"]
    )
    assert round(100 * scores.metrics["accuracy"].baseline, 2) == 68.38
    assert round(100 * scores.metrics["f1"].baseline, 2) == 81.22
    assert scores.baseline.answer == "equivalent"
    assert scores.baseline.source == "these rows"


@pytest.mark.parametrize("num_classes", [2, 5])
def test_confusion_label_scores_and_loss_equal_scikit_learn(num_classes: int) -> None:
    logits, targets = noisy(num_classes)
    predictions = logits.argmax(axis=1)
    scores = score_classes(logits, targets)
    assert scores.confusion == tuple(map(tuple, sklearn.metrics.confusion_matrix(targets, predictions).tolist()))
    expected = np.array(sklearn.metrics.precision_recall_fscore_support(targets, predictions)).T
    ours = [(label.precision, label.recall, label.f1, label.support) for label in scores.labels]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = sklearn.metrics.log_loss(targets, probabilities, labels=range(num_classes))
    assert scores.mean_loss == pytest.approx(loss, abs=1e-9)


def test_values_are_those_of_compute_metrics() -> None:
    logits, targets = noisy(2)
    scores = score_classes(logits, targets, metrics=CLASS_METRICS)
    expected = compute_metrics(CLASS_METRICS, logits.argmax(axis=1), targets)
    assert scores.values == expected
    assert list(scores.values) == CLASS_METRICS
    assert scores.chosen_value == expected["accuracy"]
    assert scores.value("f1") == expected["f1"]
    with pytest.raises(ConfigError, match="pearson"):
        scores.value("pearson")


def test_a_label_that_never_occurs_scores_zero_without_a_warning() -> None:
    scores = score_classes(logits_for([0, 1, 0], 3), [0, 1, 1])
    assert scores.labels[2] == type(scores.labels[2])("2", 0.0, 0.0, 0.0, 0)


def test_the_baseline_learns_from_the_training_data_where_that_is_known() -> None:
    scores = score_classes(logits_for([0, 1, 1, 1]), [0, 1, 1, 1], train_targets=[0, 0, 1])
    assert scores.baseline.answer == "0"
    assert scores.baseline.source == "training data"
    assert scores.metrics["accuracy"].baseline == 0.25
    values = score_values([1.0, 2.0], [1.0, 3.0], train_targets=[4.0])
    assert values.baseline.answer == 4.0
    assert values.baseline.loss == 5.0
    assert score_values([1.0, 2.0], [1.0, 3.0]).baseline.answer == 2.0


def test_mean_squared_error_is_the_loss_of_values() -> None:
    assert score_values([[1.0], [2.0]], [1.0, 4.0]).mean_loss == 2.0


def test_huge_logits_have_a_finite_loss() -> None:
    assert score_classes([[1e4, -1e4], [-1e4, 1e4]], [0, 0]).mean_loss == 1e4


@pytest.mark.parametrize(("prediction", "name"), [(0, "no"), (1, "yes")])
def test_a_collapsed_run_is_called_so(prediction: int, name: str) -> None:
    scores = score_classes(logits_for([prediction] * 408), MRPC_TARGETS, label_names=["no", "yes"])
    assert scores.is_majority
    assert f"every prediction is '{name}': this run collapsed" in scores.verdict
    assert not score_classes(logits_for(MRPC_TARGETS), MRPC_TARGETS).is_majority


def test_values_that_hardly_vary_are_a_collapse() -> None:
    targets = np.linspace(0, 5, 50)
    assert score_values(2.5 + 1e-3 * targets, targets).is_majority
    assert "collapsed" in score_values(np.full(50, 2.5), targets).verdict
    assert not score_values(2.5 + 0.1 * targets, targets).is_majority


def test_the_verdict_tells_value_interval_and_baseline() -> None:
    right = np.arange(408) % 5 > 0
    scores = score_classes(
        logits_for(np.where(right, MRPC_TARGETS, 1 - MRPC_TARGETS)), MRPC_TARGETS, bootstrap_samples=2000
    )
    metric = scores.metrics["accuracy"]
    assert scores.verdict == (
        f"accuracy 79.9 % ({100 * metric.low:.1f}\N{EN DASH}{100 * metric.high:.1f} %), majority baseline 68.4 %: "
        "better than the baseline"
    )
    # The binomial's standard error is 1.98 points.
    assert metric.low == pytest.approx(0.799 - 1.96 * 0.0198, abs=0.004)
    assert metric.high == pytest.approx(0.799 + 1.96 * 0.0198, abs=0.004)


@pytest.mark.parametrize(("every", "against"), [(20, "better"), (3, "unclear"), (2, "worse")])
def test_a_metric_is_better_unclear_or_worse_than_its_baseline(every: int, against: str) -> None:
    wrong = np.arange(408) % every == 0
    scores = score_classes(logits_for(np.where(wrong, 1 - MRPC_TARGETS, MRPC_TARGETS)), MRPC_TARGETS)
    assert scores.metrics["accuracy"].against_baseline == against


def test_equal_seeds_give_equal_scores_and_other_seeds_other_intervals() -> None:
    logits, targets = noisy(3)
    first, again, other = (score_classes(logits, targets, metrics=["f1_macro"], seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first.metrics["f1_macro"].low != other.metrics["f1_macro"].low
    assert first.metrics["f1_macro"].value == other.metrics["f1_macro"].value
    values = np.random.default_rng(0).normal(size=(2, 80))
    assert score_values(*values, seed=7) == score_values(*values, seed=7)


def test_memory_is_bounded_without_changing_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, targets = noisy(3)
    values = np.random.default_rng(0).normal(size=(2, 80))
    whole = score_classes(logits, targets, metrics=["f1_macro"]), score_values(*values)
    monkeypatch.setattr(bootstrap, "_CHUNK", 1000)
    pieces = score_classes(logits, targets, metrics=["f1_macro"]), score_values(*values)
    for a, b in zip(whole, pieces, strict=True):
        for name in a.metrics:
            assert b.metrics[name].low == pytest.approx(a.metrics[name].low, abs=1e-12)
            assert b.metrics[name].high == pytest.approx(a.metrics[name].high, abs=1e-12)


@pytest.mark.parametrize("metrics", [CLASS_METRICS, VALUE_METRICS])
def test_intervals_equal_those_of_drawing_rows_one_by_one(metrics: list[str]) -> None:
    generator = np.random.default_rng(3)
    if metrics is CLASS_METRICS:
        logits, targets = noisy(2, rows=150)
        predictions: Any = logits.argmax(axis=1)
        scores = score_classes(logits, targets, metrics=metrics, bootstrap_samples=4000)
    else:
        targets = np.round(generator.normal(size=150), 1)
        predictions = np.round(targets + generator.normal(size=150), 1)
        scores = score_values(predictions, targets, bootstrap_samples=4000)
    drawn = [generator.integers(0, 150, 150) for _ in range(2000)]
    plain = [list(compute_metrics(metrics, predictions[rows], targets[rows]).values()) for rows in drawn]
    expected = np.percentile(plain, [2.5, 97.5], axis=0).T
    ours = [(metric.low, metric.high) for metric in scores.metrics.values()]
    # Two simulations of 2,000 and 4,000 sets differ by their own noise.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.02)


def test_ninety_five_percent_intervals_hold_the_truth_about_that_often() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(300):
        targets = generator.integers(0, 2, 250)
        predictions = np.where(generator.random(250) < 0.8, targets, 1 - targets)
        metric = score_classes(logits_for(predictions), targets, bootstrap_samples=400, seed=seed).metrics["accuracy"]
        held += metric.low <= 0.8 <= metric.high
    assert 0.90 <= held / 300 <= 0.985


def test_a_single_row_can_be_scored() -> None:
    scores = score_classes([[2.0, 1.0]], [0], metrics=CLASS_METRICS)
    assert (scores.rows, scores.value("accuracy"), scores.metrics["accuracy"].high) == (1, 1.0, 1.0)
    assert scores.metrics["accuracy"].low == pytest.approx(0.1675, abs=1e-4)
    values = score_values([1.0], [2.0]).metrics["pearson"]
    assert (values.value, values.low, values.high) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(
    "scores",
    [
        score_classes(*noisy(2), metrics=CLASS_METRICS, train_targets=[0, 1, 1]),
        score_classes(logits_for([1, 1]), [0, 0]),
        score_values([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]),
        score_values(np.arange(9.0), np.arange(9.0) ** 2, train_targets=[1.0, 2.0]),
    ],
)
def test_scores_survive_json_without_nan(scores: Scores) -> None:
    content = scores.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["verdict"] == scores.verdict
    assert content["metrics"].keys() == scores.metrics.keys()


def test_lines_for_the_terminal_are_aligned_tables() -> None:
    targets = [0, 0, 1, 1, 1, 1]
    scores = score_classes(
        logits_for([0, 1, 1, 1, 1, 0]),
        targets,
        label_names=["different", "a label with a very long name"],
        train_targets=[1],
    )
    lines = scores.lines()
    assert lines[0] == scores.verdict
    start = lines.index("confusion matrix")
    assert lines[start + 1 : start + 4] == [
        "true \\ predicted               different  a label with a very long name",
        "different                              1                              1",
        "a label with a very long name          1                              3",
    ]
    assert "baseline: always 'a label with a very long name', the majority of the training data" in lines
    assert lines[-1] == "a label with a very long name     75.0 %  75.0 %  75.0 %     4"
    assert not any("\n" in line or line != line.rstrip() for line in lines)


def twelve_labels() -> Scores:
    logits, targets = noisy(12)
    return score_classes(logits, targets, label_names=[f"a reason number {place}" for place in range(12)])


def test_a_matrix_too_wide_for_the_terminal_is_left_out_with_a_word_and_shown_where_it_fits() -> None:
    scores = twelve_labels()
    narrow, wide = scores.lines(width=80), scores.lines(width=200)
    (instead,) = (line for line in narrow if line.startswith("confusion matrix"))
    assert re.fullmatch(r"confusion matrix of 12 labels: \d+ columns, too wide to show here", instead)
    assert max(map(len, narrow[1:])) <= 80
    start = wide.index("confusion matrix")
    assert wide[start + 1].split()[:2] == ["true", "\\"]
    assert wide[start + 2].split()[0] == "predicted"  # the names of the columns take two lines
    assert [int(count) for count in wide[start + 3].split()[-12:]] == list(scores.confusion[0])
    assert max(map(len, wide)) <= 200


def test_names_of_labels_are_shortened_in_their_middle_only_where_a_table_would_be_too_wide() -> None:
    logits, targets = noisy(3)
    names = ["the_parcel_has_not_arrived_yet", "the_parcel_is_damaged_or_was_opened", "a bill"]
    scores = score_classes(logits, targets, label_names=names)
    shown = scores.lines(width=80)
    heading = shown[shown.index("confusion matrix") + 1]
    assert "…" in heading
    assert "the_" in heading
    assert heading.endswith("a bill")
    assert max(map(len, shown[1:])) <= 80
    wide = scores.lines(width=120)
    assert all(name in wide[wide.index("confusion matrix") + 1] for name in names)


def test_a_label_with_a_blank_at_its_end_is_shown_in_quotes() -> None:
    logits, targets = noisy(3)
    lines = score_classes(logits, targets, label_names=["Lieferung", "Lieferung ", "Lie\u200bferung"]).lines()
    matrix = lines[lines.index("confusion matrix") :]
    assert [line.rsplit(maxsplit=3)[0] for line in matrix[2:5]] == ["Lieferung", "'Lieferung '", "'Lie\\u200bferung'"]
    assert any(line.startswith("'Lieferung '") for line in matrix[6:])


def test_the_short_lines_name_the_worst_of_many_labels_and_leave_the_rest_out() -> None:
    scores = twelve_labels()
    long, short = scores.lines(), scores.lines(verbose=False)
    assert len(short) < len(long) - 12
    worst = min(scores.labels, key=lambda label: label.f1)
    assert short[-1].startswith(f"lowest F1 of 12 labels: '{worst.label}' {100 * worst.f1:.1f} %, ")
    assert any(line.startswith("intervals: ") for line in long)
    assert not any(line.startswith("intervals: ") for line in short)


def test_lines_for_values_tell_both_losses() -> None:
    lines = score_values([1.0, 2.0, 4.0], [1.0, 3.0, 5.0], train_targets=[3.0]).lines()
    assert "3 rows, mean squared error 0.6667 (baseline 2.6667)" in lines
    assert "baseline: always 3, the mean of the training data" in lines


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([[0.0, 1.0]], [0], {"metrics": ["pearson"]}), ConfigError, "cannot judge"),
        (([[0.0, 1.0]], [0], {"bootstrap_samples": 0}), ConfigError, "bootstrap_samples"),
        (([[0.0, 1.0]], [0], {"label_names": ["a"]}), ConfigError, "1 label names"),
        (([[0.0, 1.0, 2.0]], [0], {"metrics": ["f1"]}), ConfigError, "two classes"),
        (([[0.0], [1.0]], [0, 0], {}), DataError, "two classes or more"),
        (([[0.0, 1.0], [0.0, float("nan")]], [0, 0], {}), DataError, "first in row 1"),
        (([[0.0, 1.0]], [2], {}), DataError, "row 0 has class 2 of 2"),
        (([[0.0, 1.0]], [0, 1], {}), DataError, "do not fit"),
        ((np.zeros((0, 2)), np.zeros(0, int), {}), DataError, "no row"),
        (([[0.0, 1.0]], [0], {"train_targets": [5]}), DataError, "training targets"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: Any, error: type[Exception], says: str) -> None:
    logits, targets, options = arguments
    with pytest.raises(error, match=says):
        score_classes(logits, targets, **options)


def test_scores_have_the_calibration_error_of_the_probabilities() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.08, 0.92], [0.98, 0.02], [0.45, 0.55]]))
    scores = scored(logits, [0, 0, 0, 1], task_kind="classification", metrics=["accuracy"])
    assert scores.calibration_error == pytest.approx((2 * abs(0.91 - 0.5) + 0.02 + 0.45) / 4)
    assert any("expected calibration error 32.2 %" in line for line in scores.lines())
    assert scores.to_dict()["calibration_error"] == scores.calibration_error
    values = scored([1.0, 2.0], [1.0, 2.0], task_kind="regression", metrics=["pearson"])
    assert values.calibration_error is None
    assert not any("calibration" in line for line in values.lines())


def test_scores_are_shown_in_one_line_and_in_a_notebook_as_a_table_that_is_escaped() -> None:
    scores = score_classes(logits_for([0, 1, 1, 1]), [0, 1, 1, 0], metrics=["accuracy", "f1"], label_names=["a", "<b>"])
    assert repr(scores) == f"Scores(4 rows: {scores.verdict})"
    shown = scores._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 3


@pytest.mark.parametrize("labels", [100, 101, 400])
def test_the_file_of_many_labels_has_the_cells_of_their_matrix_that_are_not_empty(labels: int) -> None:
    logits, targets = noisy(labels, rows=800)
    scores = score_classes(logits, targets, bootstrap_samples=2)
    content = json.loads(json.dumps(scores.to_dict()))
    matrix = sklearn.metrics.confusion_matrix(targets, logits.argmax(axis=1), labels=range(labels))
    if labels <= 100:
        assert content["confusion"] == matrix.tolist()
        assert "confusion_cells" not in content
        return
    assert content["confusion"] == []
    found = np.zeros_like(matrix)
    for true, told, count in content["confusion_cells"]:
        found[true, told] = count
    np.testing.assert_array_equal(found, matrix)
    counts = [count for _, _, count in content["confusion_cells"]]
    assert counts == sorted(counts, reverse=True)
    assert len(json.dumps(content, indent=2)) < 400 * labels + 100 * 800


def test_no_table_is_made_that_cannot_be_shown() -> None:
    logits, targets = noisy(400, rows=800)
    text = score_classes(logits, targets, bootstrap_samples=2).lines(verbose=False, width=120)
    assert "confusion matrix of 400 labels: too wide to show here" in text
