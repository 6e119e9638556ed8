"""Losses that are not finite, and memory that ends, while a run trains."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.resumed_runs import CrashAt, CrashError, crashed, prepared, results, resumed, write_world
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor

from bertune.errors import DivergedError, ResourceError
from bertune.training import engine as engine_module
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.loop import fit
from bertune.training.run import execute
from bertune.training.step import SkippedStep, StepResult

CONFIG = TrainingConfig(
    recipe="lesson", epochs=2, batch_size=16, learning_rate=1e-3, optimizer="adamw", seed=3, precision="fp32"
)  # fmt: skip
# Without dropout, so that parts of another size draw nothing else.
STILL = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
ENGINES = pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])

pytestmark = pytest.mark.usefixtures("compiler")


class Watcher(Callback):
    def __init__(self) -> None:
        self.steps: list[StepResult] = []
        self.skipped: list[SkippedStep] = []
        self.parts: list[tuple[int, int]] = []

    def on_step(self, result: StepResult) -> None:
        self.steps.append(result)

    def on_skipped_step(self, skipped: SkippedStep) -> None:
        self.skipped.append(skipped)

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        self.parts.append((step, micro_batch_size))


def poison(patch: pytest.MonkeyPatch, steps: set[int], what: str) -> None:
    """Makes the loss or the gradient of some steps, counted over all that are tried, infinite."""
    real, taken = engine_module.Engine.forward_backward, [-1]

    def forward_backward(self: Any, batch: Any, objective: Any, *, total_weight: Any, accumulate: bool) -> Any:
        taken[0] += not accumulate
        loss, logits = real(self, batch, objective, total_weight=total_weight, accumulate=accumulate)
        if taken[0] in steps and what == "gradient":
            self.classifier.classifier.weight.grad[0, 0] = torch.inf
        return (torch.nan if taken[0] in steps and what == "loss" else loss), logits

    patch.setattr(engine_module.Engine, "forward_backward", forward_backward)


@ENGINES
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_left_out_and_its_rows_are_told(
    what: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    train, seen = make_dataset(80, 1), Watcher()
    states: list[dict[str, Tensor]] = []

    class Weights(Callback):
        def on_step(self, result: StepResult) -> None:
            states.append({name: value.clone() for name, value in classifier.state_dict().items()})

    poison(monkeypatch, {3, 4}, what)
    classifier = make_classifier()
    history = fit(classifier, train, config=CONFIG, callbacks=[seen, Weights()])
    assert [step.step for step in history.steps] == [0, 1, 2, 5, 6, 7, 8, 9]
    assert [(skipped.step, skipped.epoch, skipped.in_a_row) for skipped in seen.skipped] == [(3, 1, 1), (4, 1, 2)]
    assert all(what in skipped.reason for skipped in seen.skipped)
    order = np.random.default_rng([CONFIG.seed, 0]).permutation(80)
    assert seen.skipped[0].rows == tuple(order[48:64].tolist())
    # The step after them is at the rate of its own number.
    rates = [step.learning_rate for step in fit(make_classifier(), train, config=CONFIG, callbacks=[]).steps]
    assert [step.learning_rate for step in history.steps] == [rates[step] for step in (0, 1, 2, 5, 6, 7, 8, 9)][:8]


@ENGINES
def test_the_third_in_a_row_ends_the_run_with_the_weights_before_all_three(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    poison(monkeypatch, {4, 5, 6}, "gradient")
    classifier, seen = make_classifier(), Watcher()
    with pytest.raises(DivergedError, match=r"the gradient norm at step 4 is inf.*the two steps after it") as raised:
        fit(classifier, make_dataset(80, 1), config=CONFIG, callbacks=[seen])
    assert raised.value.exit_code == 5
    assert len(seen.skipped) == 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def events(out: Path, name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == name]


@ENGINES
def test_a_run_writes_down_the_rows_and_goes_on_between_them(
    engine: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    with monkeypatch.context() as patch:
        poison(patch, {7, 8}, "gradient")
        out = tmp_path / "whole" / "run"
        execute(prepared(world, out))
    expected = results(out)
    skipped = events(out, "skipped_step")
    assert [(line["step"], len(line["rows"])) for line in skipped] == [(7, 16), (8, 16)]
    doubtful = [json.loads(line) for line in (out / "doubtful.jsonl").read_text().splitlines()]
    assert sum(len(row["probability"]) == 2 for row in doubtful) == 32  # of three epochs
    with monkeypatch.context() as patch:
        poison(patch, {7}, "gradient")
        again = crashed(prepared(world, tmp_path / "run", save_every=1), CrashOnSkip())
    with monkeypatch.context() as patch:
        # The checkpoint is of the step before the one that was left out.
        poison(patch, {0, 1}, "gradient")
        assert results(resumed(again)) == expected


class CrashOnSkip(Callback):
    def on_skipped_step(self, skipped: SkippedStep) -> None:
        raise CrashError


def test_steps_left_out_in_a_row_are_counted_over_a_pause(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Callback):
        """Crashes when the third is taken up."""

        def on_skipped_step(self, skipped: SkippedStep) -> None:
            if skipped.in_a_row == 3:
                raise CrashError

    with monkeypatch.context() as patch:
        poison(patch, {7, 8, 9}, "loss")
        out = crashed(prepared(world, tmp_path / "run", save_every=1), Stop())
    with monkeypatch.context() as patch:
        poison(patch, {0}, "loss")
        with pytest.raises(DivergedError, match="the loss at step 7 is nan") as raised:
            resumed(out)
    notes = " ".join(raised.value.__notes__)
    assert str(out / "checkpoints" / "step-000000009") in notes


FAILURES: list[Callable[[], Exception]] = [
    MemoryError,
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    lambda: torch.OutOfMemoryError("CUDA out of memory"),
]


def limit_memory(patch: pytest.MonkeyPatch, most: int, failure: Callable[[], Exception], *, first: int = 0) -> None:
    """Lets memory end for parts of more examples than there is room for, from some try on."""
    real, tries = engine_module.Engine.forward_backward, [0]

    def forward_backward(self: Any, batch: Any, objective: Any, **more: Any) -> Any:
        tries[0] += 1
        if len(batch.targets) > most and tries[0] > first:
            raise failure()
        return real(self, batch, objective, **more)

    patch.setattr(engine_module.Engine, "forward_backward", forward_backward)


@ENGINES
@pytest.mark.parametrize("failure", FAILURES, ids=["Python", "torch", "GPU"])
def test_where_memory_ends_half_as_many_examples_are_computed_at_a_time(
    failure: Callable[[], Exception], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    train = make_dataset(80, 1)
    expected = fit(make_classifier(config=STILL), train, config=CONFIG)
    seen = Watcher()
    with monkeypatch.context() as patch:
        limit_memory(patch, 5, failure, first=3)
        found = fit(make_classifier(config=STILL), train, config=CONFIG, callbacks=[seen])
    assert seen.parts == [(3, 8), (3, 4)]
    assert [step.examples for step in found.steps] == [step.examples for step in expected.steps]
    assert [step.tokens for step in found.steps] == [step.tokens for step in expected.steps]
    ours, theirs = ([step.loss for step in history.steps] for history in (found, expected))
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_bf16_adds_up_parts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    train, config = make_dataset(80, 1), replace(CONFIG, precision="bf16")
    expected = fit(make_classifier(config=STILL), train, config=replace(config, micro_batch_size=4))
    with monkeypatch.context() as patch:
        limit_memory(patch, 4, MemoryError)
        found = fit(make_classifier(config=STILL), train, config=config)
    assert [step.loss for step in found.steps] == [step.loss for step in expected.steps]


def test_memory_for_less_than_one_example_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 0, MemoryError)
    seen = Watcher()
    with pytest.raises(ResourceError, match="one example at a time") as raised:
        fit(make_classifier(), make_dataset(80, 1), config=CONFIG, callbacks=[seen])
    assert (raised.value.exit_code, [size for _, size in seen.parts]) == (4, [8, 4, 2, 1])
    assert "--max-length" in (raised.value.hint or "")


def test_a_run_that_goes_on_remembers_how_much_memory_there_is(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "whole" / "run"
    with monkeypatch.context() as patch:
        limit_memory(patch, 5, MemoryError)
        execute(prepared(world, out))
        expected = results(out)
        assert [line["micro_batch_size"] for line in events(out, "smaller_parts")] == [8, 4]
        found = results(resumed(crashed(prepared(world, tmp_path / "run", save_every=4), CrashAt(10))))
    assert found == expected
