"""TF-IDF of pieces: scikit-learn's numbers, for every kind of task."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from bertune.batches.dataset import Dataset
from bertune.data.task_kind import TaskKind
from bertune.evaluation.score_parts import Scoring
from bertune.evaluation.tf_idf_baseline import TermWeights, tf_idf_baseline
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=2, max_size=8)


def encoded(rows: list[list[int]], windows: list[int] | None = None) -> EncodedExamples:
    lengths = np.array([len(row) for row in rows])
    return EncodedExamples(
        np.array([piece for row in rows for piece in row], np.uint16),
        offsets_of(lengths),
        lengths.astype(np.int32),
        np.zeros(len(rows) if windows is None else len(windows) - 1, bool),
        64,
        None if windows is None else np.array(windows),
    )


def terms_of(row: list[int]) -> list[Any]:
    return [*((piece,) for piece in row), *itertools.pairwise(row)]


@given(ROWS, ROWS)
def test_features_are_those_of_scikit_learn(rows: list[list[int]], others: list[list[int]]) -> None:
    theirs = TfidfVectorizer(analyzer=terms_of, min_df=2, sublinear_tf=True)
    known = TermWeights.of(encoded(rows))
    try:
        fitted = theirs.fit_transform(rows)
    except ValueError:  # no term is left
        assert len(known.terms) == 0
        return
    for texts, expected in ((rows, fitted), (others, theirs.transform(others))):
        ours = known.features(encoded(texts))
        assert ours.shape == expected.shape
        # The order of the terms is another one.
        np.testing.assert_allclose(np.sort(ours.toarray(), axis=1), np.sort(expected.toarray(), axis=1), atol=1e-12)
        np.testing.assert_allclose((ours @ ours.T).toarray(), (expected @ expected.T).toarray(), atol=1e-12)


def test_all_windows_of_an_example_are_one_row() -> None:
    whole = TermWeights.of(encoded([[1, 2], [2, 3], [1, 2]], windows=[0, 2, 3]))
    # 1, 2 and the pair (1, 2) are in both; 3 is in one. Windows follow each other, as do their pieces.
    assert len(whole.terms) == 3


def words(rows: int, seed: int) -> tuple[EncodedExamples, np.ndarray[Any, Any]]:
    source = np.random.default_rng(seed)
    classes = source.integers(0, 3, rows)
    return encoded([[2, *source.integers(20, 60, 8).tolist(), 10 + int(each), 3] for each in classes]), classes


@pytest.mark.parametrize("kind", list(TaskKind))
def test_what_words_tell_is_found_and_the_same_again(kind: TaskKind) -> None:
    (texts, classes), (new, truth) = words(300, 0), words(100, 1)
    metrics = {TaskKind.CLASSIFICATION: "accuracy", TaskKind.MULTI_LABEL: "f1_micro", TaskKind.REGRESSION: "pearson"}
    metric = metrics[kind]
    made = {
        TaskKind.CLASSIFICATION: lambda given: given,
        TaskKind.MULTI_LABEL: lambda given: np.eye(3, dtype=np.int64)[given],
        TaskKind.REGRESSION: lambda given: given.astype(np.float32),
    }[kind]
    names = None if kind == TaskKind.REGRESSION else ("a", "b", "c")
    found = [
        tf_idf_baseline(Dataset(texts, made(classes)), Dataset(new, made(truth)), Scoring(kind, (metric,), names))
        for _ in range(2)
    ]
    first, second = found
    assert first is not None
    assert second is not None
    assert first.saved() == second.saved()
    assert first.metrics[metric] > 0.95
    assert (first.rows_trained, len(first.scored)) == (300, 100)
    kind_of = "ridge" if kind == TaskKind.REGRESSION else "logistic"
    assert first.name == f"{kind_of} regression on TF-IDF"


def test_long_texts_are_fitted_on_fewer_rows() -> None:
    source = np.random.default_rng(0)
    texts, classes = encoded(source.integers(0, 50, (400, 1000)).tolist()), np.arange(400) % 2
    scoring = Scoring(TaskKind.CLASSIFICATION, ("accuracy",), ("a", "b"))
    found = tf_idf_baseline(Dataset(texts, classes), Dataset(texts, classes), scoring)
    assert found is not None
    assert found.rows_trained == 151


@pytest.mark.parametrize(("rows", "classes"), [(9, 2), (50, 1)])
def test_there_is_nothing_to_fit(rows: int, classes: int) -> None:
    data = Dataset(encoded([[1, 2]] * rows), np.arange(rows) % classes)
    scoring = Scoring(TaskKind.CLASSIFICATION, ("accuracy",), ("a", "b"))
    assert tf_idf_baseline(data, data, scoring) is None


def test_texts_without_a_common_term_are_nothing_to_fit_either() -> None:
    data = Dataset(encoded([[number] for number in range(20)]), np.arange(20) % 2)
    assert tf_idf_baseline(data, data, Scoring(TaskKind.CLASSIFICATION, ("accuracy",), ("a", "b"))) is None
