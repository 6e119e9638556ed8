"""The estimators keep scikit-learn's signature, on texts and on pairs of texts."""

import inspect
import io
import pickle
import random
import subprocess
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.world import BAD, GOOD, OTHER, SPECIAL, sentence, write_encoder

import bertune
from bertune.api.train_settings import setting_names
from bertune.errors import ConfigError, DataError
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier, is_regressor  # noqa: E402
from sklearn.exceptions import NotFittedError, SkipTestWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402

SOURCE = random.Random(1)
MOODS = [SOURCE.choice(["up", "down"]) for _ in range(240)]
TEXTS = [sentence(SOURCE, GOOD if mood == "up" else BAD) for mood in MOODS]
STARS = [5.0 if mood == "up" else 1.0 for mood in MOODS]
QUICK: dict[str, Any] = {"epochs": 4, "learning_rate": 3e-3, "batch_size": 16, "max_length": 16, "skip_probe": True}
ESTIMATORS = (bertune.TextClassifier, bertune.TextRegressor)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), [*SPECIAL, *GOOD, *BAD, *OTHER])


@pytest.fixture(scope="module")
def classifier(encoder: Path) -> Any:
    return bertune.TextClassifier(model=encoder, **QUICK).fit(TEXTS, MOODS)


def test_a_classifier_learns_and_answers_in_the_words_of_y(classifier: Any) -> None:
    assert classifier.classes_.tolist() == ["down", "up"]
    assert classifier.score(TEXTS, MOODS) > 0.9
    shares = classifier.predict_proba(TEXTS)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(classifier.classes_[shares.argmax(axis=1)], classifier.predict(TEXTS))
    assert classifier.history_.epochs
    assert classifier.scores_.rows > 0


def test_the_settings_train_what_train_trains(classifier: Any, encoder: Path, tmp_path: Path) -> None:
    run = bertune.train((TEXTS, MOODS), model=encoder, out=tmp_path / "run", quiet=True, **QUICK)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), run.model.predict_proba(TEXTS))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_settings_have_the_names_and_defaults_of_train(estimator: Any) -> None:
    defaults = {field.name: field.default for group in (RunSettings, TrainingConfig) for field in fields(group)}
    own = estimator().get_params()
    assert own.pop("verbose") is False
    assert set(own) <= set(setting_names())
    assert own == {name: defaults[name] for name in own}
    named = inspect.getdoc(estimator)
    assert named is not None
    assert all(f"\n    {name}: " in named for name in own)


def test_labels_of_any_type_come_back_with_it(encoder: Path) -> None:
    for high, low in ((7, -1), (True, False), (2.0, 1.0), (np.str_("yes"), np.str_("no"))):
        labels = [high if mood == "up" else low for mood in MOODS]
        made = bertune.TextClassifier(model=encoder, **QUICK).fit(TEXTS, labels)
        assert made.classes_.tolist() == [low, high]
        assert made.predict(TEXTS).dtype == np.asarray(labels).dtype
        assert made.score(TEXTS, labels) > 0.9
    # The rarer label is the last of the model's own, and yet classes are sorted.
    rare = ["a" if place % 6 == 0 else "b" for place in range(240)]
    made = bertune.TextClassifier(model=encoder, **QUICK | {"epochs": 1}).fit(TEXTS, rare)
    assert made.model_.labels == ("b", "a")
    assert made.classes_.tolist() == ["a", "b"]
    shares = made.predict_proba(TEXTS)
    np.testing.assert_array_equal(shares[:, ::-1], made.model_.predict_proba(TEXTS))
    np.testing.assert_array_equal(made.classes_[shares.argmax(axis=1)], made.predict(TEXTS))


def test_every_form_of_the_same_texts_is_answered_the_same(classifier: Any) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = classifier.predict_proba(TEXTS)
    frame = pandas.DataFrame({"text": TEXTS})
    column = np.array(TEXTS, dtype=object).reshape(-1, 1)
    for given in (np.array(TEXTS), column, tuple(TEXTS), frame, frame["text"], polars.DataFrame({"text": TEXTS})):
        np.testing.assert_array_equal(classifier.predict_proba(given), expected)


def test_pairs_are_tuples_or_two_columns(encoder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    made = bertune.TextRegressor(model=encoder, target_range=(1.0, 5.0), **QUICK).fit(pairs, STARS)
    assert is_regressor(made)
    values = made.predict(pairs)
    assert values.dtype == np.float64
    assert 1 <= values.min() <= values.max() <= 5
    for given in ([list(pair) for pair in pairs], np.array(pairs), pandas.DataFrame(pairs, columns=["one", "other"])):
        np.testing.assert_array_equal(made.predict(given), values)
    assert made.score(pairs, values) == 1
    with pytest.raises(ConfigError, match="two texts a row"):
        made.predict(TEXTS)


def test_a_clone_has_the_settings_and_nothing_learned(classifier: Any) -> None:
    again = clone(classifier)
    assert again.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        again.predict(TEXTS)
    assert is_classifier(again)


def test_a_fitted_one_is_pickled_as_the_files_of_its_model(classifier: Any) -> None:
    content = pickle.dumps(classifier)
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert again.classes_.tolist() == classifier.classes_.tolist()
    assert classifier.predict(TEXTS[:1]).tolist() == again.predict(TEXTS[:1]).tolist()  # it was not emptied by pickling
    unfitted = pickle.loads(pickle.dumps(bertune.TextClassifier(epochs=7)))
    assert unfitted.epochs == 7

    class Globals(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            assert not module.startswith("torch"), f"{module}.{name}"
            return super().find_class(module, name)

    Globals(io.BytesIO(content)).load()


def test_what_was_pickled_answers_in_a_new_process(classifier: Any, tmp_path: Path) -> None:
    path = tmp_path / "classifier.pickle"
    path.write_bytes(pickle.dumps(classifier))
    program = f"import pickle; c = pickle.load(open({str(path)!r}, 'rb')); print(list(c.predict({TEXTS[:4]!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str(list(classifier.predict(TEXTS[:4]))), done.stderr


def test_searches_cross_validation_and_pipelines_work(encoder: Path) -> None:
    base = bertune.TextClassifier(model=encoder, **QUICK)
    pipeline = Pipeline([("lower", FunctionTransformer(lower)), ("bert", base)])
    shouted = [text.upper() for text in TEXTS]
    search = GridSearchCV(pipeline, {"bert__epochs": [1, 12]}, cv=2, error_score="raise").fit(shouted, MOODS)
    assert sorted(search.cv_results_["param_bert__epochs"].tolist()) == [1, 12]
    assert search.best_params_ == {"bert__epochs": 12}
    assert search.predict(shouted).tolist() == search.best_estimator_["bert"].predict(TEXTS).tolist()
    assert search.score(shouted, MOODS) > 0.9
    found = cross_val_predict(base, np.array(TEXTS), MOODS, cv=2, method="predict_proba")
    assert found.shape == (240, 2)
    scores = cross_val_score(bertune.TextRegressor(model=encoder, **QUICK), TEXTS, STARS, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


def lower(texts: list[str]) -> list[str]:
    return [text.lower() for text in texts]


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("the good", ["up"], "X is one text"),
        (["the good", 3], ["up", "down"], r"X\[1\] is the number 3, expected a text or a pair"),
        ([[0.5, 1.0], [1.0, 2.0]], [0, 1], r"X\[0\]\[0\] is the number 0.5, expected a text"),
        (["the good", "the bad"], ["up", None], r"y\[1\] is None \(nothing\), expected a label"),
        (["the good", "the bad"], [1.0, float("nan")], r"y\[1\] is nan \(nothing\), expected a label"),
        (["the good", "the bad"], [[1, 0], [0, 1]], r"y has the shape \(2, 2\)"),
        (TEXTS, [*STARS[:-1], 0.5], "Unknown label type: continuous"),
        (TEXTS, ["up"] * 240, "every row has the label 'up'"),
        (["the good", "the bad"], ["up"], "differ in length"),
    ],
)
def test_what_cannot_be_learned_is_refused_by_its_place(texts: Any, labels: Any, message: str, encoder: Path) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        bertune.TextClassifier(model=encoder, **QUICK).fit(texts, labels)


def test_a_frame_of_more_columns_is_refused(classifier: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1], "text": ["a"], "mood": ["b"]})
    with pytest.raises(ConfigError, match="X has the columns 'id', 'text', 'mood'"):
        classifier.predict(frame)


# Of scikit-learn's checks those that feed no numbers; `check_estimator` itself leaves the others out for an estimator
# whose tags say that it takes texts.
CHECKS = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_of_scikit_learn_that_apply_pass(check: str, estimator: Any) -> None:
    getattr(estimator_checks, check)(estimator.__name__, estimator())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scikit_learn_leaves_out_the_checks_that_feed_numbers(estimator: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkipTestWarning)
        done = estimator_checks.check_estimator(estimator(), on_fail="raise")
    assert {check["status"] for check in done} == {"passed"}
    assert any("string=True" in str(warning.message) for warning in caught)


def test_without_scikit_learn_one_sentence_says_what_to_install() -> None:
    program = """
import importlib.util, sys
sys.modules["sklearn"] = None
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sklearn" else find(name, *rest)
import bertune
assert "TextClassifier" not in bertune.__all__ and "TextClassifier" in dir(bertune)
from bertune import *
try:
    bertune.TextClassifier
except bertune.BertuneError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    expected = 'TextClassifier and TextRegressor need scikit-learn: pip install "bertune[sklearn]"'
    assert done.stdout.strip() == expected, done.stderr
