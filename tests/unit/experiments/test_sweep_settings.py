from typing import Any

import pytest

from bertune.errors import ConfigError
from bertune.experiments.sweep_settings import SweepSettings
from bertune.training.config import TrainingConfig


def test_what_is_named_is_searched_and_all_else_is_that_of_training() -> None:
    settings = SweepSettings(search_learning_rate=(1e-5, 1e-3), search_epochs=(2, 4))
    assert settings.space(1e-4) == {"learning_rate": (1e-5, 1e-3), "epochs": (2, 4)}


def test_without_a_name_rates_around_the_usual_one_are_searched() -> None:
    assert SweepSettings().space(1e-4) == {"learning_rate": (pytest.approx(2e-5), pytest.approx(5e-4))}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"search_learning_rate": (1e-3, 1e-5)}, "goes from 0.001 to 1e-05: the lowest rate comes first"),
        ({"search_learning_rate": (1e-3, 1e-3)}, "the lowest rate comes first"),
        ({"search_learning_rate": (0.0, 1e-3)}, "learning_rate must lie between 0 and 1, not 0.0"),
        ({"search_batch_size": (16, 0)}, "batch_size must be at least 1, not 0"),
        ({"search_epochs": (3, 3)}, "search_epochs names a value twice"),
        ({"search_seed": (-1,)}, "seed must lie between 0 and"),
        ({"trials": 0}, "trials must be at least 1, not 0"),
        ({"reduction": 1}, "reduction must be at least 2, not 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SweepSettings(**settings)


def test_a_setting_is_either_searched_or_given() -> None:
    with pytest.raises(ConfigError, match="--search-batch-size is searched, so --batch-size has no effect"):
        SweepSettings(search_batch_size=(8, 16)).check(TrainingConfig(batch_size=8))
