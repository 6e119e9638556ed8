"""When a run saves itself."""

import pytest

from bertune.errors import ConfigError
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.save_cadence import Cadence, SaveEvery


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "steps", "minutes"),
    [(None, None, 10.0), ("500", 500, None), ("15m", None, 15.0), ("0.5m", None, 0.5), (" 7 ", 7, None)],
)
def test_a_cadence_is_steps_or_minutes(text: str | None, steps: int | None, minutes: float | None) -> None:
    assert SaveEvery.of(text) == SaveEvery(steps, minutes)


@pytest.mark.parametrize("text", ["0", "0m", "-3", "1.5", "m", "5h", "ten", "", "1e3", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="neither a number of steps nor of minutes"):
        CheckpointSettings(save_every=text)


def test_settings_know_what_was_changed() -> None:
    assert CheckpointSettings().changed() == {}
    changed = CheckpointSettings(save_every=5, keep_last=3, keep_checkpoints=True).changed()
    assert changed == {"save_every": 5, "keep_last": 3, "keep_checkpoints": True}
    assert not CheckpointSettings(save_every="never").saves
    with pytest.raises(ConfigError, match="keep_last must be at least 1"):
        CheckpointSettings(keep_last=0)


def test_steps_are_counted_over_the_whole_run() -> None:
    cadence = Cadence(SaveEvery(steps=3))
    assert [step for step in range(1, 10) if cadence.is_due(step)] == [3, 6, 9]


def test_minutes_are_counted_from_the_last_checkpoint() -> None:
    clock = Clock()
    cadence = Cadence(SaveEvery(minutes=2), clock=clock)
    clock.now += 119
    assert not cadence.is_due(1)
    clock.now += 1
    assert cadence.is_due(2)
    cadence.saved(0.5)
    assert not cadence.is_due(3)
    clock.now += 120
    assert cadence.is_due(4)


def test_ends_of_epochs_are_saved_where_that_takes_a_small_share_of_the_time() -> None:
    clock = Clock()
    cadence = Cadence(SaveEvery(minutes=10), clock=clock)
    assert cadence.is_due_after_evaluation()  # what it costs is not known yet
    cadence.saved(3.0)
    clock.now += 99.9
    assert not cadence.is_due_after_evaluation()
    clock.now += 0.2
    assert cadence.is_due_after_evaluation()
