from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.unit.plots.svg import texts

from bertune.errors import ConfigError
from bertune.optim.create import create_schedule
from bertune.optim.schedule import PolynomialDecay, WarmUp
from bertune.plots.schedule_plot import plot_schedule

DECAY = PolynomialDecay(2e-5, 345, end_learning_rate=0)
WARM = WarmUp(2e-5, DECAY, 34)


def lines(picture: Figure) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in picture.axes[0].lines]


@pytest.mark.parametrize("schedule", [DECAY, WARM, create_schedule(1e-4, 100, 10), lambda step: 1 / (step + 1)])
@pytest.mark.parametrize("steps", [1, 2, 345])
def test_every_rate_drawn_is_that_of_the_schedule(schedule, steps: int) -> None:  # type: ignore[no-untyped-def]
    ((shown_steps, rates),) = lines(plot_schedule(schedule, steps))
    assert shown_steps.tolist() == list(range(steps))
    assert rates.tolist() == [schedule(step) for step in range(steps)]


def test_of_a_long_run_both_ends_and_the_end_of_the_warm_up_are_drawn() -> None:
    schedule = create_schedule(1e-4, 1_000_000, 12_345)
    ((steps, rates),) = lines(plot_schedule(schedule, 1_000_000))
    assert len(steps) <= 4002
    assert np.all(np.diff(steps) > 0)
    assert {0, 12_344, 12_345, 999_999} <= set(steps.tolist())
    assert rates.tolist() == [schedule(int(step)) for step in steps]


def test_several_schedules_are_told_apart_by_name_colour_and_dashes(tmp_path: Path) -> None:
    picture = plot_schedule(
        {"decay alone": DECAY, "_warm $up$": WARM, "flat": lambda step: 1e-5}, 345, tmp_path / "s.svg"
    )
    drawn = picture.axes[0].lines
    assert len({line.get_color() for line in drawn}) == len({line.get_linestyle() for line in drawn}) == 3
    shown = texts(tmp_path / "s.svg")
    assert "decay alone: highest 2e-5 at step 0" in shown
    assert "_warm $up$: warm-up until step 34, highest 1.94e-5 at step 33" in shown


def test_a_list_names_its_schedules_after_what_they_are(tmp_path: Path) -> None:
    plot_schedule([DECAY, WARM, DECAY], 345, tmp_path / "s.svg")
    names = [text.split(":")[0] for text in texts(tmp_path / "s.svg") if "highest" in text]
    assert names == ["PolynomialDecay 1", "WarmUp, then PolynomialDecay", "PolynomialDecay 3"]


def test_the_steps_of_the_warm_up_are_tinted() -> None:
    (tint,) = plot_schedule(WARM, 345).axes[0].patches
    assert (tint.get_x(), tint.get_width()) == (0, 34)  # type: ignore[attr-defined]
    assert list(plot_schedule(DECAY, 345).axes[0].patches) == []
    assert list(plot_schedule(WarmUp(1.0, DECAY, 0), 345).axes[0].patches) == []


def test_rates_are_written_as_people_type_them(tmp_path: Path) -> None:
    plot_schedule(DECAY, 345, tmp_path / "s.svg")
    assert {"0", "5e-6", "1e-5", "1.5e-5", "2e-5", "300"} <= set(texts(tmp_path / "s.svg"))


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "9"])
def test_a_run_has_a_whole_number_of_steps(steps: object) -> None:
    with pytest.raises(ConfigError, match="steps"):
        plot_schedule(DECAY, steps)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({}, "no schedule"),
        ([], "no schedule"),
        ({"flat": 2e-5}, "flat is float"),
        ([None], "NoneType"),
        (2e-5, "float"),
        ({"bad": lambda step: float("nan") if step == 3 else 1.0}, "bad gives nan at step 3"),
        ({"bad": lambda step: None}, "bad gives None at step 0"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plot_schedule(schedule, 10)  # type: ignore[arg-type]
