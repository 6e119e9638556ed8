"""The recipes in the package."""

from typing import get_args

import pytest

from bertune.training.config import TrainingConfig
from bertune.training.recipe import RecipeName, recipe_config, recipe_settings


@pytest.mark.parametrize("name", get_args(RecipeName))
def test_every_setting_of_a_recipe_is_one_of_training(name: RecipeName) -> None:
    fields = {field.replace("_", "-") for field in TrainingConfig.__dataclass_fields__}
    assert recipe_settings(name).keys() <= fields
    assert recipe_config(name, seed=5).seed == 5


def test_the_lesson_trains_as_the_lesson_does() -> None:
    """3 epochs of 32 at 2e-5, a tenth of the steps warm-up, AdamWeightDecay."""
    config = recipe_config("lesson")
    assert (config.epochs, config.batch_size, config.learning_rate) == (3, 32, 2e-5)
    assert (config.warmup_fraction, config.optimizer, config.weight_decay) == (0.1, "adamw", 0.01)
    assert (config.max_gradient_norm, config.layer_decay, config.reinit_layers) == (1.0, 1.0, 0)


def test_stable_corrects_adams_bias_and_warms_up() -> None:
    config = recipe_config("stable")
    assert (config.warmup_fraction, config.optimizer) == (0.1, "adamw")
    assert config.epochs > recipe_config("lesson").epochs
