"""Recipes: settings that go together, as files in the package, below everything that a user sets."""

import tomllib
from importlib import resources
from typing import Any, Literal

from bertune.training.config import TrainingConfig

RecipeName = Literal["lesson", "stable"]


def recipe_settings(name: RecipeName) -> dict[str, Any]:
    """Returns a recipe's settings by the names of the flags of `bertune train`.

    Args:
        name: of a file in `bertune/training/recipes`, which says where it comes from and what it was measured at.
    """
    text = resources.files("bertune.training").joinpath("recipes", f"{name}.toml").read_text("utf-8")
    settings: dict[str, Any] = tomllib.loads(text)["train"]
    return settings


def recipe_config(name: RecipeName, **changes: Any) -> TrainingConfig:
    """Makes the configuration of a recipe, for `fit`.

    Args:
        name: see `recipe_settings`.
        changes: fields of `TrainingConfig` that differ from the recipe.

    Raises:
        ConfigError: a setting out of range.
    """
    settings = {key.replace("-", "_"): value for key, value in recipe_settings(name).items()}
    return TrainingConfig(**(settings | changes))
