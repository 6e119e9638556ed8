"""The curves of a run, from its journal to the page."""

import re
from dataclasses import replace
from typing import Any

from tests.unit.reports.some_run import RUN

from bertune.reports.curves import curve_numbers
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.training_section import training
from bertune.training.saved_run import JournalEntry, journal_entry

STEPS = 6


def journal(*, within: bool) -> list[JournalEntry]:
    """A run of two epochs of three steps, evaluated after each or after each step."""
    lines: list[dict[str, Any]] = [{"event": "start", "precision": "fp32"}]
    for step in range(STEPS):
        lines.append(
            {"event": "step", "step": step, "epoch": 1 + step // 3, "loss": 0.7, "learning_rate": 1e-4}
            | {"gradient_norm": 1.0}
        )
        validation = {
            "mean_loss": 0.6 - step / 100,
            "metrics": {"accuracy": {"value": 0.5 + step / 20, "baseline": 0.5}},
        }
        place = (step + 1) // 3 if step % 3 == 2 else (step + 1) / 3
        common = {"epoch": place, "train_loss": 0.7, "is_best": True, "validation": validation}
        if within:
            lines.append({"event": "evaluation", "step": step + 1, **common})
        if step % 3 == 2:
            lines.append({"event": "epoch", **common, "train_seconds": 1.5, "examples_per_second": 32.0})
    found = [journal_entry(line) for line in lines]
    return [entry for entry in found if entry is not None]


def test_curves_stand_at_evaluations_where_a_journal_has_them() -> None:
    plain, within = (curve_numbers("run", journal(within=within)) for within in (False, True))
    assert replace(within, evaluations=None) == plain
    assert plain.evaluations is None
    assert within.evaluations is not None
    assert [(each.step, each.epoch) for each in within.evaluations] == [
        (1, 1 / 3), (2, 2 / 3), (3, 1), (4, 4 / 3), (5, 5 / 3), (6, 2)
    ]  # fmt: skip
    assert [each.last_step for each in within.scored] == [0, 1, 2, 3, 4, 5]
    assert [each.last_step for each in plain.scored] == [2, 5]
    assert within.scored[2::3] == plain.scored
    for curve, dots, axis in ((plain, 2, "epoch"), (within, 6, "step")):
        numbers = RunMetrics.from_json(replace(RUN, curves=(curve,)).to_json())
        (section,) = training(numbers)
        accuracy = next(part for part in section.split("<figure") if "Accuracy" in part)
        assert accuracy.count("<circle") == dots
        assert f">{axis}</text>" in accuracy
        loss = next(part for part in section.split("<figure") if "dots: validation" in part)
        assert len(re.findall("<circle", loss)) == dots
