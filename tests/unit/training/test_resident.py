"""Training with everything on the device: the losses of the other paths, no number asked of the device, no filler seen.

The device is the processor here, where the same code runs, or torch's "meta", which has shapes and no numbers: whatever
would wait for a GPU fails there.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.batches.resident import ResidentData, bucket_of
from bertune.encoder import attention
from bertune.encoder.config import BertConfig
from bertune.encoder.varlen_attention import AttentionKernel
from bertune.errors import DataError, DivergedError
from bertune.heads.classifier import Classifier, classifier_model
from bertune.heads.losses import loss_of
from bertune.training import loop
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.history import History
from bertune.training.loop import fit, optimizer_of
from bertune.training.objective import Objective
from bertune.training.plan import TrainingPlan, plan_of
from bertune.training.resident import NotResidentError, ResidentTraining
from bertune.training.step import StepResult

STILL = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
# 84 examples leave a last batch of 4.
CONFIG = TrainingConfig(
    recipe="lesson", epochs=2, batch_size=8, learning_rate=2e-3, weight_decay=0.3, precision="fp32", seed=3
)
CLASSES = Objective("classification", ("accuracy",))
PLAN = plan_of(CONFIG, make_classifier(), 50)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(84, 1)


def train_resident(
    train: Dataset,
    config: TrainingConfig = CONFIG,
    *,
    classifier: Classifier | None = None,
    dynamics: Dynamics | None = None,
) -> tuple[History, Classifier, list[StepResult]]:
    """Runs `fit` as it runs on a GPU."""
    classifier = classifier or make_classifier(config=STILL)
    seen: list[StepResult] = []

    class Watcher:
        def on_start(self, *arguments: object) -> None: ...
        def on_epoch(self, result: object) -> None: ...
        def on_step(self, result: StepResult) -> None:
            seen.append(result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loop,
            "_path",
            lambda *run, **_: ResidentTraining(*run),
        )
        history = fit(classifier, train, config=config, observer=Watcher(), dynamics=dynamics)
    return history, classifier, seen


# ---- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_filler_changes_neither_logits_nor_gradients(train: Dataset, pooling: Any) -> None:
    torch.manual_seed(0)
    classifier = classifier_model(STILL, 2, pooling=pooling)[0]
    indices = np.array([7, 3, 80, 11, 0])
    tokens = bucket_of(int(np.diff(train.encoded.offsets)[indices].sum()))
    packed = pack(train.encoded, indices, train.targets)
    filled = ResidentData(train, torch.device("cpu")).batch(torch.from_numpy(indices), tokens)
    assert filled.layout.num_tokens == tokens > packed.layout.num_tokens
    found = []
    for batch, rows in ((packed, slice(None)), (filled, slice(-1))):
        logits = classifier(batch)[rows]
        assert batch.targets is not None
        loss = loss_of(logits, batch.targets, kind="classification")
        found.append((logits, *torch.autograd.grad(loss, list(classifier.parameters()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6)


def test_a_resident_batch_holds_the_tokens_types_and_positions_of_a_packed_one(train: Dataset) -> None:
    indices = np.array([7, 3, 80, 11, 0])
    encoded = replace(train.encoded, first_lengths=(np.diff(train.encoded.offsets) // 2).astype(np.int32))
    data = Dataset(encoded, train.targets)
    packed = pack(encoded, indices, train.targets)
    real = packed.layout.num_tokens
    filled = ResidentData(data, torch.device("cpu")).batch(torch.from_numpy(indices), bucket_of(real))
    for name in ("token_ids", "token_type_ids", "position_ids"):
        one, other = getattr(packed, name), getattr(filled, name)
        assert torch.equal(one, other[:real].long()), name
        assert len(set(other[real:].tolist())) == 1, name
    assert torch.equal(packed.targets, filled.targets)
    assert torch.equal(packed.layout.cu_seqlens, filled.layout.cu_seqlens[:-1])
    assert int(filled.layout.cu_seqlens[-1]) == filled.layout.num_tokens
    assert int(filled.layout.sequence_lengths.max()) <= filled.layout.max_seqlen


@pytest.mark.parametrize(("tokens", "bucket"), [(1, 64), (63, 64), (64, 128), (1700, 1728)])
def test_a_bucket_leaves_room_for_the_filler(tokens: int, bucket: int) -> None:
    assert bucket_of(tokens) == bucket


# ---- the same training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.1},
        {"optimizer": "adamw_torch"},
        {"class_weights": ("0=0.3", "1=2.5")},
        {"max_gradient_norm": 0.0},
        {"max_gradient_norm": 0.01},
    ],
)
def test_the_losses_norms_rates_and_weights_are_those_of_the_torch_path(
    train: Dataset, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    config = replace(CONFIG, **settings)
    other = make_classifier(config=STILL)
    expected = fit(other, train, config=config)
    found, classifier, seen = train_resident(train, config)
    assert len(found.steps) == len(expected.steps) == 22
    assert seen == found.steps
    for one, two in zip(found.steps, expected.steps, strict=True):
        assert (one.step, one.epoch, one.examples, one.tokens) == (two.step, two.epoch, two.examples, two.tokens)
        assert one.learning_rate == two.learning_rate
        assert abs(one.loss - two.loss) < 1e-5
        assert abs(one.gradient_norm - two.gradient_norm) < 1e-4 * two.gradient_norm
    weights = other.state_dict()
    for name, value in classifier.state_dict().items():
        assert float((value - weights[name]).abs().max()) <= 2e-4 * float(weights[name].abs().max()), name


def test_a_regressor_trains_the_same(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    assert train.targets is not None
    values = Dataset(train.encoded, (train.targets * 2.0 - 1.0).astype(np.float32))
    expected = fit(make_classifier(config=STILL, outputs=1), values, config=CONFIG)
    found, _, _ = train_resident(values, classifier=make_classifier(config=STILL, outputs=1))
    np.testing.assert_allclose([s.loss for s in found.steps], [s.loss for s in expected.steps], rtol=0, atol=1e-5)


def test_several_labels_an_example_train_the_same(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    rows = Dataset(train.encoded, np.random.default_rng(0).integers(0, 2, (len(train), 3)))
    config = replace(CONFIG, class_weights=("balanced",), label_smoothing=0.1)
    expected = fit(make_classifier(config=STILL, outputs=3), rows, config=config)
    found, _, _ = train_resident(rows, config, classifier=make_classifier(config=STILL, outputs=3))
    np.testing.assert_allclose([s.loss for s in found.steps], [s.loss for s in expected.steps], rtol=0, atol=1e-5)


def test_an_optimizer_that_was_passed_in_holds_the_moments_and_the_count(
    train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    states = []
    for resident in (False, True):
        classifier = make_classifier(config=STILL)
        optimizer = optimizer_of(classifier, PLAN, 22)
        if resident:
            training = ResidentTraining(classifier, optimizer, train, PLAN, CLASSES)
            classifier.train()
            for epoch in (1, 2):
                list(training.epoch(loop.epoch_order(84, seed=3, epoch=epoch - 1), epoch))
        else:
            fit(classifier, train, config=CONFIG, optimizer=optimizer)
        states.append(optimizer.state_dict())
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for index, moments in states[0]["state"].items():
        for name, value in moments.items():
            error = float((states[1]["state"][index][name] - value).abs().max())
            assert error <= 1e-3 * float(value.abs().max() + 1e-12)


def test_dropout_depends_on_the_seed_and_the_step_alone(train: Dataset) -> None:
    one, two, other = (
        train_resident(train, replace(CONFIG, seed=seed), classifier=make_classifier())[0] for seed in (3, 3, 4)
    )
    assert one.steps == two.steps
    assert one.steps[0].loss != other.steps[0].loss


def test_dynamics_are_those_of_the_torch_path(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    expected, found = Dynamics(len(train), "classification"), Dynamics(len(train), "classification")
    fit(make_classifier(config=STILL), train, config=CONFIG, dynamics=expected)
    train_resident(train, dynamics=found)
    assert found.values.shape == (2, 84)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)


def test_layers_with_rates_of_their_own_train_the_same(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTUNE_WITHOUT", "kernels")
    config = replace(CONFIG, layer_decay=0.5)
    expected = fit(make_classifier(config=STILL), train, config=config)
    found, _, _ = train_resident(train, config)
    np.testing.assert_allclose([s.loss for s in found.steps], [s.loss for s in expected.steps], rtol=0, atol=1e-5)
    assert found.steps[-1].loss != train_resident(train)[0].steps[-1].loss


def test_results_come_in_order_where_an_epoch_has_many_chunks(monkeypatch: pytest.MonkeyPatch, train: Dataset) -> None:
    monkeypatch.setattr("bertune.training.resident._CHUNK", 3)
    chunked, _, _ = train_resident(train)
    monkeypatch.undo()
    assert chunked.steps == train_resident(train)[0].steps


# ---- divergence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", ["loss", "gradient norm"])
def test_a_run_that_diverges_leaves_the_weights_before_that_step_however_late_it_is_seen(
    train: Dataset, poison: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier(config=STILL).train()
    training = ResidentTraining(classifier, optimizer_of(classifier, PLAN, 22), train, PLAN, CLASSES)
    after: list[list[Tensor]] = []

    def spoilt_loss(*arguments: Any, **settings: Any) -> Tensor:
        loss = loss_of(*arguments, **settings)
        if len(after) == 6 and poison == "loss":
            return loss * torch.inf
        if len(after) == 6:
            loss.register_hook(lambda gradient: gradient * torch.nan)
        return loss

    step = training._step

    def noting(*shape: int) -> None:
        step(*shape)
        after.append([value.clone() for value in classifier.parameters()])

    monkeypatch.setattr("bertune.training.objective.loss_of", spoilt_loss)
    monkeypatch.setattr(training._graphs, "_step", noting)
    seen = []
    with pytest.raises(DivergedError, match=f"the {poison} at step 6"):
        seen.extend(result.step for result in training.epoch(loop.epoch_order(84, seed=3, epoch=0), 1))
    assert len(after) == 11  # the device went on to the end of the epoch
    for name, now, then, earlier in zip(
        dict(classifier.named_parameters()), *(after[i] for i in (10, 5, 4)), strict=True
    ):
        assert torch.equal(now, then), name
        assert not torch.equal(then, earlier) or not then.any(), name


# ---- a device without numbers ---------------------------------------------------------------------------------------


class _OneDevice(TorchDispatchMode):
    """Notes the devices of all tensors of all operators."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.operators: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # The one operator of a step that torch has not for "meta"; it returns nothing.
        out = None if "_fused_adamw_" in str(func) else func(*args, **(kwargs or {}))
        self.operators.append(str(func))
        for leaf in torch.utils._pytree.tree_leaves((args, kwargs, out)):
            if isinstance(leaf, Tensor):
                self.devices.add(leaf.device.type)
        return out


@pytest.mark.parametrize("kernel", ["varlen", "padded", "plain"])
@pytest.mark.parametrize("sizes", [SIZES, STILL], ids=["dropout", "no dropout"])
def test_a_step_stays_on_the_device_and_asks_it_nothing(
    train: Dataset, kernel: Any, sizes: BertConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "attention_kernel", lambda *_: AttentionKernel(kernel))
    with torch.device("meta"):
        classifier = make_classifier(config=sizes).train()
    classifier.encoder.compute_dtype = torch.bfloat16
    weighted = replace(CLASSES, class_weights=torch.ones(2, device="meta"))
    training = ResidentTraining(classifier, optimizer_of(classifier, PLAN, 22), train, PLAN, weighted)
    with _OneDevice() as watched:
        training._step(8, 128)  # on "meta" an operator that needs a number, as `item` does, raises
    assert watched.devices == {"meta"}
    flash = [name for name in watched.operators if "flash" in name]
    assert len(flash) == (2 * sizes.num_hidden_layers if kernel == "varlen" else 0)
    assert any("_fused_adamw_" in name for name in watched.operators)


# ---- what it refuses ------------------------------------------------------------------------------------------------


def refused(train: Dataset, classifier: Classifier, plan: TrainingPlan = PLAN) -> str:
    with pytest.raises(NotResidentError) as caught:
        ResidentTraining(classifier, optimizer_of(classifier, plan, 22), train, plan, CLASSES)
    return str(caught.value)


def test_what_it_cannot_do_it_refuses_with_a_reason(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "micro_batch_size" in refused(train, make_classifier(), replace(PLAN, micro_batch_size=4))
    windows = replace(train.encoded, example_offsets=np.arange(0, 85, 2), truncated=train.encoded.truncated[::2])
    assert train.targets is not None
    assert "windows" in refused(Dataset(windows, train.targets[::2]), make_classifier())
    hooked = make_classifier()
    hooked.classifier.weight.register_post_accumulate_grad_hook(lambda parameter: None)
    assert "hook" in refused(train, hooked)
    monkeypatch.setenv("BERTUNE_WITHOUT", "resident-data")
    assert "switched off" in refused(train, make_classifier())


def test_ids_beyond_the_table_are_refused_before_the_first_step(train: Dataset) -> None:
    with pytest.raises(DataError, match=r"token id \d+ is outside 0\.\.29"):
        train_resident(train, classifier=make_classifier(config=replace(STILL, vocab_size=30)))
