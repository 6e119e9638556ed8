"""Checks that several processes make together, each by itself under `torchrun`.

    torchrun --standalone --nproc-per-node 2 tests/process_checks.py WORLD OUT CHECK...

Each process writes `OUT/RANK.json`: what each check found, by its name. What is to be the same in one process is
computed alone, by the same code, in the first process.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.resumed_runs import prepared

from bertune.batches.dataset import Dataset
from bertune.errors import BertuneError, DataError, ResourceError
from bertune.evaluation import logits as logits_module
from bertune.system.feature_switches import is_disabled
from bertune.system.joined_group import joined
from bertune.system.process_group import ALONE, ProcessGroup, ToldElsewhereError
from bertune.system.torchrun import Launch
from bertune.training import batch_gradients
from bertune.training.callback import Callback
from bertune.training.dynamics import Dynamics
from bertune.training.engine import Engine, NativeEngine, TorchEngine
from bertune.training.history import History
from bertune.training.loop import FitOptions, fit_objective
from bertune.training.objective import Objective
from bertune.training.step import SkippedStep, StepResult

CASES: dict[str, dict[str, Any]] = {
    "classes with weights": {"kind": "classification", "class_weights": ("balanced",), "label_smoothing": 0.1},
    "parts": {"kind": "classification", "micro_batch_size": 3, "class_weights": ("balanced",)},
    "several labels, windows": {"kind": "multi-label", "long_text": "windows", "max_length": 12},
    "values": {"kind": "regression", "recipe": "lesson"},
    "frozen": {"kind": "classification", "freeze": 1},
}
# Six steps an epoch, the last of ten rows.
SETTINGS: dict[str, Any] = {"precision": "fp32", "epochs": 4, "learning_rate": 1e-3, "patience": 0}


class Told(Callback):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_skipped_step(self, skipped: SkippedStep) -> None:
        self.events.append((skipped.step, skipped.reason, len(skipped.rows)))

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        self.events.append((step, micro_batch_size))


def trained(
    world: Path, group: ProcessGroup, callback: Callback | None = None, **settings: Any
) -> tuple[History, Dynamics, Any]:
    run = prepared(world, world / "nowhere", **SETTINGS | settings)
    dynamics = Dynamics(len(run.train), run.signature.kind)
    watching = () if callback is None else (callback,)
    options = FitOptions(callbacks=watching, verbose=False, dynamics=dynamics, group=group)
    objective = Objective.of(run.signature)
    history = fit_objective(run.classifier, run.train, run.validation, objective, run.config, options)
    return history, dynamics, run.classifier


def farthest(mine: Any, theirs: Any) -> float:
    """The largest difference, by the largest number."""
    mine, theirs = np.asarray(mine, float), np.asarray(theirs, float)
    assert mine.shape == theirs.shape
    return float(np.abs(mine - theirs).max() / np.abs(theirs).max())


def few_losses(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """See `losses`; of two cases."""
    return losses(world, group, ("classes with weights", "frozen"))


def losses(world: Path, group: ProcessGroup, cases: tuple[str, ...] = tuple(CASES)) -> dict[str, Any]:
    """Losses, gradient norms, dynamics and weights of 20 steps and more beside those of one process."""
    found: dict[str, Any] = {}
    for engine in ("compiled kernels", "torch operators: compiled kernels are switched off"):
        os.environ["BERTUNE_DISABLE"] = "kernels" if engine.startswith("torch") else ""
        assert is_disabled("kernels") == engine.startswith("torch")
        for name in cases:
            settings = CASES[name]
            history, dynamics, classifier = trained(world, group, **settings)
            assert history.engine == f"fp32, {engine}, {group.size} processes"
            alone, of_alone, other = trained(world, ALONE, **settings)
            assert alone.engine == f"fp32, {engine}"
            steps = [(step.loss, step.gradient_norm) for step in history.steps]
            assert [step.tokens for step in history.steps] == [step.tokens for step in alone.steps]
            found[f"{engine[:5]}, {name}"] = {
                "steps": len(steps),
                "loss": max(farthest(a.loss, b.loss) for a, b in zip(history.steps, alone.steps, strict=True)),
                "norm": max(
                    farthest(a.gradient_norm, b.gradient_norm) for a, b in zip(history.steps, alone.steps, strict=True)
                ),
                "dynamics": farthest(dynamics.values, of_alone.values),
                "weights": max(
                    farthest(a.detach(), b.detach())
                    for a, b in zip(classifier.parameters(), other.parameters(), strict=True)
                ),
                "digest": [float(p.detach().double().sum()) for p in classifier.parameters()],
            }
    os.environ["BERTUNE_DISABLE"] = ""
    return found


def gradients(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """Each parameter's gradient of the first step beside that of one process, as the optimizer finds it."""
    found: dict[str, Any] = {}
    for disabled in ("", "kernels"):
        os.environ["BERTUNE_DISABLE"] = disabled
        of: list[dict[str, torch.Tensor]] = []
        for each in (group, ALONE):
            of.append({})

            def step(engine: Engine, kept: dict[str, torch.Tensor] = of[-1]) -> float:
                for name, parameter in engine.classifier.named_parameters():
                    if parameter.grad is not None:
                        kept[name] = parameter.grad.clone()
                if isinstance(engine, NativeEngine):
                    for name, gradient in engine.native.gradients.items():
                        kept[f"encoder.{name}"] = gradient.clone()
                    table = engine.native.token_gradient
                    assert table is not None
                    whole = torch.zeros_like(engine.classifier.encoder.input_embeddings.weight)
                    whole[torch.from_numpy(table.touched).long()] = table.values
                    kept["encoder.embeddings.token.weight"] = whole
                raise KeyboardInterrupt

            kind = TorchEngine if disabled else NativeEngine
            real, kind.step = kind.step, step  # type: ignore[method-assign]
            with contextlib.suppress(KeyboardInterrupt):
                trained(world, each, **CASES["several labels, windows"])
            kind.step = real  # type: ignore[method-assign]
        mine, alone = of
        assert mine.keys() == alone.keys()
        found[disabled or "compiled"] = {name: farthest(mine[name], alone[name]) for name in mine}
    os.environ["BERTUNE_DISABLE"] = ""
    return found


def rows(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """The rows that this process trains on in each epoch, and the tokens of its share of each full batch."""
    run = prepared(world, world / "nowhere", **SETTINGS, batch_size=89)  # of 90 rows
    computed: list[list[int]] = []
    real = batch_gradients.BatchPasses._compute

    def compute(passes: Any, own: Any, total_weight: Any) -> Any:
        computed.append([] if total_weight == float("inf") else own.tolist())
        return real(passes, own, total_weight)

    batch_gradients.BatchPasses._compute = compute  # type: ignore[method-assign]
    options = FitOptions(verbose=False, group=group)
    fit_objective(run.classifier, run.train, None, Objective.of(run.signature), run.config, options)
    batch_gradients.BatchPasses._compute = real  # type: ignore[method-assign]
    lengths = run.train.encoded.example_lengths
    return {"rows": computed, "tokens": [int(lengths[own].sum()) for own in computed]}


def scores(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """The scores of 21 rows, in one batch and in many, beside those of one process; and the rows computed here."""
    found: dict[str, Any] = {}
    run = prepared(world, world / "nowhere", **CASES["several labels, windows"])
    objective = Objective.of(run.signature)
    assert run.validation is not None
    assert run.validation.targets is not None
    some = Dataset(run.validation.encoded.take(np.arange(21)), run.validation.targets[:21])
    for tokens in (4096, 40):
        logits_module._BATCH_TOKENS = tokens  # type: ignore[misc]
        counts: list[int] = []
        logits_module.shared_logits(run.classifier, some, on_batch=counts.append, group=group)
        shared, logits = objective.score(run.classifier, some, run.train.targets, group)
        alone, of_alone = objective.score(run.classifier, some, run.train.targets)
        found[str(tokens)] = {
            "same": shared == alone and logits.tobytes() == of_alone.tobytes(),
            "rows": sum(counts),
            "metrics": shared.values,
        }
    return found


def mishaps(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """A loss that is not finite, and memory that ends, in the last process alone."""
    found: dict[str, Any] = {}
    real = batch_gradients.BatchPasses._compute
    last = group.rank == group.size - 1
    for name in ("loss", "memory"):
        told = Told()
        at = iter(range(1000))

        def compute(passes: Any, own: Any, weight: Any, name: str = name, at: Any = at) -> Any:
            result = real(passes, own, weight)
            if last and next(at) == 2:
                if name == "memory":
                    raise batch_gradients.NoMemoryError
                result.loss = float("nan")
            return result

        batch_gradients.BatchPasses._compute = compute  # type: ignore[method-assign]
        history, dynamics, classifier = trained(world, group, told)
        batch_gradients.BatchPasses._compute = real  # type: ignore[method-assign]
        found[name] = {
            "told": told.events,
            "steps": [step.step for step in history.steps],
            "losses": [step.loss for step in history.steps],
            "weights": [float(p.detach().double().sum()) for p in classifier.parameters()],
            "unseen": int(np.isnan(dynamics.values).sum()),
        }
    return found


def faults(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """A bit of the last process's weights that turns: the run ends."""
    run = prepared(world, world / "nowhere", **SETTINGS)

    def turn() -> None:
        *_, parameter = run.classifier.parameters()
        parameter.detach().view(-1)[0] += 1e-3

    return _with_fault(run, group, group.size - 1, turn)


def bad_row(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """An error in the last process alone, in a step."""
    run = prepared(world, world / "nowhere", **SETTINGS)
    if group.rank == group.size - 1:

        def fail(*_: Any) -> None:
            raise DataError("row 7 is bad")

        batch_gradients.BatchPasses._compute = fail  # type: ignore[method-assign]
    return _with_fault(run, group, -1, lambda: None)


def full_disk(world: Path, group: ProcessGroup) -> dict[str, Any]:
    """An error in the first process alone, between two steps."""

    def fail() -> None:
        raise ResourceError("the disk is full")

    return _with_fault(prepared(world, world / "nowhere", **SETTINGS), group, 0, fail)


def _with_fault(run: Any, group: ProcessGroup, rank: int, fault: Callable[[], None]) -> dict[str, Any]:
    class After(Callback):
        def on_step(self, result: StepResult) -> None:
            if result.step == 3 and group.rank == rank:
                fault()

    options = FitOptions(callbacks=(After(),), verbose=False, group=group)
    fit_objective(run.classifier, run.train, None, Objective.of(run.signature), run.config, options)
    return {}


def main() -> None:
    world, out, *names = sys.argv[1:]
    known = (few_losses, losses, gradients, rows, scores, mishaps, faults, bad_row, full_disk)
    checks = {each.__name__: each for each in known}
    try:
        with joined(Launch.of(os.environ), device="cpu", timeout=120) as group:
            found = {name: checks[name](Path(world), group) for name in names}
            (Path(out) / f"{group.rank}.json").write_text(json.dumps(found))
    except ToldElsewhereError as error:
        sys.exit(error.exit_code)
    except BertuneError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
