"""Evaluations within epochs: what is scored, kept and counted by them, and that they leave what is trained as it is."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.resumed_runs import write_world
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from tests.unit.training.test_mishaps import poison
from tests.unit.training.test_tensorboard import read
from torch import Tensor

from bertune.batches.dataset import Dataset
from bertune.batches.sampler import steps_in_epoch
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.evaluation.logits import predict_logits
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.loop import fit
from bertune.training.notebook_progress import NotebookProgress
from bertune.training.plan import evaluations_in, plan_of
from bertune.training.prepare import prepare
from bertune.training.run_settings import RunSettings
from bertune.training.step import StepResult
from bertune.training.tensorboard import TensorBoard

CONFIG = TrainingConfig(
    recipe="lesson", epochs=2, batch_size=16, learning_rate=3e-3, weight_decay=0.3, precision="fp32", seed=3
)
# Half of the rows of its token table are of no training row, so that the run's own table leaves them out.
LARGE = replace(SIZES, vocab_size=80)
FROZEN = replace(CONFIG, learning_rate=1e-30)
ENGINES = {"": "compiled kernels", "kernels": "torch operators: compiled kernels are switched off"}


class Watcher(Callback):
    """Keeps what it is told, and copies of the weights that train after each step."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.told: list[str] = []
        self.evaluations: list[Evaluation] = []
        self.weights: list[list[Tensor]] = []

    def _copy(self) -> None:
        self.weights.append([each.detach().clone() for each in self.classifier.parameters()])

    def on_step(self, result: StepResult) -> None:
        self._copy()

    def on_best(self, result: Evaluation) -> None:
        self.told.append("best")

    def on_evaluation(self, result: Evaluation) -> None:
        self.told.append(f"evaluation {result.step}")
        self.evaluations.append(result)
        with computing_in(self.classifier.encoder, torch.float32):  # as it is scored
            logits = predict_logits(self.classifier, VALIDATION)
        if result.logits is not None:
            np.testing.assert_array_equal(logits, result.logits)

    def on_epoch(self, result: EpochResult) -> None:
        self.told.append(f"epoch {result.epoch}")
        self._copy()


def _of_other_tokens() -> Dataset:
    """Validation rows with tokens that no training row has."""
    data = make_dataset(40, 2)
    token_ids = data.encoded.token_ids.copy()
    token_ids[token_ids > 30] += 40
    return Dataset(replace(data.encoded, token_ids=token_ids), data.targets)


TRAIN, VALIDATION = make_dataset(100, 1), _of_other_tokens()  # seven steps an epoch


def trained(config: TrainingConfig, **more: Any) -> tuple[Classifier, History, Watcher]:
    classifier = make_classifier(config=LARGE)
    watcher = Watcher(classifier)
    return classifier, fit(classifier, TRAIN, VALIDATION, config=config, callbacks=[watcher], **more), watcher


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_trained_is_the_same_bit_for_bit(engine: str, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    records = [Dynamics(100, TaskKind.CLASSIFICATION) for _ in range(2)]
    config = replace(CONFIG, precision=precision)
    _, plain, before = trained(config, dynamics=records[0])
    _, within, after = trained(replace(config, evaluate_every=3), dynamics=records[1])
    assert plain.engine == within.engine == f"{precision}, {ENGINES[engine]}"
    assert [each.step for each in within.evaluations] == [3, 6, 7, 9, 12, 14]
    assert {len(each[0]) for each in before.weights} == {len(np.unique(TRAIN.encoded.token_ids)), 80}
    assert within.steps == plain.steps
    for one, other in zip(before.weights, after.weights, strict=True):
        assert all(map(torch.equal, one, other))
    assert np.array_equal(records[0].values, records[1].values)
    # An epoch's end has the scores that it has without the others.
    ends = [each for each in within.evaluations if not each.is_within_epoch]
    assert [each.scores for each in ends] == [each.scores for each in plain.evaluations]
    assert [(each.epoch, each.train_loss) for each in within.epochs] == [
        (each.epoch, each.train_loss) for each in plain.epochs
    ]


def test_a_run_without_them_has_one_evaluation_an_epoch_with_the_numbers_of_the_epoch() -> None:
    _, history, watcher = trained(CONFIG)
    for evaluation, epoch in zip(history.evaluations, history.epochs, strict=True):
        assert (evaluation.step, type(evaluation.epoch)) == (7 * epoch.epoch, int)
        for name in ("epoch", "train_loss", "train_seconds", "examples_per_second", "scores", "is_best"):
            assert getattr(evaluation, name) == getattr(epoch, name), name
        assert evaluation.logits is epoch.logits
    assert not history.evaluates_within_epochs
    assert watcher.told[-2:] == ["evaluation 14", "epoch 2"]


def test_the_best_evaluation_is_kept_and_told_of_while_the_classifier_holds_its_weights() -> None:
    config = replace(CONFIG, epochs=4, learning_rate=0.02, evaluate_every=2)
    # Which seed is best within an epoch depends on the processor's last bits.
    for seed in range(1, 20):
        classifier, history, watcher = trained(replace(config, seed=seed))
        ranks = [each.scores.rank for each in watcher.evaluations if each.scores is not None]
        best = watcher.evaluations[ranks.index(max(ranks))]
        if best.is_within_epoch:
            break
    assert best.is_within_epoch
    assert history.best == best
    assert history.best.logits is not None
    np.testing.assert_array_equal(predict_logits(classifier, VALIDATION), history.best.logits)
    assert watcher.told[:5] == ["best", "evaluation 2", *watcher.told[2:5]]
    # Of thousands a history would be large: only the best and the last are kept whole.
    whole = {each.step for each in history.evaluations if each.scores is not None and each.scores.confusion}
    ends = {7 * epoch for epoch in range(1, 5)}
    assert whole == {best.step, *ends}
    assert {each.step for each in history.evaluations if each.logits is not None} <= {best.step, *ends}
    assert all(each.scores is not None and each.scores.confusion for each in watcher.evaluations)
    step = best.step / 7
    assert repr(history).endswith(f"best: epoch {step:.2f}, accuracy {100 * max(ranks)[0]:.1f} %)")


def test_the_loss_is_the_mean_since_the_evaluation_before() -> None:
    _, history, _ = trained(replace(CONFIG, evaluate_every=5))
    assert [each.step for each in history.evaluations] == [5, 7, 10, 14]
    assert [each.epoch for each in history.evaluations] == [5 / 7, 1, 10 / 7, 2]
    before = 0
    for each in history.evaluations:
        steps = history.steps[before : each.step]
        examples = sum(step.examples for step in steps)
        assert each.train_loss == pytest.approx(sum(step.loss * step.examples for step in steps) / examples)
        assert each.examples_per_second == pytest.approx(examples / each.train_seconds)
        before = each.step
    for number, epoch in enumerate(history.epochs):
        own = history.evaluations[2 * number : 2 * number + 2]
        assert epoch.train_seconds == pytest.approx(sum(each.train_seconds for each in own))


@pytest.mark.parametrize(("patience", "steps"), [(1, [3, 6]), (2, [3, 6, 7]), (3, [3, 6, 7, 9])])
def test_patience_counts_evaluations_and_ends_the_run_within_an_epoch(patience: int, steps: list[int]) -> None:
    dynamics = Dynamics(100, TaskKind.CLASSIFICATION)
    classifier, history, watcher = trained(
        replace(FROZEN, evaluate_every=3, patience=patience, weight_decay=0.0), dynamics=dynamics
    )
    assert history.stopped_early
    assert [each.step for each in history.evaluations] == steps
    assert [each.is_best for each in history.evaluations] == [True, *[False] * patience]
    assert len(history.steps) == steps[-1]
    # The epoch that was cut short is one, too: of the steps that it had.
    assert [each.epoch for each in history.epochs] == list(range(1, math.ceil(steps[-1] / 7) + 1))
    last = [step for step in history.steps if step.epoch == len(history.epochs)]
    examples = sum(step.examples for step in last)
    assert history.epochs[-1].train_loss == pytest.approx(sum(step.loss * step.examples for step in last) / examples)
    assert history.epochs[-1].scores == history.evaluations[-1].scores
    assert watcher.told[-2:] == [f"evaluation {steps[-1]}", f"epoch {len(history.epochs)}"]
    assert np.isfinite(dynamics.values[-1]).sum() == examples
    assert history.best.step == 3
    assert not classifier.training


def test_without_a_step_that_was_applied_nothing_is_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {3, 6}, "loss")  # steps 3 and 6 are left out, the last of the first epoch
    _, history, watcher = trained(replace(CONFIG, evaluate_every=1, epochs=1))
    assert [each.step for each in history.evaluations] == [1, 2, 3, 5, 6, 7]
    assert history.evaluations[-1].train_loss == history.epochs[0].train_loss
    assert history.evaluations[-1].examples_per_second == 0
    assert history.evaluations[-1].scores == watcher.evaluations[-2].scores
    assert not history.evaluations[-1].is_best


def test_curves_stand_at_the_steps_of_the_evaluations(tmp_path: Path) -> None:
    for folder, config in (("whole", CONFIG), ("cut", replace(FROZEN, patience=2))):
        with TensorBoard(tmp_path / folder) as board:
            _, history, _ = _fit_with(board, replace(config, evaluate_every=3))
        found = read(tmp_path / folder)
        assert [step for step, _ in found["eval/accuracy"]] == [each.step for each in history.evaluations]
        assert [value for _, value in found["eval/loss"]] == [
            pytest.approx(each.scores.mean_loss) for each in history.evaluations if each.scores is not None
        ]
        ends = [max(step.step for step in history.steps if step.epoch == each.epoch) + 1 for each in history.epochs]
        assert [step for step, _ in found["train/epoch_loss"]] == ends
        with TensorBoard(tmp_path / f"{folder} again") as board:
            board.draw(history)
        assert read(tmp_path / f"{folder} again").keys() == found.keys()
        assert [step for step, _ in read(tmp_path / f"{folder} again")["eval/accuracy"]] == [
            each.step for each in history.evaluations
        ]


def _fit_with(callback: Callback, config: TrainingConfig) -> tuple[Classifier, History, Callback]:
    classifier = make_classifier(config=LARGE)
    return classifier, fit(classifier, TRAIN, VALIDATION, config=config, callbacks=[callback]), callback


def test_terminals_and_notebooks_show_each(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, evaluate_every=5)
    notebook = NotebookProgress()
    shown: list[dict[str, str]] = []

    class Shown:
        def update(self, content: dict[str, str], *, raw: bool) -> None:
            shown.append(content)

    monkeypatch.setattr(notebook, "on_start", lambda *_: setattr(notebook, "_shown", Shown()))
    history = fit(make_classifier(config=LARGE), TRAIN, VALIDATION, config=config, callbacks=[notebook], verbose=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch")]
    places = ["epoch 0.71/2  step 5  loss", "epoch 1/2  loss", "epoch 1.43/2  step 10  loss", "epoch 2/2  loss"]
    assert [line.startswith(place) for line, place in zip(lines, places, strict=True)] == [True] * 4
    assert [line.split("  ")[:2] for line in shown[-1]["text/plain"].splitlines()[1:]] == [
        ["0.71", "5"], ["1", "7"], ["1.43", "10"], ["2", "14"]
    ]  # fmt: skip
    assert history._repr_html_().partition("<thead>")[2] == shown[-1]["text/html"].partition("<thead>")[2]
    assert "2 epochs, 14 steps, 4 evaluations; best: epoch" in history.summary()
    cut = replace(FROZEN, evaluate_every=3, patience=1)
    fit(make_classifier(config=LARGE), TRAIN, VALIDATION, config=cut, verbose=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch")]
    assert [line.split("  ")[:2] for line in lines] == [["epoch 0.43/2", "step 3"], ["epoch 0.86/2", "step 6"]]


@pytest.mark.parametrize("every", [None, *range(1, 30)])
def test_as_many_evaluations_are_expected_as_a_run_makes(every: int | None) -> None:
    for steps in (1, 2, 6, 7, 12):
        for epochs in (0, 1, 3):
            ends = {steps * epoch for epoch in range(1, epochs + 1)}
            within = set() if every is None else set(range(every, epochs * steps, every))
            assert evaluations_in(epochs, steps, every) == len(ends | within), (steps, epochs)


def test_the_patience_of_the_recipe_is_as_many_evaluations_as_its_epochs_have() -> None:
    classifier = make_classifier(config=LARGE)
    plain = plan_of(TrainingConfig(), classifier, 100)
    steps = steps_in_epoch(100, plain.batch_size)
    within = plan_of(TrainingConfig(evaluate_every=3), classifier, 100)
    assert plain.patience == 5
    assert within.patience == evaluations_in(5, steps, 3) > 10
    assert replace(within, evaluate_every=None, patience=5, reasons=()) == replace(plain, reasons=())
    assert plan_of(TrainingConfig(evaluate_every=3, patience=4), classifier, 100).patience == 4


def test_a_run_says_how_often_it_is_evaluated(tmp_path: Path) -> None:
    world, said = write_world(tmp_path / "world"), list[str]()
    settings = RunSettings(
        data=str(world / "train.csv"), model=str(world / "model"), text_a="first", label="mood", out=tmp_path / "run"
    )
    for every in (4, 100):
        prepare(settings, TrainingConfig(epochs=3, batch_size=16, evaluate_every=every, patience=2), say=said.append)
    found = [line for line in said if "evaluat" in line]
    assert found == [
        "evaluation after every 4 steps and each epoch: 6 in 3 epochs; training stops after 2 without a better one",
        "warning: --evaluate-every 100 adds no evaluation to those at the ends of epochs: there are 15 steps, "
        "3 epochs of 5",
    ]


def test_what_cannot_be_is_refused() -> None:
    for every in (0, -1):
        with pytest.raises(ConfigError, match=f"evaluate_every must be at least 1, not {every}"):
            TrainingConfig(evaluate_every=every)
    with pytest.raises(ConfigError, match="evaluate_every needs validation data"):
        fit(make_classifier(), make_dataset(16, 1), config=replace(CONFIG, evaluate_every=2))
