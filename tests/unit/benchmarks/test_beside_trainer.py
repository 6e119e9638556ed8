"""bertune beside the Trainer: what is measured of two runs, and when they are not comparable."""

from typing import Any

import numpy as np
import pytest
from benchmarks.beside_trainer import (
    MEASURES,
    OURS,
    PEER,
    Settings,
    best_epoch,
    check_same_start,
    difference_cells,
    measured,
    page,
    summarize,
)
from benchmarks.intervals import mean_of
from benchmarks.processes import JobError


def answer(losses: list[float]) -> dict[str, Any]:
    about = {"first_batch_loss": 0.7, "tokens_checksum": 5, "seconds": 1.0, "versions": {}}
    return about | {"losses": losses, "rates": [1e-4] * len(losses)}


LOGITS = np.array([[[1, 0], [0, 1]], [[9, 0], [9, 0]]], dtype=np.float32)  # two epochs, two rows


def test_the_last_epochs_loss_is_that_of_its_steps() -> None:
    run = measured(answer([0.9, 0.8, 0.7, 0.5, 0.4, 0.3]), LOGITS, np.array([0, 1]), epochs=2)
    assert run["training loss, all steps"] == pytest.approx(0.6)
    assert run["training loss, last epoch"] == pytest.approx(0.4)
    assert (run["validation accuracy, best epoch"], run["validation accuracy, last epoch"]) == (1.0, 0.5)
    assert run["validation loss, best epoch"] == pytest.approx(np.log1p(np.exp(-1.0)))
    assert run["validation loss, last epoch"] == pytest.approx((np.log1p(np.exp(-9.0)) + np.log1p(np.exp(9.0))) / 2)


def test_of_epochs_with_equal_accuracy_the_one_with_the_lower_loss_is_best() -> None:
    assert best_epoch([0.7, 0.8, 0.8], [0.5, 0.6, 0.4]) == 2


def test_both_are_given_the_same_numbers() -> None:
    settings = Settings("mrpc", 1e-4, 3)
    ours, peers = settings.ours(), settings.peers(300)
    assert peers["warmup_steps"] == int(3 * 10 * ours["warmup_fraction"]) == 3
    names = {
        "num_train_epochs": "epochs",
        "per_device_train_batch_size": "batch_size",
        "learning_rate": "learning_rate",
        "weight_decay": "weight_decay",
        "max_grad_norm": "max_gradient_norm",
        "optim": "optimizer",
    }
    assert {names[name]: peers[name] for name in names} == {name: ours[name] for name in names.values()}


@pytest.mark.parametrize("name", ["tokens_checksum", "steps", "first_batch_loss"])
def test_runs_that_began_differently_are_refused(name: str) -> None:
    one = measured(answer([0.9, 0.8]), LOGITS, np.array([0, 1]), epochs=2)
    check_same_start(one, one | {"first_batch_loss": 0.70001})
    with pytest.raises(JobError, match=name):
        check_same_start(one, one | {name: one[name] + 1})


def test_the_page_shows_each_measure_by_number_of_rows_with_its_interval() -> None:
    runs: dict[str, Any] = {"1000": {OURS: {}, PEER: {}}, "300": {OURS: {}, PEER: {}}}
    for by_system in runs.values():
        for seed, ours, peers in (("1", 0.60, 0.59), ("2", 0.62, 0.62), ("3", 0.61, 0.60)):
            by_system[OURS][seed] = measured(answer([ours, ours]), LOGITS, np.array([0, 1]), epochs=2)
            by_system[PEER][seed] = measured(answer([peers, peers]), LOGITS, np.array([0, 1]), epochs=2)
        by_system[OURS]["4"] = by_system[OURS]["1"]
    results = {"settings": {"task": "mrpc"}, "machine": {}, "versions": {}, "summary": summarize(runs)}
    lines = page(results).splitlines()
    shown = [line for line in lines if "training loss, all steps" in line]
    assert shown == [
        "| 300 | 3 | training loss, all steps | 0.6100 | 0.6033 | +0.0067 | 0.0033 | +2.00 | -0.0077 to +0.0210 |",
        "| 1000 | 3 | training loss, all steps | 0.6100 | 0.6033 | +0.0067 | 0.0033 | +2.00 | -0.0077 to +0.0210 |",
    ]
    assert sum(line.startswith("| 300 | 3 |") for line in lines) == len(MEASURES)
    accuracy = next(line for line in lines if "| validation accuracy, last epoch" in line)
    # Seeds that agree do not say how far others would differ: no interval, rather than one of width zero.
    assert accuracy.endswith("| 50.00% | 50.00% | +0.00 |  |  |  |")


def test_a_difference_of_rounding_is_not_shown_as_none() -> None:
    rounding, share = mean_of([-3e-7, -5e-7]), mean_of([0.01, 0.03])
    assert difference_cells(rounding, "loss").startswith("-4.0e-07 | 1.0e-07 | -4.00 | ")
    assert difference_cells(share, "share").startswith("+2.00 | 1.00 | +2.00 | ")
