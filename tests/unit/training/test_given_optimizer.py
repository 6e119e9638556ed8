"""`fit` with optimizers and schedulers of torch: by compiled kernels and by torch's operators they train the same."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError, DivergedError
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.optim.create import create_optimizer
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.engine import NativeEngine
from bertune.training.engine_choice import engine_for
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.loop import fit
from bertune.training.objective import Objective
from bertune.training.step import StepResult

pytestmark = pytest.mark.usefixtures("compiler")

# Ids from 40 on occur in no example of `make_dataset`.
STILL = replace(SIZES, vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
CONFIG = TrainingConfig(recipe="lesson", epochs=2, batch_size=8, precision="fp32", seed=3)
Make = Callable[[Any], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, eps=1e-4),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3, eps=1e-4),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=1e-3),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=1e-4, eps=1e-4),
}


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(200, 1)


def run(
    train: Dataset,
    make: Make,
    removed: str = "",
    *,
    config: TrainingConfig = CONFIG,
    schedule: Callable[[torch.optim.Optimizer], LRScheduler] | None = None,
) -> tuple[History, Classifier]:
    """Trains without what is named."""
    classifier = make_classifier(config=STILL)
    optimizer = make(classifier.parameters())
    scheduler = None if schedule is None else schedule(optimizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", removed)
        history = fit(classifier, train, config=config, optimizer=optimizer, scheduler=scheduler)
    return history, classifier


def losses(history: History) -> list[float]:
    return [step.loss for step in history.steps]


@pytest.mark.parametrize("settings", [{}, {"micro_batch_size": 3}, {"max_gradient_norm": 0.05}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_torch_trains_the_same_by_both_engines(
    train: Dataset, name: str, settings: dict[str, Any]
) -> None:
    config = replace(CONFIG, **settings)
    (one, ours), (other, theirs) = (run(train, OPTIMIZERS[name], removed, config=config) for removed in ("", "kernels"))
    assert one.engine == "fp32, compiled kernels"
    assert other.engine == "fp32, torch operators: compiled kernels are switched off"
    assert len(one.steps) == 50
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert not all(torch.equal(mine, expected) for mine, expected in pairs), "two computations, not one"
    np.testing.assert_allclose(losses(one), losses(other), rtol=0, atol=2e-5)
    for (parameter, mine), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        difference = (mine - expected).detach().abs()
        if parameter.endswith("qkv.bias"):  # a key's bias has no gradient but rounding
            difference = difference.view(3, -1)[[0, 2]]
        assert float(difference.max()) <= 5e-4 * float(expected.detach().abs().max()), parameter


def test_each_gradient_is_where_autograd_would_have_left_it(train: Dataset) -> None:
    found: list[dict[str, Tensor]] = []
    for removed in ("", "kernels"):
        classifier = make_classifier(config=STILL)
        kept: dict[str, Tensor] = {}

        class Keeps(torch.optim.SGD):
            def step(self, closure: Any = None, model: Classifier = classifier, kept: Any = kept) -> Any:
                kept.update((name, value.grad.clone()) for name, value in model.named_parameters())

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", removed)
            config = replace(CONFIG, epochs=1, batch_size=200, max_gradient_norm=0)
            fit(classifier, train, config=config, optimizer=Keeps(classifier.parameters(), lr=0.1))
        found.append(kept)
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, theirs[name], rtol=1e-3, atol=1e-6, msg=lambda text, name=name: name + text
        )
    assert not ours["encoder.embeddings.token.weight"][40:].any()
    assert ours["encoder.embeddings.token.weight"][:40].any()


def test_in_bf16_the_copies_of_the_layers_follow_the_optimizer(train: Dataset) -> None:
    classifier = make_classifier(config=STILL).train()
    given = GivenOptimizer(torch.optim.SGD(classifier.parameters(), lr=0.5), None, gradient_clip_norm=None)
    with computing_in(classifier.encoder, torch.bfloat16):
        engine = engine_for(classifier, given)
        assert isinstance(engine, NativeEngine)
        before = {name: copied.clone() for name, copied in engine.native.bf16_copies.items()}
        batch = pack(train.encoded, np.arange(8), train.targets)
        engine.forward_backward(batch, Objective("classification", ("accuracy",)), total_weight=8.0, accumulate=False)
        assert engine.step() > 0
    assert before
    for name, copied in engine.native.bf16_copies.items():
        parameter = classifier.encoder.layers.get_parameter(name).detach()
        assert torch.equal(copied, parameter.bfloat16()), name
        assert not torch.equal(copied, before[name]), name
    history, _ = run(train, OPTIMIZERS["adam"], config=replace(CONFIG, precision="bf16"))
    assert history.engine == "bf16, compiled kernels"


@pytest.mark.parametrize("removed", ["", "kernels"])
def test_a_scheduler_of_torch_steps_after_each_optimizer_step(train: Dataset, removed: str) -> None:
    history, _ = run(train, OPTIMIZERS["sgd"], removed, schedule=lambda optimizer: ExponentialLR(optimizer, 0.9))
    rates = [step.learning_rate for step in history.steps]
    np.testing.assert_allclose(rates, 0.05 * 0.9 ** np.arange(50))
    history, _ = run(
        train, OPTIMIZERS["adamw"], removed, schedule=lambda optimizer: OneCycleLR(optimizer, 2e-3, total_steps=51)
    )
    assert max(step.learning_rate for step in history.steps) == pytest.approx(2e-3, rel=0.01)


@pytest.mark.parametrize("removed", ["", "kernels"])
def test_a_rate_of_zero_trains_nothing(train: Dataset, removed: str) -> None:
    before = copy.deepcopy(make_classifier(config=STILL).state_dict())
    _, classifier = run(
        train, OPTIMIZERS["sgd"], removed, schedule=lambda optimizer: LambdaLR(optimizer, lambda step: 0.0)
    )
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_it_is_the_loop_that_a_user_of_torch_would_have_written(train: Dataset) -> None:
    config = replace(CONFIG, epochs=1, batch_size=200, max_gradient_norm=0)
    classifier = make_classifier(config=STILL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", "kernels")
        fit(classifier, train, config=config, optimizer=torch.optim.SGD(classifier.parameters(), lr=0.1))
    own = make_classifier(config=STILL).train()
    assert train.targets is not None
    batch = pack(train.encoded, np.arange(200), train.targets)
    torch.nn.functional.cross_entropy(own.in_few_shapes(batch), torch.from_numpy(train.targets)).backward()
    with torch.no_grad():
        for parameter in own.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    for mine, expected in zip(classifier.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("removed", ["", "kernels"])
def test_what_is_clipped_and_what_diverges_is_told(
    train: Dataset, removed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = run(train, OPTIMIZERS["sgd"], removed)
    assert all(step.gradient_norm > 0 for step in history.steps)
    monkeypatch.setenv("BERTUNE_DISABLE", removed)
    classifier = make_classifier(config=STILL)
    with pytest.raises(DivergedError, match="training diverged"):
        fit(classifier, train, config=CONFIG, optimizer=torch.optim.SGD(classifier.parameters(), lr=1e30))


def test_state_that_was_loaded_is_gone_on_with(train: Dataset) -> None:
    first = make_classifier(config=STILL)
    optimizer = torch.optim.AdamW(first.parameters(), lr=1e-3)
    fit(first, train, config=replace(CONFIG, epochs=1), optimizer=optimizer)
    steps = float(next(iter(optimizer.state.values()))["step"])
    fit(first, train, config=replace(CONFIG, epochs=1), optimizer=optimizer)
    assert (steps, float(next(iter(optimizer.state.values()))["step"])) == (25.0, 50.0)


def test_what_cannot_be_used_is_refused(train: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    sgd, other = (torch.optim.SGD(classifier.parameters(), lr=0.1) for _ in range(2))
    own = create_optimizer(1e-3, 25, 0, model=classifier)
    strange = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"optimizer": torch.optim.LBFGS(classifier.parameters())}, "LBFGS computes the loss several times"),
        ({"optimizer": sgd, "scheduler": ReduceLROnPlateau(sgd)}, "ReduceLROnPlateau follows a metric"),
        ({"optimizer": sgd, "scheduler": ExponentialLR(other, 0.9)}, "that of another optimizer"),
        ({"optimizer": own, "scheduler": ExponentialLR(other, 0.9)}, "AdamWeightDecay has a schedule of its own"),
        ({"scheduler": ExponentialLR(other, 0.9)}, "the scheduler has no optimizer"),
        ({"optimizer": strange}, "no parameter of the optimizer has a gradient"),
    ]
    for given, message in refused:
        with pytest.raises(ConfigError, match=message):
            fit(classifier, train, config=CONFIG, **given)


def test_parameters_in_other_memory_are_noticed(train: Dataset) -> None:
    class Moves(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data = parameter.data - 0.01 * parameter.grad

    with pytest.raises(ConfigError, match="Moves gave parameters other memory"):
        run(train, lambda parameters: Moves(parameters, lr=0.1))
    history, _ = run(train, lambda parameters: Moves(parameters, lr=0.1), "kernels")
    assert len(history.steps) == 50


# ---- callbacks ---------------------------------------------------------------------------------------------------


class Notes(Callback):
    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        self.told.append(f"{self.name} start {total_steps} {steps_per_epoch} {precision}")

    def on_step(self, result: StepResult) -> None:
        self.told.append(f"{self.name} step {result.step}")

    def on_best(self, result: Evaluation) -> None:
        self.told.append(f"{self.name} best {result.epoch}")

    def on_epoch(self, result: EpochResult) -> None:
        self.told.append(f"{self.name} epoch {result.epoch}")


def test_callbacks_are_told_in_their_order() -> None:
    told: list[str] = []
    config = TrainingConfig(recipe="lesson", epochs=1, batch_size=8, precision="fp32")
    fit(
        make_classifier(),
        make_dataset(16, 1),
        config=config,
        callbacks=[Notes("a", told), Callback(), Notes("b", told)],
    )
    kinds = ["start 2 2 fp32, compiled kernels", "step 0", "step 1", "best 1", "epoch 1"]
    # The size of this encoder's heads decides by which engine it is computed.
    assert [line.partition(", ")[0] for line in told] == [
        f"{name} {kind.partition(', ')[0]}" for kind in kinds for name in "ab"
    ]


def test_the_arguments_before_callbacks_work_and_say_what_to_use() -> None:
    told: list[str] = []
    best: list[int] = []
    config = TrainingConfig(recipe="lesson", epochs=2, batch_size=8, precision="fp32")
    with pytest.warns(DeprecationWarning, match="give callbacks") as caught:
        fit(
            make_classifier(),
            make_dataset(16, 1),
            config=config,
            observer=Notes("a", told),
            on_best=lambda result: best.append(result.epoch),
        )
    assert caught[0].filename == __file__
    assert [line for line in told if "epoch" in line] == ["a epoch 1", "a epoch 2"]
    assert not [line for line in told if "best" in line], "an observer had no such method"
    assert best == [1, 2]


def test_the_engine_of_a_given_optimizer_needs_every_parameter(train: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    head = torch.optim.SGD(classifier.classifier.parameters(), lr=0.1)
    history = fit(classifier, train, config=replace(CONFIG, epochs=1), optimizer=head)
    assert "is not trained" in history.engine


@pytest.mark.parametrize(
    "setting",
    [{"learning_rate": 1e-3}, {"warmup_fraction": 0.1}, {"weight_decay": 0.0}, {"optimizer": "adamw_torch"}],
)
def test_a_setting_that_the_optimizer_has_itself_is_refused(train: Dataset, setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"an optimizer is given, so {name} has no effect"):
        run(train, OPTIMIZERS["sgd"], config=replace(CONFIG, **setting))


def test_an_optimizer_with_a_clip_of_its_own_takes_no_other(train: Dataset) -> None:
    classifier = make_classifier(config=STILL)
    optimizer = create_optimizer(1e-3, 50, 5, model=classifier)
    with pytest.raises(ConfigError, match="an optimizer is given, so max_gradient_norm has no effect"):
        fit(classifier, train, config=replace(CONFIG, max_gradient_norm=0.5), optimizer=optimizer)
