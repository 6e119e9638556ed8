"""Rates that fall from layer to layer, and top layers that are initialized again."""

import re
from dataclasses import replace

import pytest
import torch
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from tests.unit.training.test_engine import CONFIG, STILL, assert_same_training, run
from torch import Tensor

from bertune.errors import ConfigError
from bertune.models.classifier import classifier_model
from bertune.optim.create import create_optimizer
from bertune.training.config import TrainingConfig
from bertune.training.layer_settings import draw_top_layers, rate_scale_by_depth
from bertune.training.loop import fit, optimizer_of
from bertune.training.plan import plan_of

THREE = replace(SIZES, num_hidden_layers=3)


def test_each_layer_has_its_share_of_the_rate_above_it() -> None:
    scale = rate_scale_by_depth(make_classifier(config=THREE), 0.5)
    names = {
        "classifier.weight": 1.0,
        "encoder.pooler.dense.bias": 1.0,
        "encoder.layers.2.attention_norm.weight": 1.0,
        "encoder.layers.1.attention_norm.bias": 0.5,
        "encoder.layers.0.attention_norm.bias": 0.25,
        "encoder.embeddings.token.weight": 0.125,
        "encoder.embeddings.norm.bias": 0.125,
    }
    known = dict(make_classifier(config=THREE).named_parameters())
    for name, expected in names.items():
        assert name in known
        assert scale(name) == expected


def test_the_optimizer_has_every_parameter_once_at_its_rate() -> None:
    classifier = make_classifier(config=THREE)
    config = TrainingConfig(recipe="lesson", layer_decay=0.5, learning_rate=1e-3, warmup_fraction=0.0)
    optimizer = optimizer_of(classifier, plan_of(config, classifier, 10), 10)
    scale = rate_scale_by_depth(classifier, 0.5)
    seen = []
    for group in optimizer.param_groups:
        for name in group["param_names"]:
            assert group["lr"] == pytest.approx(1e-3 * scale(name), rel=1e-6)
        seen += group["param_names"]
    assert sorted(seen) == sorted(name for name, _ in classifier.named_parameters())


def test_without_decay_the_groups_are_the_two_of_always() -> None:
    optimizer = optimizer_of(make_classifier(), plan_of(TrainingConfig(layer_decay=1.0), make_classifier(), 10), 10)
    assert [(group["weight_decay_rate"], group["rate_scale"]) for group in optimizer.param_groups] == [
        (0.01, 1.0),
        (0.0, 1.0),
    ]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_torch"])
def test_the_compiled_path_trains_at_the_same_rates_as_torch(optimizer: str) -> None:
    config = replace(CONFIG, layer_decay=0.5, optimizer=optimizer)
    train = make_dataset(200, 1)
    one, other = run(train, config=config), run(train, "kernels", config=config)
    assert one[2].how == "fp32, compiled kernels"
    assert_same_training(one, other)
    equal = run(train, config=replace(config, layer_decay=1.0))
    with pytest.raises(AssertionError):
        assert_same_training(one, equal)


@pytest.mark.usefixtures("compiler")
def test_the_first_step_moves_each_layer_by_its_rate() -> None:
    """From the same weights and gradients: which tells the rates that are used from those that are shown."""
    config = replace(CONFIG, warmup_fraction=0.0, weight_decay=0.0, epochs=1, batch_size=200)
    before = make_classifier(config=STILL).state_dict()

    def moved_at(layer_decay: float) -> dict[str, Tensor]:
        _, classifier, watcher = run(make_dataset(200, 1), config=replace(config, layer_decay=layer_decay))
        assert watcher.how == "fp32, compiled kernels"
        return {name: value - before[name] for name, value in classifier.state_dict().items()}

    whole, scaled = moved_at(1.0), moved_at(0.1)
    for name, share in {"layers.1.": 1.0, "layers.0.": 0.1, "embeddings.": 0.01, "pooler.": 1.0}.items():
        for parameter, step in scaled.items():
            if parameter.startswith(f"encoder.{name}"):
                torch.testing.assert_close(
                    step, whole[parameter] * share, rtol=0, atol=1.3e-7
                )  # beside 1, where norms are


def test_an_optimizer_of_ones_own_brings_its_own_rates() -> None:
    classifier = make_classifier()
    optimizer = create_optimizer(1e-3, 4, 0, model=classifier)
    with pytest.raises(ConfigError, match="layer_decay is the optimizer's"):
        fit(classifier, make_dataset(8, 1), config=TrainingConfig(epochs=1, layer_decay=0.9), optimizer=optimizer)


def test_top_layers_and_pooler_get_the_weights_of_a_model_without_checkpoint() -> None:
    fresh, _ = classifier_model(THREE, 2, seed=7)
    classifier = make_classifier(seed=1, config=THREE)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    draw_top_layers(classifier, 2, seed=7)
    for name, value in classifier.state_dict().items():
        is_drawn = name.startswith(("encoder.layers.1.", "encoder.layers.2.", "encoder.pooler."))
        assert torch.equal(value, (fresh.state_dict() if is_drawn else before)[name]), name
    assert not torch.equal(before["encoder.pooler.dense.weight"], fresh.state_dict()["encoder.pooler.dense.weight"])


def test_fit_draws_them_from_its_seed_before_the_first_step() -> None:
    config = TrainingConfig(epochs=1, learning_rate=1e-9, seed=7, reinit_layers=1, weight_decay=0.0)
    classifier, (fresh, _) = make_classifier(seed=1), classifier_model(SIZES, 2, seed=7)
    fit(classifier, make_dataset(8, 1), config=config)
    name = next(name for name, _ in classifier.named_parameters() if re.match(r"encoder\.layers\.1\..*weight", name))
    torch.testing.assert_close(classifier.get_parameter(name), fresh.get_parameter(name), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer_decay": 0.0}, "layer_decay must lie in"),
        ({"layer_decay": 1.1}, "layer_decay must lie in"),
        ({"layer_decay": float("nan")}, "layer_decay must lie in"),
        ({"reinit_layers": -1}, "reinit_layers must be 0 or more, not -1"),
        ({"reinit_layers": 3}, r"reinit_layers \(3\) exceeds the encoder's 2 layers"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(make_classifier(), make_dataset(8, 1), config=TrainingConfig(**settings))
