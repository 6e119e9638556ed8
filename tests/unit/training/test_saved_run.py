"""The scores of a run as its file holds them: what was written comes back, and stands where it stood."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.scored import scored

from bertune.evaluation.saved_scores import SavedComparison, SavedRegression
from bertune.training.advice import Advice
from bertune.training.saved_run import RunScores, SavedSettings

SCORES = scored([[0.1, 0.9], [0.9, 0.1]], [1, 0], task_kind="classification", metrics=["accuracy"]).saved()
RUN = RunScores(
    epoch=3,
    validation=SCORES,
    also={"validation_mismatched": SCORES, "test": SCORES},
    frozen_features=SavedRegression("logistic regression", {"accuracy": 0.5}, 2, 2, 0.1),
    tf_idf=SavedRegression(
        "logistic regression", {"accuracy": 0.5}, 2, 2, 0.1, SavedComparison("accuracy", 1, 0.5, -0.1, 1, 0.5)
    ),
    advice=(Advice("few_steps", "30 steps are few", ("--epochs 6",)),),
    model="digest",
    weights="other",
)


@pytest.mark.parametrize(
    ("scores", "entries"),
    [
        (
            RUN,
            "epoch validation validation_mismatched test frozen_features tf_idf advice model weights",
        ),
        (
            replace(RUN, seed=7, calibrated_since=True),
            "seed epoch validation validation_mismatched frozen_features tf_idf advice model weights test "
            "calibrated_since",
        ),
        (
            RunScores(average="greedy soup", seeds=(1, 2), validation=SCORES, also={"test": SCORES}, weights="w"),
            "average seeds validation weights test",
        ),
        (RunScores(epoch=1, also={"test": SCORES}), "epoch test"),
    ],
)
def test_what_was_written_comes_back_and_its_entries_have_their_places(scores: RunScores, entries: str) -> None:
    """Of a study or a sweep the test rows are scored last, when all else is written."""
    values = scores.to_json()
    assert list(values) == entries.split()
    assert RunScores.from_json(values) == scores
    assert list(RunScores.from_json(values).to_json()) == entries.split()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"validation": None}, "validation is no object"),
        ({"test": {}}, r"'test\.verdict' is missing"),
        ({"test": {"verdict": "good"}}, r"'test\.task_kind' is missing"),
        ({"validation_mismatched": {"verdict": "good"}}, r"'validation_mismatched\.task_kind' is missing"),
        ({"epoch": None}, "'epoch' is missing"),
        ({"advice": [{"code": "few_steps", "message": "few"}]}, r"'advice\[0\]\.try' is missing"),
        ({"frozen_features": []}, "frozen_features is no object"),
    ],
)
def test_what_no_run_writes_is_named_by_its_place(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}$"):
        RunScores.from_json(RUN.to_json() | change)


def test_settings_are_those_of_the_verb_that_wrote_them() -> None:
    assert SavedSettings(sweep={"trials": 3}).verb == "sweep"
    assert SavedSettings(sweep={"trials": 3}).of_verb == {"trials": 3}
    assert SavedSettings(train={"epochs": 2}, sweep={"trials": 3}).of_verb == {"epochs": 2}
    assert (SavedSettings().verb, SavedSettings().of_verb) == ("train", {})
