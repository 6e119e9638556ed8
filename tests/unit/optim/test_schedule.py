"""Rates against golden values from the original, and the edges of the schedules."""

# Golden values: tests/golden/make_optimizer.py, from tf-models-official 2.20.0 (`WarmUp`) and its `PolynomialDecay`.
import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertune.errors import ConfigError
from bertune.optim.create import create_schedule
from bertune.optim.schedule import LinearWarmUpDecay, PolynomialDecay, WarmUp

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "optimizer.npz")
PROVENANCE: dict[str, Any] = json.loads(str(GOLDEN["provenance"]))

# The decay starts at step 0, so the rate drops where warm-up ends (0.75 -> 0.60).
RATE_AT_STEP = {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75, 4: 0.6, 5: 0.5, 9: 0.1, 10: 0.0, 11: 0.0}


@pytest.mark.parametrize(("step", "expected"), RATE_AT_STEP.items())
def test_rate_follows_the_released_schedule(step: int, expected: float) -> None:
    schedule = create_schedule(1.0, 10, 4)
    assert schedule(step) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", PROVENANCE["schedules"])
def test_every_step_of_a_schedule_equals_the_original(name: str) -> None:
    decay, warmup, steps = PROVENANCE["schedules"][name]
    schedule: Any = PolynomialDecay(*decay)
    if warmup is not None:
        schedule = WarmUp(decay[0], schedule, *warmup)
    rates = [schedule(step) for step in range(steps)]
    np.testing.assert_allclose(rates, GOLDEN[f"schedule|{name}"], rtol=1e-7, atol=0)


@pytest.mark.parametrize("case", PROVENANCE["cases"])
def test_create_schedule_gives_the_rates_of_the_originals_create_optimizer(case: str) -> None:
    init_lr, steps, warmup, end_lr, _, _, power = PROVENANCE["cases"][case]
    schedule = create_schedule(init_lr, steps, warmup, end_lr, power)
    rates = [schedule(step) for step in range(steps)]
    np.testing.assert_allclose(rates, GOLDEN[f"{case}|rates"], rtol=1e-7, atol=0)


@pytest.mark.parametrize("no_warmup", [0, None])
def test_without_warmup_the_first_step_has_the_peak_rate(no_warmup: int | None) -> None:
    assert create_schedule(2e-5, 100, no_warmup)(0) == pytest.approx(2e-5, rel=1e-7)


def test_warmup_of_no_steps_hands_over_at_once() -> None:
    assert WarmUp(1.0, PolynomialDecay(0.5, 10), 0)(0) == 0.5


def test_schedules_with_equal_numbers_are_equal_and_cannot_be_changed() -> None:
    schedule = create_schedule(2e-5, 100, 10)
    assert schedule == create_schedule(2e-5, 100, 10)
    with pytest.raises(AttributeError):
        schedule.warmup_steps = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: PolynomialDecay(1.0, 0), "decay_steps"),
        (lambda: PolynomialDecay(-1.0, 5), "initial_learning_rate"),
        (lambda: PolynomialDecay(1.0, 5, float("nan")), "end_learning_rate"),
        (lambda: PolynomialDecay(1.0, 5, power=0.0), "power"),
        (lambda: WarmUp(float("inf"), PolynomialDecay(1.0, 5), 2), "initial_learning_rate"),
        (lambda: WarmUp(1.0, PolynomialDecay(1.0, 5), -1), "warmup_steps"),
        (lambda: WarmUp(1.0, PolynomialDecay(1.0, 5), 1)(-1), "step -1"),
        (lambda: PolynomialDecay(1.0, 5)(-1), "step -1"),
        (lambda: create_schedule(1.0, 5, 6), "num_warmup_steps"),
        (lambda: create_schedule(1.0, 5, -1), "warmup_steps"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_by_name(make: Any, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        make()


def test_linear_warm_up_reaches_its_peak_and_falls_from_there_to_0() -> None:
    """The rates of transformers' `get_linear_schedule_with_warmup` for 4 steps of warm-up and 10 in all."""
    schedule = LinearWarmUpDecay(1.0, 4, 10)
    expected = [0, 1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]
    assert [schedule(step) for step in range(12)] == pytest.approx(expected)
    assert LinearWarmUpDecay(1.0, 0, 4)(0) == 1.0


@pytest.mark.parametrize(("warmup", "total"), [(-1, 4), (5, 4)])
def test_a_warm_up_outside_of_the_run_is_refused(warmup: int, total: int) -> None:
    with pytest.raises(ConfigError, match="warmup_steps must lie between 0 and 4"):
        LinearWarmUpDecay(1.0, warmup, total)


@pytest.mark.parametrize(
    "schedule", [PolynomialDecay(1.0, 10), WarmUp(1.0, PolynomialDecay(1.0, 10), 4), LinearWarmUpDecay(1.0, 4, 10)]
)
def test_a_schedule_stays_what_was_checked(schedule: Any) -> None:
    for field in fields(schedule):
        with pytest.raises(FrozenInstanceError):
            setattr(schedule, field.name, -1)
