"""What recipes fill in: the lesson to the digit, `stable`, and what `auto` derives from encoder and rows."""

import math
import tomllib
from dataclasses import fields, replace
from importlib import resources
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset

from bertune.models.classifier import Classifier
from bertune.optim.adamw import AdamWeightDecay, TorchAdamW
from bertune.optim.create import create_optimizer
from bertune.training.config import RecipeName, TrainingConfig
from bertune.training.loop import fit, optimizer_of
from bertune.training.plan import TrainingPlan, plan_of

# 0.02 M parameters in the layers.
TINY = make_classifier()
WIDER = replace(SIZES, hidden_size=256, num_hidden_layers=6, intermediate_size=1024, num_attention_heads=8)


def auto_file() -> dict[str, Any]:
    return tomllib.loads(resources.files("bertune.training").joinpath("recipes", "auto.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", get_args(RecipeName))
def test_every_recipe_gives_every_setting_a_value(name: RecipeName) -> None:
    plan = plan_of(TrainingConfig(recipe=name, seed=5), TINY, 100)
    assert plan.seed == 5
    assert {field.name for field in fields(plan) if getattr(plan, field.name) is None} == {
        "micro_batch_size",
        "evaluate_every",
        "freeze",
        "limit",
        "lora",
        "lora_alpha",
    }


def test_the_lesson_trains_as_the_lesson_does() -> None:
    """3 epochs of 32 at 2e-5, a tenth of the steps warm-up, AdamWeightDecay, its own schedule."""
    plan = plan_of(TrainingConfig(recipe="lesson"), TINY, 3668)
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (3, 32, 2e-5)
    assert (plan.warmup_fraction, plan.optimizer, plan.weight_decay) == (0.1, "adamw", 0.01)
    assert (plan.max_gradient_norm, plan.layer_decay, plan.reinit_layers, plan.patience) == (1.0, 1.0, 0, 0)
    ours, lessons = optimizer_of(TINY, plan, 345), create_optimizer(2e-5, 345, 34, model=TINY)
    assert isinstance(ours, AdamWeightDecay)
    assert [ours.learning_rate_at(step) for step in range(345)] == [
        lessons.learning_rate_at(step) for step in range(345)
    ]


def test_stable_corrects_adams_bias_and_warms_up() -> None:
    plan = plan_of(TrainingConfig(recipe="stable"), TINY, 3668)
    assert (plan.warmup_fraction, plan.optimizer) == (0.1, "adamw")
    assert plan.epochs > plan_of(TrainingConfig(recipe="lesson"), TINY, 3668).epochs


def test_auto_reaches_its_peak_with_the_arithmetic_of_adamw() -> None:
    plan = plan_of(TrainingConfig(), TINY, 300)
    optimizer = optimizer_of(TINY, plan, 200)
    assert isinstance(optimizer, TorchAdamW)
    assert max(optimizer.learning_rate_at(step) for step in range(200)) == plan.learning_rate
    assert {group["epsilon"] for group in optimizer.param_groups} == {1e-8}


@given(rows=st.integers(1, 2_000_000))
def test_auto_trains_few_rows_for_enough_steps_and_many_rows_not_for_ever(rows: int) -> None:
    plan = plan_of(TrainingConfig(), TINY, rows)
    table = next(entry for entry in auto_file()["table"] if rows <= entry["most-rows"])
    steps = plan.epochs * math.ceil(rows / plan.batch_size)
    assert steps >= table["least-steps"] or plan.epochs == table["most-epochs"]
    # Half as much again as three epochs or 400 batches of 32, whichever is more.
    assert plan.epochs * rows <= 1.5 * max(3 * rows, 400 * 32)


def test_the_larger_the_encoder_the_lower_the_rate() -> None:
    rates = [entry["learning-rate"] for entry in auto_file()["encoder"]]
    assert rates == sorted(rates, reverse=True)
    small, larger = plan_of(TrainingConfig(), TINY, 300), plan_of(TrainingConfig(), make_classifier(config=WIDER), 300)
    assert larger.learning_rate < small.learning_rate


def test_what_is_set_wins_and_what_follows_from_it_follows() -> None:
    plan = plan_of(TrainingConfig(batch_size=4, learning_rate=0.5, patience=0), TINY, 300)
    assert (plan.batch_size, plan.learning_rate, plan.patience) == (4, 0.5, 0)
    assert plan.epochs < plan_of(TrainingConfig(batch_size=64), TINY, 300).epochs
    assert plan_of(TrainingConfig(epochs=2), TINY, 300).epochs == 2


def test_a_line_says_what_was_chosen_and_from_what() -> None:
    plan = plan_of(TrainingConfig(), TINY, 300)
    rate, rows = plan.reasons
    assert "rate 3e-4" in rate
    assert "0.0 M parameters" in rate
    assert f"{plan.epochs} epochs" in rows
    assert "300 training rows" in rows
    chosen = TrainingConfig(learning_rate=1e-3, layer_decay=1.0, epochs=1, batch_size=1, patience=0)
    assert plan_of(chosen, TINY, 300).reasons == ()


def test_a_fixed_recipe_says_in_one_line_what_it_chose() -> None:
    lesson = TrainingConfig(recipe="lesson")
    assert plan_of(lesson, TINY, 300).reasons == ("recipe lesson: rate 2e-5, layer decay 1, batch 32, 3 epochs",)
    given = replace(lesson, batch_size=8, epochs=1)
    assert plan_of(given, TINY, 300).reasons == ("recipe lesson: rate 2e-5, layer decay 1",)
    assert plan_of(replace(given, learning_rate=1e-4, layer_decay=0.9), TINY, 300).reasons == ()


def test_without_validation_data_there_is_no_patience() -> None:
    assert plan_of(TrainingConfig(), TINY, 300, has_validation=False).patience == 0


def test_a_micro_batch_is_never_larger_than_the_batch_that_was_chosen() -> None:
    plan = plan_of(TrainingConfig(micro_batch_size=512), TINY, 300)
    assert plan.micro_batch_size == plan.batch_size


def test_a_plan_is_not_planned_again() -> None:
    plan = plan_of(TrainingConfig(), TINY, 300)
    assert plan_of(plan, TINY, 100_000) is plan


def test_fit_without_a_configuration_does_what_auto_says() -> None:
    data = make_dataset(64, 1)
    history = fit(make_classifier(), data)
    plan = plan_of(TrainingConfig(), TINY, 64)
    assert len(history.steps) == plan.epochs * math.ceil(64 / plan.batch_size)


def test_fit_with_an_optimizer_leaves_the_rest_to_the_lesson() -> None:
    """The optimizer's schedule was made for a number of steps: nothing may be derived that changes it."""
    classifier: Classifier = make_classifier()
    optimizer = create_optimizer(2e-5, 6, 0, model=classifier)
    assert len(fit(classifier, make_dataset(64, 1), optimizer=optimizer).steps) == 6  # 3 epochs of 2 batches


def test_a_plan_is_a_configuration() -> None:
    assert isinstance(plan_of(TrainingConfig(), TINY, 10), TrainingPlan)
    assert issubclass(TrainingPlan, TrainingConfig)
