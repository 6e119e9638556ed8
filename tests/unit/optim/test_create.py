"""Parameter groups of real modules, and the lesson's `create_optimizer`."""

from typing import Any

import pytest
import torch
from torch import nn

from bertune.errors import ConfigError
from bertune.optim.adamw import AdamWeightDecay, TorchAdamW
from bertune.optim.create import create_optimizer
from bertune.optim.parameter_groups import decay_groups

LAYER = {
    "attention": {"qkv": "linear", "output": "linear"},
    "attention_norm": "norm",
    "feed_forward": {"intermediate": "linear", "output": "linear"},
    "output_norm": "norm",
}
CLASSIFIER = {
    "encoder": {
        "embeddings": {"token": "embedding", "position": "embedding", "token_type": "embedding", "norm": "norm"},
        "layers": {"0": LAYER, "1": LAYER},
    },
    "pooler": {"dense": "linear"},
    "classifier": "linear",
}
LEAVES = {
    "linear": lambda: nn.Linear(4, 4),
    "embedding": lambda: nn.Embedding(5, 4),
    "norm": lambda: nn.LayerNorm(4),
}


def build(tree: dict[str, Any]) -> nn.Module:
    module = nn.Module()
    for name, child in tree.items():
        module.add_module(name, LEAVES[child]() if isinstance(child, str) else build(child))
    return module


def names(model: nn.Module, **options: Any) -> tuple[set[str], set[str]]:
    decaying, staying = set[str](), set[str]()
    for group in decay_groups(model, 0.01, **options):
        target = decaying if group["weight_decay_rate"] else staying
        target.update(name for name, _ in group["params"])
    return decaying, staying


def test_matrices_and_embeddings_decay_and_norms_and_biases_do_not() -> None:
    model = build(CLASSIFIER)
    decaying, staying = names(model)
    layer = ("attention.qkv", "attention.output", "feed_forward.intermediate", "feed_forward.output")
    assert decaying == {
        *(f"encoder.embeddings.{kind}.weight" for kind in ("token", "position", "token_type")),
        *(f"encoder.layers.{number}.{part}.weight" for number in (0, 1) for part in layer),
        "pooler.dense.weight",
        "classifier.weight",
    }
    assert decaying | staying == {name for name, _ in model.named_parameters()}
    assert not decaying & staying


def test_a_layer_norm_under_any_name_does_not_decay() -> None:
    model = build({"ln_f": "norm", "scale": "norm", "projection": "linear"})
    assert names(model) == (
        {"projection.weight"},
        {"ln_f.weight", "ln_f.bias", "scale.weight", "scale.bias", "projection.bias"},
    )


def test_a_norm_of_someones_own_is_known_by_its_name() -> None:
    own = nn.Module()
    own.weight = nn.Parameter(torch.ones(4))
    for name in ("norm", "output_norm", "LayerNorm", "layer_norm"):
        model = nn.Module()
        model.add_module(name, own)
        assert names(model) == (set(), {f"{name}.weight"})


def test_a_matrix_inside_a_norm_module_does_not_decay() -> None:
    assert names(nn.Sequential(nn.LayerNorm((3, 4)))) == (set(), {"0.weight", "0.bias"})


def test_a_vector_of_unknown_kind_is_refused_until_it_is_named() -> None:
    model = nn.Module()
    model.temperature = nn.Parameter(torch.ones(1))
    model.classifier = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="temperature") as caught:
        decay_groups(model, 0.01)
    assert caught.value.hint is not None
    assert names(model, exclude_from_weight_decay=["temperature"])[1] == {"temperature", "classifier.bias"}
    assert names(model, include_in_weight_decay=["temperature"])[0] == {"temperature", "classifier.weight"}


def test_an_include_pattern_goes_before_everything_else() -> None:
    model = build({"norm": "norm"})
    assert names(model, include_in_weight_decay=["norm"], exclude_from_weight_decay=["norm"])[1] == set()


def test_a_pattern_that_finds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="clasifier"):
        decay_groups(build(CLASSIFIER), 0.01, exclude_from_weight_decay=["clasifier"])


def test_frozen_parameters_are_left_out_and_shared_ones_count_once() -> None:
    model = build({"a": "linear", "b": "linear"})
    model.b.weight = model.a.weight  # type: ignore[union-attr, assignment]
    model.b.bias.requires_grad_(False)  # type: ignore[union-attr, operator]
    assert names(model) == ({"a.weight"}, {"a.bias"})
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no trainable parameter"):
        decay_groups(model, 0.01)


def test_parameters_of_one_rate_share_a_group_and_none_is_lost() -> None:
    model = build(CLASSIFIER)
    groups = decay_groups(model, 0.01, rate_scale_of=lambda name: 1.0 if name.startswith("classifier") else 0.5)
    assert {(group["weight_decay_rate"], group["rate_scale"]) for group in groups} == {
        *((0.01, 1.0), (0.01, 0.5)),
        *((0.0, 1.0), (0.0, 0.5)),
    }
    assert len(groups) == 4
    for group in groups:
        head = {name.startswith("classifier") for name, _ in group["params"]}
        assert head == {group["rate_scale"] == 1.0}
    names = [name for group in groups for name, _ in group["params"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_the_lessons_three_arguments_make_the_lessons_optimizer() -> None:
    optimizer = create_optimizer(2e-5, 100, 10, model=build(CLASSIFIER))
    assert isinstance(optimizer, AdamWeightDecay)
    assert optimizer.gradient_clip_norm == 1.0
    rates = [optimizer.learning_rate_at(step) for step in (0, 5, 10, 100)]
    assert rates == pytest.approx([0.0, 1e-5, 1.8e-5, 0.0], rel=1e-6)
    settings = [(g["weight_decay_rate"], g["beta_1"], g["beta_2"], g["epsilon"]) for g in optimizer.param_groups]
    assert settings == [(0.01, 0.9, 0.999, 1e-6), (0.0, 0.9, 0.999, 1e-6)]


def test_the_other_arguments_reach_their_places() -> None:
    optimizer = create_optimizer(
        1.0,
        10,
        None,
        0.5,
        "adamw_torch",
        0.8,
        2.0,
        model=build(CLASSIFIER),
        weight_decay_rate=0.1,
        gradient_clip_norm=None,
    )
    assert isinstance(optimizer, TorchAdamW)
    assert optimizer.gradient_clip_norm is None
    assert optimizer.learning_rate_at(5) == pytest.approx(0.5 + 0.5 * 0.25)
    assert [(g["weight_decay_rate"], g["beta_1"]) for g in optimizer.param_groups] == [(0.1, 0.8), (0.0, 0.8)]


def test_an_unknown_optimizer_type_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="lamb") as caught:
        create_optimizer(1.0, 10, 1, optimizer_type="lamb", model=build(CLASSIFIER))  # type: ignore[arg-type]
    assert caught.value.hint == "choose one of: adamw, adamw_torch"


@pytest.mark.parametrize("kind", ["adamw", "adamw_torch"])
def test_a_created_optimizer_lowers_a_loss(kind: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    inputs = torch.randn(64, 4)
    targets = (inputs[:, 0] > 0).long()
    optimizer = create_optimizer(1e-2, 100, 10, optimizer_type=kind, model=model)
    losses = []
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(inputs), targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
