"""Advice on runs whose numbers are made up: each situation is told, a run that has learned is left alone."""

import re
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from tests.unit.scored import scored

from bertune.cli.app import make_app
from bertune.data.task_kind import TaskKind
from bertune.evaluation.regression_baseline import BaselineComparison, FeatureKind
from bertune.evaluation.scores import Scores
from bertune.system.hinted_values import from_json, to_json
from bertune.training.advice import Advice, Code, Outcome, SettingsInUse, advice_lines, advice_of_seeds, advise
from bertune.training.loss_bounds import LossBounds, loss_bounds

CHANCE = float(np.log(2))
IN_USE = SettingsInUse(
    recipe="lesson",
    epochs=3,
    batch_size=32,
    learning_rate=5e-5,
    metric="accuracy",
    model="sentence-transformers/all-MiniLM-L6-v2",
    pooling="cls",
    has_class_weights=False,
    usual_rate=1e-4,
)
TARGETS = np.array([0, 1] * 50)


def scores_of(accuracy: float, *, constant: bool = False) -> Scores:
    answers = TARGETS.copy()
    answers[: round(100 * (1 - accuracy))] = 1 - answers[: round(100 * (1 - accuracy))]
    logits = np.tile([1.0, 0.0], (100, 1)) if constant else np.eye(2)[answers]
    return scored(
        logits,
        TARGETS,
        task_kind=TaskKind.CLASSIFICATION,
        metrics=("accuracy",),
        label_names=("ham", "spam"),
        bootstrap_samples=50,
    )


# 1,000 rows, five epochs, learned well.
GOOD = Outcome(
    kind=TaskKind.CLASSIFICATION,
    rows=1000,
    steps=160,
    train_losses=(0.66, 0.5, 0.38, 0.31, 0.28),
    validation_losses=(0.6, 0.45, 0.4, 0.38, 0.38),
    bounds=LossBounds(CHANCE, 0.0),
    scores=scores_of(0.85),
    label_counts={"ham": 500, "spam": 500},
    encoder_parameters=10_000_000,
)


def codes(outcome: Outcome, in_use: SettingsInUse = IN_USE) -> list[str]:
    return [each.code for each in advise(outcome, in_use)]


def beside(model: float, baseline: float, features: FeatureKind = "frozen features") -> tuple[BaselineComparison, ...]:
    name, interval = f"logistic regression on {features}", (model - baseline - 0.04, model - baseline + 0.04)
    return (BaselineComparison(features, name, "accuracy", model, baseline, interval, 0.03, 500),)


@pytest.mark.parametrize(
    "outcome",
    [
        GOOD,
        replace(GOOD, steps=30, train_losses=(0.4, 0.02)),  # few steps were enough
        replace(GOOD, train_losses=(0.3, 0.1, 0.02)),  # falls fast to where nothing is left
        replace(GOOD, train_losses=(0.6, 0.4, 0.2), validation_losses=(0.5, 0.4, 0.45)),  # more would be overfitting
        replace(GOOD, train_losses=(0.6, 0.4, 0.3), stopped_early=True, validation_losses=()),
        replace(GOOD, beside=beside(0.85, 0.86)),  # less than a standard error
        replace(GOOD, beside=beside(0.85, 0.7)),
        replace(GOOD, scores=None, validation_losses=()),
        replace(GOOD, train_losses=(0.4,)),  # of one epoch nothing is known of how it fell
    ],
)
def test_a_run_that_has_learned_gets_no_advice(outcome: Outcome) -> None:
    assert advise(outcome, IN_USE) == ()


@pytest.mark.parametrize("options", [{"label_smoothing": 0.3}, {"class_weights": [0.6, 3.0]}, {}])
def test_near_chance_is_measured_by_the_runs_own_objective(options: dict[str, Any]) -> None:
    """With nine to one, chance is 0.33; with label smoothing of 0.3 it is 0.53 and the floor 0.42."""
    bounds = loss_bounds(np.repeat([0, 1], [900, 100]), kind=TaskKind.CLASSIFICATION, num_labels=2, **options)
    learned = bounds.floor + 0.3 * (bounds.chance - bounds.floor)
    assert codes(replace(GOOD, bounds=bounds, train_losses=(1.01 * learned, learned))) == []
    near = bounds.floor + 0.97 * (bounds.chance - bounds.floor)
    assert codes(replace(GOOD, bounds=bounds, train_losses=(bounds.chance, near))) == ["near_chance"]


def test_a_loss_near_chance_is_told_with_a_usual_rate_and_more_steps() -> None:
    (advice,) = advise(replace(GOOD, steps=96, train_losses=(0.69, 0.68, 0.67), rows=1000), IN_USE)[:1]
    assert advice.code == "near_chance"
    assert "ended at 0.6700, near the 0.6931" in advice.message
    assert "has only begun to learn" in advice.message  # it is better than the baseline all the same
    assert advice.commands == (
        "--recipe auto",
        "--learning-rate 1e-4 --batch-size 8",  # 375 steps in the same three epochs
        "--model bert-base-uncased",
    )


def test_a_collapsed_run_says_what_it_answers_and_is_not_called_near_chance_as_well() -> None:
    collapsed = replace(GOOD, scores=scores_of(0.5, constant=True), train_losses=(0.69, 0.69, 0.69))
    (advice,) = advise(collapsed, IN_USE)
    assert advice.code == "collapsed"
    assert "every validation row is answered 'ham', as 50.0 % of the training rows are" in advice.message
    assert "imbalanced" not in advice.message
    assert advice.commands[0] == "--recipe auto"


def test_a_collapsed_run_on_imbalanced_data_is_told_so_with_another_metric() -> None:
    collapsed = replace(GOOD, scores=scores_of(0.5, constant=True), label_counts={"ham": 960, "spam": 40})
    (advice,) = advise(collapsed, IN_USE)
    assert "('spam' makes up 4.0 % of the labels), and accuracy chooses the best epoch" in advice.message
    assert advice.commands[0] == "--class-weights balanced --metric f1"
    other = replace(collapsed, label_counts={"ham": 40, "spam": 960})
    assert advise(other, IN_USE)[0].commands[0] == "--class-weights balanced --metric f1_macro"
    chosen = advise(collapsed, replace(IN_USE, metric="f1", has_class_weights=True))[0]
    assert "and f1 chooses" in chosen.message
    assert not any("--metric" in command or "--class-weights" in command for command in chosen.commands)


def test_few_steps_are_told_with_as_many_epochs_as_make_enough() -> None:
    (advice,) = advise(replace(GOOD, rows=298, steps=30, train_losses=(0.6, 0.5, 0.45)), IN_USE)
    assert advice.code == "few_steps"
    assert advice.message.startswith("30 optimizer steps are few")
    assert advice.commands == ("--recipe auto", "--batch-size 8 --epochs 6")  # 38 steps an epoch
    small = replace(IN_USE, recipe="auto", batch_size=8, epochs=1)
    (advice,) = advise(replace(GOOD, rows=298, steps=38, train_losses=(0.5,)), small)
    assert advice.commands == ("--epochs 6",)


def test_a_loss_that_still_falls_fast_is_told_with_twice_the_epochs() -> None:
    falling = replace(GOOD, train_losses=(0.66, 0.55, 0.45), validation_losses=(0.6, 0.5, 0.45), steps=120)
    (advice,) = advise(falling, replace(IN_USE, recipe="auto"))
    assert (advice.code, advice.commands) == ("still_falling", ("--epochs 8",))
    assert "from 0.5500 to 0.4500 in the last epoch" in advice.message
    assert codes(replace(falling, validation_losses=())) == ["still_falling"]


def test_a_model_below_frozen_features_is_told_with_both_values() -> None:
    (advice,) = advise(replace(GOOD, beside=beside(0.588, 0.701)), replace(IN_USE, recipe="auto", learning_rate=1e-4))
    assert advice.code == "below_baseline"
    assert "accuracy is 58.8 %, below the 70.1 % of a logistic regression on frozen features" in advice.message
    assert "same 500 validation rows (p = 0.030)" in advice.message
    assert "--pooling mean" in advice.commands


def test_of_two_baselines_the_one_that_leads_by_more_is_told() -> None:
    both = beside(0.588, 0.701) + beside(0.588, 0.75, "TF-IDF")
    (advice,) = advise(replace(GOOD, beside=both), replace(IN_USE, recipe="auto", learning_rate=1e-4))
    assert "below the 75.0 % of a logistic regression on TF-IDF" in advice.message
    assert "--pooling mean" not in advice.commands  # it has nothing to do with the encoder


def test_values_are_held_against_their_variance() -> None:
    outcome = replace(GOOD, kind=TaskKind.REGRESSION, bounds=LossBounds(2.0, 0.0), label_counts={}, scores=None)
    assert codes(replace(outcome, train_losses=(2.1, 1.95), validation_losses=())) == ["near_chance"]
    assert codes(replace(outcome, train_losses=(0.7, 0.65), validation_losses=())) == []


SITUATIONS = [
    replace(GOOD, scores=scores_of(0.5, constant=True), label_counts={"ham": 960, "spam": 40}, steps=30),
    replace(GOOD, train_losses=(0.69, 0.69), steps=30),
    replace(GOOD, train_losses=(0.66, 0.5)),
    replace(GOOD, beside=beside(0.5, 0.7)),
]


@pytest.mark.parametrize("recipe", ["auto", "stable", ""])
@pytest.mark.parametrize("rate", [1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("batch_size", [4, 8, 64])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("outcome", SITUATIONS)
def test_what_is_in_use_is_never_advised_and_every_command_exists(
    outcome: Outcome, pooling: str, batch_size: int, rate: float, recipe: str
) -> None:
    in_use = replace(
        IN_USE, recipe=recipe, learning_rate=rate, batch_size=batch_size, pooling=pooling, epochs=5, metric="f1"
    )
    used = {
        f"--recipe {recipe}",
        {1e-6: "--learning-rate 1e-6", 1e-4: "--learning-rate 1e-4", 1e-2: "--learning-rate 1e-2"}[rate],
        f"--batch-size {batch_size}",
        f"--pooling {pooling}",
        "--epochs 5",
        "--metric f1",
    }
    advice = advise(outcome, in_use)
    assert advice
    for command in (command for each in advice for command in each.commands):
        flags = re.findall(r"--\S+ \S+", command)
        assert " ".join(flags) == command
        assert not used & set(flags)


def test_every_flag_that_is_advised_is_one_of_train() -> None:
    parts = " ".join(command for outcome in SITUATIONS for each in advise(outcome, IN_USE) for command in each.commands)
    known = " ".join(
        name for argument in make_app()["train"].assemble_argument_collection() for name in argument.names
    ).split()
    flags = set(re.findall(r"--\S+", parts))
    assert {
        "--recipe",
        "--learning-rate",
        "--epochs",
        "--batch-size",
        "--metric",
        "--class-weights",
        "--model",
    } <= flags
    assert flags <= set(known)


def test_the_advice_of_seeds_says_how_many_and_which() -> None:
    few = Advice("few_steps", "30 optimizer steps are few", ("--epochs 6",))
    collapsed = Advice("collapsed", "this run collapsed", ("--recipe auto", "--epochs 6"))
    found = advice_of_seeds([(1, [few]), (2, [collapsed, few]), (5, [])])
    assert [each.message for each in found] == [
        "1 of 3 seeds collapsed: they give every row the same answer (2)",
        "2 of 3 seeds trained few optimizer steps (1, 2)",
    ]
    assert advice_lines(found)[2:] == ["try: --recipe auto", " or: --epochs 6"]
    assert advice_of_seeds([(1, []), (2, [])]) == ()
    assert advice_lines(()) == []
    by_hand = replace(few, commands=("--learning-rate 1e-4 --epochs 6", "--epochs 6", "--epochs 60"))
    assert advice_lines([by_hand])[1:] == ["try: --learning-rate 1e-4 --epochs 6", " or: --epochs 60"]


def test_advice_comes_back_from_json_as_it_was() -> None:
    advice = advise(SITUATIONS[0], IN_USE)[0]
    assert from_json(Advice, to_json(advice)) == advice
    assert set(to_json(advice)) == {"code", "message", "try"}
    assert advice.code in get_args(Code)
