"""Low-rank adapters: the gradients of autograd, by both engines, and models that are plain again."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.resumed_runs import CrashAt, crashed, prepared, results, resumed, write_world
from tests.unit.training.conftest import make_classifier, make_dataset
from tests.unit.training.test_engine import CONFIG, assert_same_training, run
from tests.unit.training.test_frozen_layers import FAMILIES, THREE, changed
from torch import nn

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.nn.lora import LoraSizes, LowRankUpdate
from bertune.training.adapters import Adapters
from bertune.training.config import TrainingConfig
from bertune.training.loop import FitOptions, fit, fit_objective
from bertune.training.objective import Objective, kind_of
from bertune.training.run import execute

LORA = replace(CONFIG, epochs=2, lora=4)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(100, 1)


def adapted(classifier: Classifier, train: Dataset, config: TrainingConfig) -> Adapters:
    kept: list[Adapters] = []
    objective = Objective(kind_of(classifier, train), ("accuracy",))
    fit_objective(classifier, train, None, objective, config, FitOptions(on_adapters=kept.append, verbose=False))
    (adapters,) = kept
    return adapters


def test_the_gradients_are_those_of_autograd_through_the_product() -> None:
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.randn(12, 5, generator=generator))
    update = LowRankUpdate(weight, LoraSizes(2, 6.0), blocks=3, generator=generator)
    assert torch.equal(weight, update.start)
    with torch.no_grad():
        update.b.normal_(generator=generator)
    update.apply_update()
    a, b = (each.detach().clone().requires_grad_() for each in (update.a, update.b))
    parts = [start + 3.0 * (low @ high) for start, low, high in zip(update.start.chunk(3), b, a, strict=True)]
    summed = torch.cat(parts)
    torch.testing.assert_close(weight, summed)
    (summed.sin().sum() + (summed[:4] ** 2).sum()).backward()
    gradient = summed.detach().cos()
    gradient[:4] += 2 * summed.detach()[:4]
    update.take_gradient(gradient)
    torch.testing.assert_close(update.a.grad, a.grad)
    torch.testing.assert_close(update.b.grad, b.grad)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((family, {}) for family in ("bert", "deberta", "modernbert")),
        # They do not depend on the family.
        *(
            ("bert", changes)
            for changes in ({"micro_batch_size": 3}, {"freeze": 1}, {"layer_decay": 0.5}, {"optimizer": "adamw_torch"})
        ),
    ],
)
def test_both_engines_train_the_same(family: str, changes: dict[str, Any], train: Dataset) -> None:
    config = replace(LORA, **changes)
    one, other = (run(train, removed, config=config, sizes=FAMILIES[family]) for removed in ("", "kernels"))
    assert one[2].how == "fp32, compiled kernels"
    assert other[2].how == "fp32, torch operators: compiled kernels are switched off"
    assert_same_training(one, other)


@pytest.mark.parametrize("freeze", [None, 1])
def test_only_products_of_the_layers_and_what_is_above_them_change(freeze: int | None, train: Dataset) -> None:
    _, after, _ = run(train, config=replace(LORA, freeze=freeze), sizes=THREE)
    products = ("attention.qkv", "attention.output", "feed_forward.intermediate", "feed_forward.output")
    expected = {f"encoder.layers.{layer}.{name}.weight" for layer in range(freeze or 0, 3) for name in products}
    head = {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert changed(make_classifier(config=THREE), after) == expected | head
    assert all(parameter.requires_grad for parameter in after.parameters())


def test_merged_and_unmerged_logits_are_equal(train: Dataset) -> None:
    classifier = make_classifier(config=THREE)
    adapters = adapted(classifier, train, replace(LORA, learning_rate=2e-2))
    batch = pack(train.encoded, np.arange(16))
    with torch.no_grad():
        merged = classifier(batch)
        hooks = []
        for name, update in adapters.updates.items():
            dense = classifier.encoder.get_submodule(name.removesuffix(".weight"))
            dense.get_parameter("weight").copy_(update.start)

            def add(_: nn.Module, inputs: Any, output: torch.Tensor, of: LowRankUpdate = update) -> torch.Tensor:
                low = [inputs[0] @ a.T @ b.T for a, b in zip(of.a, of.b, strict=True)]
                return output + 2.0 * torch.cat(low, dim=-1)

            hooks.append(dense.register_forward_hook(add))
        unmerged = make_unfused(classifier, batch)
        for hook in hooks:
            hook.remove()
        without = classifier(batch)
    assert float((merged - unmerged).abs().max()) < 1e-6
    assert float((merged - without).abs().max()) > 1e-3


def make_unfused(classifier: Classifier, batch: Any) -> torch.Tensor:
    """The logits with all tokens in the last layer: that of first tokens alone takes slices of weights, not modules."""
    hidden = classifier.encoder.encode(batch, first_only=False)
    return classifier.logits_of(hidden[batch.layout.first_tokens], batch.layout)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_never_interrupted(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    world = write_world(tmp_path)
    settings: dict[str, Any] = {"lora": 2, "precision": "bf16", "weight_decay": 0.3}
    execute(prepared(world, tmp_path / "whole" / "run", **settings))
    expected = results(tmp_path / "whole" / "run")
    out = crashed(prepared(world, tmp_path / "again" / "run", **settings, save_every=3), CrashAt(9))
    found = results(resumed(out))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == expected[name], name


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"lora": 65}, "lora (65) exceeds 64, the smallest dimension"),
        ({"lora": 4, "freeze": 3}, "freeze (3) leaves no layer to lora"),
        ({"lora": 4, "reinit_layers": 1}, "reinit_layers makes new ones"),
        ({"lora": 0}, "lora must be at least 1, not 0"),
        ({"lora_alpha": 4.0}, "lora_alpha must lie above 0 and go with lora"),
    ],
)
def test_adapters_that_cannot_be_are_refused(config: dict[str, Any], sentence: str, train: Dataset) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        fit(make_classifier(config=FAMILIES["mpnet"]), train, config=TrainingConfig(**config))


def test_the_folder_tells_of_adapters_and_keeps_them_for_peft(tmp_path: Path) -> None:
    run_of = prepared(write_world(tmp_path), tmp_path / "run", lora=2, freeze=1, keep_adapter=True, epochs=1)
    execute(run_of)
    out = tmp_path / "run"
    lines = (out / "run.toml").read_text().splitlines()
    assert {"lora = 2", "freeze = 1", "keep-adapter = true"} <= set(lines)
    told = "adapters of rank 2 (LoRA) on all but the lowest 1 of 2 layers, merged into the weights"
    assert f"- trained: {told}, and what stands above the layers" in (out / "model" / "README.md").read_text()
    new = {each["name"]: each["shape"] for each in json.loads((out / "receipt.json").read_text())["tensors"]}
    assert new["layers.1.attention.qkv.weight.lora_a"][:2] == [3, 2]
    assert "layers.0.attention.qkv.weight.lora_a" not in new
    config = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 4.0)
    assert config["modules_to_save"] == ["bert.pooler.dense", "classifier"]
    tensors = load_file(out / "adapter" / "adapter_model.safetensors")
    merged = load_file(out / "model" / "model.safetensors")
    name = "bert.encoder.layer.1.attention.self.key"
    start = run_of.settings.model
    before = load_file(Path(start) / "model.safetensors")[f"{name.removeprefix('bert.')}.weight"]
    low, high = (tensors[f"base_model.model.{name}.lora_{kind}.weight"] for kind in "BA")
    assert float((before + 2.0 * (low @ high) - merged[f"{name}.weight"]).abs().max()) < 1e-7
    assert torch.equal(tensors["base_model.model.classifier.weight"], merged["classifier.weight"])
