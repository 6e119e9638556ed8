"""Halving on made-up trials whose quality is known."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.scored import scored

from bertune.evaluation.scores import Scores
from bertune.experiments.halving import (
    Halving,
    StoppedAtRungError,
    Trial,
    TrialState,
    best_epoch_of,
    untried_settings,
)
from bertune.experiments.search import best_of
from bertune.experiments.sweep_directory import SweepDirectory
from bertune.training.history import EpochResult, Evaluation

SPACE: dict[str, tuple[Any, ...]] = {"learning_rate": (1e-5, 1e-3), "batch_size": (16, 32), "epochs": (4,)}
TARGETS = np.array([0, 1] * 500)


def scores_of(accuracy: float) -> Scores:
    logits = np.zeros((1000, 2), np.float32)
    answers = TARGETS.copy()
    wrong = round((1 - accuracy) * 1000)
    answers[:wrong] = 1 - answers[:wrong]
    logits[np.arange(1000), answers] = 1
    return scored(logits, TARGETS, task_kind="classification", metrics=("accuracy",), bootstrap_samples=10)


def run_trial(done: list[Trial], accuracies: list[float] | None = None, *, epochs: int = 4, seed: int = 0) -> Trial:
    """Runs a trial that is the better the nearer its rate is to 1e-4, or whose accuracies are given."""
    halving = Halving(SPACE | {"epochs": (epochs,)}, done, 2, seed)
    best = 0.9 - 0.1 * abs(math.log10(halving.drawn["learning_rate"]) + 4)
    halving.on_start(epochs * 10, 10, "fp32")
    state: TrialState = "complete"
    try:
        for epoch in range(1, epochs + 1):
            value = accuracies[epoch - 1] if accuracies else best - 0.1 / epoch
            halving.on_epoch(EpochResult(epoch, 0.5, 1.0, 1.0, scores_of(value), is_best=True))
    except StoppedAtRungError:
        state = "stopped"
    return halving.outcome(len(done) + 1, state, epochs)


def test_a_trial_below_the_better_half_is_stopped_at_the_first_rung() -> None:
    done: list[Trial] = []
    for accuracies in ([0.7, 0.7, 0.7, 0.7], [0.8, 0.8, 0.8, 0.8], [0.6], [0.65]):
        done.append(run_trial(done, [*accuracies, *[0.99] * 3]))
    assert [trial.state for trial in done] == ["complete", "complete", "stopped", "stopped"]
    assert [trial.values for trial in done[2:]] == [(0.6,), (0.65,)]  # what they would have come to is not known


def test_between_rungs_and_at_the_last_epoch_nothing_is_stopped() -> None:
    done = [run_trial([], [0.9, 0.9, 0.9, 0.9])]
    # Rungs lie after epochs 1, 2 and 4: as good there, worse in epoch 3 and at the end.
    done.append(run_trial(done, [0.95, 0.95, 0.1, 0.1]))
    assert done[1].state == "complete"
    assert len(done[1].values) == 4
    third = run_trial(done, [0.96, 0.5, 0.9, 0.9])
    assert (third.state, third.values) == ("stopped", (0.96, 0.5))


def test_draws_stay_in_the_space_and_move_towards_what_was_good() -> None:
    done: list[Trial] = []
    for _ in range(40):
        done.append(run_trial(done))
    rates = [trial.drawn["learning_rate"] for trial in done]
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)
    assert {trial.drawn["batch_size"] for trial in done} == {16, 32}
    distances = [abs(math.log10(rate) + 4) for rate in rates]
    assert np.mean(distances[-20:]) < np.mean(distances[:8])


def test_the_next_trial_depends_on_what_is_done_and_the_seed_alone() -> None:
    done: list[Trial] = []
    for _ in range(12):
        done.append(run_trial(done))
    again = [replace(trial) for trial in done]  # as read from a file
    first, second = run_trial(done), run_trial(again)
    assert first == second
    assert run_trial(done, seed=1).drawn != first.drawn


def test_finitely_many_settings_are_each_drawn_once() -> None:
    space: dict[str, tuple[Any, ...]] = {"batch_size": (8, 16, 32), "seed": (1, 2)}
    done: list[Trial] = []
    while untried_settings(space, done):
        halving = Halving(space, done, 2, 0)
        halving.on_start(10, 10, "fp32")
        halving.on_epoch(EpochResult(1, 0.5, 1.0, 1.0, scores_of(0.8), is_best=True))
        done.append(Trial(len(done) + 1, halving.drawn, "complete", 1, tuple(halving.values), halving.rungs))
        assert all(isinstance(value, float) for value in done[-1].rungs.values())
    assert len(done) == 6
    drawn = [tuple(trial.drawn.values()) for trial in done]
    assert len(set(drawn)) == 6
    assert drawn != sorted(drawn)
    assert untried_settings(SPACE, done) is None


def test_a_sweep_of_finitely_many_settings_goes_on_after_an_update_as_it_began() -> None:
    """Trials that are done are not drawn again: the rest must be those that the earlier version would have drawn."""
    space: dict[str, tuple[Any, ...]] = {"batch_size": (8, 16, 32), "seed": (1, 2)}
    done: list[Trial] = []
    for number in range(1, 7):
        drawn = Halving(space, done, 2, 3).drawn
        done.append(Trial(number, drawn, "complete", 1, (0.8,)))
    assert [tuple(trial.drawn.values()) for trial in done] == [(8, 2), (16, 1), (32, 1), (32, 2), (16, 2), (8, 1)]


def trial_of(number: int, values: tuple[float, ...], losses: tuple[float, ...]) -> Trial:
    return Trial(number, {"learning_rate": 1e-4}, "complete", len(values), values, losses=losses)


def test_on_an_equal_metric_the_epoch_and_the_trial_with_the_lower_loss_are_best() -> None:
    first, second = trial_of(1, (0.96, 0.96, 0.96), (0.3, 0.16, 0.14)), trial_of(2, (0.96, 0.9), (0.12, 0.05))
    assert (first.best_epoch, second.best_epoch) == (3, 1)
    assert best_of([first, second]) is second
    assert best_of([first, trial_of(2, (0.97,), (9.0,))]).number == 2
    assert best_of([first, replace(first, number=2)]) is first


def test_an_epoch_without_its_loss_is_an_error_rather_than_left_out() -> None:
    assert best_epoch_of((0.5, 0.6), ()) == 2
    with pytest.raises(ValueError, match="shorter"):
        best_epoch_of((0.5, 0.6), (0.3,))


def test_a_trial_says_whether_the_model_of_its_best_epoch_collapsed() -> None:
    halving = Halving(SPACE, [], 2, 0)
    halving.on_start(20, 10, "fp32")
    constant = scored(np.tile([1.0, 0.0], (1000, 1)), TARGETS, task_kind="classification", metrics=("accuracy",))
    halving.on_epoch(EpochResult(1, 0.5, 1.0, 1.0, constant, is_best=True))
    assert halving.outcome(1, "complete", 2).collapsed
    halving.on_epoch(EpochResult(2, 0.5, 1.0, 1.0, scores_of(0.8), is_best=True))
    assert not halving.outcome(1, "complete", 2).collapsed


def test_of_an_epoch_its_best_evaluation_counts_whose_model_is_kept() -> None:
    halving = Halving(SPACE, [], 2, 0)
    halving.on_start(20, 10, "fp32")
    for epoch, accuracies in ((1, (0.7, 0.9, 0.8)), (2, (0.6, 0.6, 0.8))):
        for step, accuracy in enumerate(accuracies, start=1):
            place = epoch - 1 + step / 3 if step < 3 else epoch
            halving.on_evaluation(Evaluation(step, place, 0.5, 1.0, 1.0, scores_of(accuracy), is_best=True))
        halving.on_epoch(EpochResult(epoch, 0.5, 1.0, 1.0, scores_of(accuracies[-1]), is_best=False))
    trial = halving.outcome(1, "complete", 2)
    assert trial.values == (0.9, 0.8)
    assert (trial.best_epoch, trial.losses[0]) == (1, pytest.approx(scores_of(0.9).mean_loss))


def trials_in(folder: SweepDirectory) -> tuple[Trial, ...]:
    earlier = folder.earlier()
    assert earlier is not None
    return earlier.trials


def test_a_table_of_trials_from_before_losses_were_kept_is_read(tmp_path: Path) -> None:
    folder = SweepDirectory(tmp_path)
    (tmp_path / "trial-1" / "model").mkdir(parents=True)
    (tmp_path / "trial-1" / "model" / "bertune.json").touch()
    folder.write_table({"data": "x"}, "digest", "accuracy", [trial_of(1, (0.8, 0.9, 0.9), (0.5, 0.4, 0.3))])
    table = json.loads((tmp_path / "sweep.json").read_text())
    (trial,) = trials_in(folder)
    assert trial.best_epoch == 3
    for row in table["trials"]:
        del row["losses"], row["collapsed"]
    (tmp_path / "sweep.json").write_text(json.dumps(table))
    (trial,) = trials_in(folder)
    assert (trial.best_epoch, trial.value, trial.losses) == (2, 0.9, ())
    best = best_of([trial, trial_of(2, (0.9,), (0.7,))])
    assert best is not None
    assert best.number == 2
