"""Settings with few values are held to them from Python, too."""

from pathlib import Path
from typing import Any

import pytest

from bertune.data.read_options import ReadOptions
from bertune.errors import ConfigError
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings


@pytest.mark.parametrize(
    ("make", "setting", "value", "hint"),
    [
        (TrainingConfig, "precision", "fp16", "did you mean 'bf16'?"),
        (TrainingConfig, "optimizer", "adam", "did you mean 'adamw'?"),
        (TrainingConfig, "recipe", "", None),
        (ReadOptions, "quoting", "cvs", "did you mean 'csv'?"),
        (RunSettings, "kind", "multilabel", "did you mean 'multi-label'?"),
        (RunSettings, "device", "gaudi", None),
    ],
)
def test_a_value_that_a_setting_has_not_is_refused(make: Any, setting: str, value: str, hint: str | None) -> None:
    needed = {"data": "d", "out": Path("o"), "task": "mrpc"} if make is RunSettings else {}
    make(**needed)
    with pytest.raises(ConfigError, match=f"{setting} must be one of .*, not '{value}'") as raised:
        make(**needed, **{setting: value})
    assert raised.value.hint == hint


def test_none_leaves_a_choice_to_the_recipe() -> None:
    assert TrainingConfig(optimizer=None).optimizer is None
