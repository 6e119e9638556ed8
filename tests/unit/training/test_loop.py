"""Training: determinism, the best epoch, early stopping, divergence."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset

from bertune.batches.dataset import Dataset
from bertune.batches.sampler import epoch_order
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, DataError, DivergedError
from bertune.evaluation.logits import predict_logits
from bertune.training import loop
from bertune.training.callback import OnBest
from bertune.training.config import OptimizerName, TrainingConfig
from bertune.training.history import Evaluation, History
from bertune.training.loop import fit
from bertune.training.plan import plan_of
from bertune.training.step import StepResult

CONFIG = TrainingConfig(recipe="lesson", epochs=3, batch_size=16, learning_rate=3e-3, precision="fp32", seed=3)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(256, 1)


@pytest.fixture(params=["", "kernels"], ids=["by kernels", "by torch"])
def _both_engines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, compiler: str) -> None:
    """Runs a test by each engine, and sees to it that it was this one."""
    monkeypatch.setenv("BERTUNE_DISABLE", request.param)

    def by_engine(*given: Any, **settings: Any) -> History:
        history = loop.fit(*given, **settings)
        assert ("torch operators" in history.engine) is (request.param == "kernels"), history.engine
        assert (history.engine.partition(", ")[2] == "compiled kernels") is (request.param == "")
        return history

    monkeypatch.setitem(globals(), "fit", by_engine)


@pytest.fixture(scope="module")
def validation() -> Dataset:
    return make_dataset(64, 2)


@pytest.mark.usefixtures("_both_engines")
def test_training_learns(train: Dataset, validation: Dataset) -> None:
    history = fit(make_classifier(), train, validation, config=replace(CONFIG, epochs=8))
    assert history.best.scores is not None
    assert history.best.scores.values["accuracy"] > 0.9
    assert history.steps[-1].loss < history.steps[0].loss / 2


@pytest.mark.usefixtures("_both_engines")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(train: Dataset, precision: str) -> None:
    weights = []
    for _ in range(2):
        classifier = make_classifier()
        torch.manual_seed(np.random.randint(1000))  # what came before must not matter
        fit(classifier, train, config=replace(CONFIG, epochs=1, precision=precision))
        weights.append(classifier.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.usefixtures("_both_engines")
def test_another_seed_gives_other_weights(train: Dataset) -> None:
    first, second = make_classifier(), make_classifier()
    fit(first, train, config=replace(CONFIG, epochs=1))
    fit(second, train, config=replace(CONFIG, epochs=1, seed=4))
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


@pytest.mark.usefixtures("_both_engines")
def test_training_leaves_the_random_state_of_the_process_alone(train: Dataset) -> None:
    classifier = make_classifier()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    fit(classifier, train, config=replace(CONFIG, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("_both_engines")
def test_parameters_stay_fp32_in_bf16(train: Dataset) -> None:
    classifier = make_classifier()
    fit(classifier, train, config=replace(CONFIG, epochs=1, precision="bf16"))
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}
    assert classifier.encoder.compute_dtype == torch.float32


@pytest.mark.usefixtures("_both_engines")
def test_the_classifier_ends_with_the_weights_of_its_best_epoch(train: Dataset, validation: Dataset) -> None:
    kept: list[tuple[Evaluation, np.ndarray]] = []
    classifier = make_classifier()

    def keep(result: Evaluation) -> None:
        kept.append((result, predict_logits(classifier, validation)))

    # A rate that is too high makes accuracy go up and down, so that the best epoch is not the last.
    config = replace(CONFIG, epochs=8, learning_rate=0.03)
    history = fit(classifier, train, validation, config=config, callbacks=[OnBest(keep)])
    ranks = [epoch.scores.rank for epoch in history.epochs if epoch.scores]
    assert history.best.epoch == ranks.index(max(ranks)) + 1
    assert kept[-1][0] == history.best
    np.testing.assert_array_equal(predict_logits(classifier, validation), kept[-1][1])


def test_training_stops_when_patience_runs_out(train: Dataset, validation: Dataset) -> None:
    frozen = replace(CONFIG, epochs=10, learning_rate=1e-30, patience=2)
    history = fit(make_classifier(), train, validation, config=frozen)
    assert history.stopped_early
    assert [epoch.is_best for epoch in history.epochs] == [True, False, False]


def test_every_example_is_trained_once_an_epoch_and_the_last_batch_is_not_dropped(train: Dataset) -> None:
    uneven = Dataset(train.encoded.take(np.arange(50)), train.targets[:50])
    history = fit(make_classifier(), uneven, config=replace(CONFIG, epochs=2))
    assert [step.examples for step in history.steps] == [16, 16, 16, 2] * 2
    assert sorted(epoch_order(50, seed=3, epoch=1)) == list(range(50))
    assert sum(step.tokens for step in history.steps) == 2 * int(uneven.encoded.offsets[-1])


def test_the_rate_follows_warm_up_and_decay(train: Dataset) -> None:
    history = fit(make_classifier(), train, config=replace(CONFIG, epochs=5, warmup_fraction=0.25))
    rates = [step.learning_rate for step in history.steps]
    assert len(rates) == 80
    assert rates[0] == 0.0
    assert int(np.argmax(rates)) == 19  # the last step of warm-up: the decay has been running since step 0
    assert rates[19] == pytest.approx(3e-3 * 19 / 20)
    assert rates[20] == pytest.approx(3e-3 * 0.75)
    assert rates[-1] == pytest.approx(3e-3 / 80)


@pytest.mark.usefixtures("_both_engines")
@pytest.mark.parametrize("micro", [1, 5, 16])
def test_accumulation_gives_the_gradients_of_the_whole_batch(micro: int, train: Dataset) -> None:
    still = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    results: list[list[StepResult]] = []
    for size in (None, micro):
        config = replace(CONFIG, epochs=1, micro_batch_size=size)
        results.append(fit(make_classifier(config=still), train, config=config).steps)
    whole, parts = results
    assert [step.loss for step in parts] == pytest.approx([step.loss for step in whole], rel=2e-4)
    norms = [step.gradient_norm for step in whole]
    assert [step.gradient_norm for step in parts] == pytest.approx(norms, rel=2e-3)


def test_one_output_makes_a_regressor(train: Dataset) -> None:
    values = Dataset(train.encoded, (train.targets * 4.0 - 1.0).astype(np.float32))
    history = fit(make_classifier(outputs=1), values, values, config=replace(CONFIG, epochs=10), metrics=("pearson",))
    assert history.best.scores is not None
    assert history.best.scores.values["pearson"] > 0.8


@pytest.mark.usefixtures("_both_engines")
def test_the_lessons_padded_arrays_train_like_the_packed_ones(train: Dataset) -> None:
    from bertune.tokenization.encode_texts import pad

    packed, padded = make_classifier(), make_classifier()
    config = replace(CONFIG, epochs=1)
    fit(packed, train, config=config)
    fit(padded, (pad(train.encoded), train.targets), config=config)
    assert torch.equal(packed.classifier.weight, padded.classifier.weight)


@pytest.mark.usefixtures("_both_engines")
def test_a_loss_that_is_not_finite_stops_before_the_step(train: Dataset) -> None:
    classifier = make_classifier()
    with torch.no_grad():
        classifier.encoder.layers[0].feed_forward.output.weight.fill_(float("inf"))
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    with pytest.raises(DivergedError, match="step 0"):
        fit(classifier, train, config=CONFIG)
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())


def test_targets_are_required_and_checked(train: Dataset) -> None:
    with pytest.raises(ConfigError, match="no targets"):
        fit(make_classifier(), train.encoded)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"class ids 0\.\.3"):
        fit(make_classifier(), Dataset(train.encoded, train.targets * 3))


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"batch_size": 32, "micro_batch_size": 33},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"warmup_fraction": 1.0},
        {"label_smoothing": -0.1},
        {"weight_decay": float("nan")},
        {"seed": -1},
        {"patience": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        TrainingConfig(**settings)


def as_label_rows(data: Dataset) -> Dataset:
    """The class as two labels, of which each example has one."""
    assert data.targets is not None
    return Dataset(data.encoded, np.eye(2, dtype=np.int64)[data.targets])


@pytest.mark.usefixtures("_both_engines")
def test_several_labels_an_example_are_learned(train: Dataset, validation: Dataset) -> None:
    history = fit(make_classifier(), as_label_rows(train), as_label_rows(validation), config=replace(CONFIG, epochs=8))
    assert history.best.scores is not None
    assert history.best.scores.task_kind == "multi-label"
    assert history.best.scores.value("subset_accuracy") > 0.9


@pytest.mark.parametrize("rows", [False, True], ids=["classes", "several labels"])
@pytest.mark.usefixtures("_both_engines")
def test_weighted_classes_weigh_the_same_however_a_batch_is_cut(train: Dataset, rows: bool) -> None:
    still = replace(SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    data = as_label_rows(train) if rows else train
    results = []
    for size in (None, 5):
        config = replace(CONFIG, epochs=1, micro_batch_size=size, class_weights=("0=0.2", "1=7"), label_smoothing=0.1)
        results.append(fit(make_classifier(config=still), data, config=config).steps)
    whole, parts = results
    assert [step.loss for step in parts] == pytest.approx([step.loss for step in whole], rel=2e-4)
    norms = [step.gradient_norm for step in whole]
    assert [step.gradient_norm for step in parts] == pytest.approx(norms, rel=2e-3)
    plain = fit(make_classifier(config=still), data, config=replace(CONFIG, epochs=1)).steps
    assert abs(plain[0].gradient_norm - whole[0].gradient_norm) > 0.05  # the weights do something


def test_predictions_are_clipped_to_the_range_before_they_are_scored(train: Dataset) -> None:
    values = Dataset(train.encoded, train.targets.astype(np.float32))  # type: ignore[union-attr]
    config = replace(CONFIG, epochs=1)
    free = fit(make_classifier(outputs=1), values, values, config=config)
    classifier = make_classifier(outputs=1)
    clipped = fit(classifier, values, values, config=config, target_range=(0.52, 0.6))
    assert clipped.best.scores is not None
    logits = np.clip(predict_logits(classifier, values)[:, 0], 0.52, 0.6)
    expected = np.mean((logits - values.targets) ** 2)
    assert clipped.best.scores.mean_loss == pytest.approx(expected, rel=1e-6)
    assert free.best.scores is not None
    assert free.best.scores.mean_loss != clipped.best.scores.mean_loss


@pytest.mark.parametrize(
    ("kind", "outputs", "targets", "says"),
    [
        ("multi-label", 3, np.zeros((256, 2), np.int64), "several labels of 3 need rows of 3"),
        ("classification", 2, np.zeros((256, 2), np.int64), "classes need whole numbers"),
        ("regression", 1, np.zeros((256, 1), np.int64), "values need one number an example"),
    ],
)
def test_targets_of_another_kind_are_refused(
    train: Dataset, kind: TaskKind, outputs: int, targets: NDArray[np.int64], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        fit(make_classifier(outputs=outputs), Dataset(train.encoded, targets), kind=kind)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_torch"])
@pytest.mark.parametrize(("limit", "clip"), [(0.0, None), (0.25, 0.25)])
def test_the_optimizer_of_a_plan_clips_as_the_plan_says(
    optimizer: OptimizerName, limit: float, clip: float | None
) -> None:
    classifier = make_classifier()
    config = replace(CONFIG, optimizer=optimizer, max_gradient_norm=limit)
    made = loop.optimizer_of(classifier, plan_of(config, classifier, 10), 20)
    assert made.gradient_clip_norm == clip
    assert {group["weight_decay_rate"] for group in made.param_groups} == {0.0, config.weight_decay or 0.01}
