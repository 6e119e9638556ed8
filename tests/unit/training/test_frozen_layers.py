"""Embeddings and lowest layers that do not train: bit for bit as they were, by both engines, in every family."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.resumed_runs import CrashAt, crashed, prepared, results, resumed, write_world
from tests.unit.training.conftest import SIZES, make_classifier, make_dataset
from tests.unit.training.test_engine import CONFIG, assert_same_training, run
from tests.unit.training.test_engine_of_families import BODY
from torch import Tensor

from bertune.batches.batch import Batch, pack
from bertune.batches.dataset import Dataset
from bertune.checkpoints.signature import ModelSignature
from bertune.cli.inspect_model import inspect_run
from bertune.errors import ConfigError
from bertune.models.albert import AlbertConfig
from bertune.models.classifier import Classifier
from bertune.models.deberta import DebertaV2Config
from bertune.models.distilbert import DistilBertConfig
from bertune.models.electra import ElectraConfig
from bertune.models.encoder import lower_encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.models.modernbert import ModernBertConfig
from bertune.models.mpnet import MpnetConfig
from bertune.reports.run_report import write_report
from bertune.training import frozen_layers
from bertune.training.config import TrainingConfig
from bertune.training.frozen_layers import FrozenLayers
from bertune.training.loop import fit
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_settings import RunSettings

THREE = replace(SIZES, num_hidden_layers=3, vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
FAMILIES: dict[str, EncoderConfig] = {
    "bert": THREE,
    "distilbert": DistilBertConfig(**BODY, seq_classif_dropout=0.0),
    "electra": ElectraConfig(**BODY, embedding_size=32),
    "mpnet": MpnetConfig(**BODY),
    "modernbert": ModernBertConfig(**BODY, pad_token_id=0, local_attention=8),
    "deberta": DebertaV2Config(**BODY, position_buckets=8),
}
ALBERT = AlbertConfig(**BODY, embedding_size=32, classifier_dropout_prob=0.0)
EPOCH = replace(CONFIG, epochs=2)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(100, 1)


def changed(before: Classifier, after: Classifier) -> set[str]:
    old = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(value, old[name])}


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("removed", ["", "kernels"], ids=["compiled", "torch"])
@pytest.mark.parametrize("freeze", [0, 1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_frozen_keeps_its_bits_and_all_else_trains(
    family: str, freeze: int, removed: str, train: Dataset
) -> None:
    sizes = FAMILIES[family]
    _, after, watcher = run(train, removed, config=replace(EPOCH, freeze=freeze), sizes=sizes)
    assert watcher.how.endswith("compiled kernels") == (not removed)
    frozen = ("encoder.embeddings.", "encoder.relative", *(f"encoder.layers.{number}." for number in range(freeze)))
    expected = {
        name
        for name, _ in after.named_parameters()
        if not name.startswith(frozen) and (after.uses_pooler or not name.startswith("encoder.pooler."))
    }
    assert changed(make_classifier(config=sizes), after) == expected
    assert all(parameter.requires_grad for parameter in after.parameters())


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((family, {}) for family in FAMILIES),
        # They do not depend on the family.
        *itertools.product(
            ("bert", "deberta"), ({"micro_batch_size": 3}, {"layer_decay": 0.5}, {"optimizer": "adamw_torch"})
        ),
    ],
)
@pytest.mark.parametrize("freeze", [0, 2, 3])
def test_both_engines_train_the_same(family: str, freeze: int, changes: dict[str, Any], train: Dataset) -> None:
    config = replace(EPOCH, freeze=freeze, **changes)
    one, other = (run(train, removed, config=config, sizes=FAMILIES[family]) for removed in ("", "kernels"))
    assert one[2].how == "fp32, compiled kernels"
    assert other[2].how == "fp32, torch operators: compiled kernels are switched off"
    assert_same_training(one, other, key_biases="optimizer" not in changes)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("removed", ["", "kernels"], ids=["compiled", "torch"])
def test_what_is_kept_is_what_would_be_computed_each_time(
    removed: str, train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(EPOCH, freeze=2)
    kept = run(train, removed, config=config, sizes=THREE)
    monkeypatch.setattr(frozen_layers, "MOST_KEPT_BYTES", 0)
    assert_same_training(kept, run(train, removed, config=config, sizes=THREE))


def test_rows_are_kept_once_where_they_fit_and_there_are_several_epochs(
    train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    real = FrozenLayers._states

    def states(layers: FrozenLayers, batch: Batch) -> Tensor:
        computed.append(batch.layout.num_tokens)
        return real(layers, batch)

    monkeypatch.setattr(FrozenLayers, "_states", states)
    tokens = len(train.encoded.token_ids)
    for epochs, most, expected in ((3, tokens * 32 * 4, 1), (3, tokens * 32 * 4 - 1, 3), (1, 1 << 30, 1)):
        monkeypatch.setattr(frozen_layers, "MOST_KEPT_BYTES", most)
        computed.clear()
        run(train, config=replace(EPOCH, freeze=2, epochs=epochs), sizes=THREE)
        assert sum(computed) == expected * tokens
    assert len(computed) == 13  # of one epoch, batch by batch


def test_nothing_is_dropped_below_and_all_that_was_is_dropped_above(train: Dataset) -> None:
    dropping = replace(THREE, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    classifier = make_classifier(config=dropping)
    layers = FrozenLayers(classifier.train(), 2, train.encoded, keeps=False)
    batch = pack(train.encoded, np.arange(8))
    above = layers.add_to(batch, np.arange(8))
    still = make_classifier(config=THREE).eval()
    hidden = lower_encoder(still.encoder, 2).encode(batch)
    torch.testing.assert_close(above.lower_states, hidden, rtol=0, atol=1e-5)
    drawn = [classifier(above) for _ in range(2)]
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("removed", ["", "kernels"], ids=["compiled", "torch"])
def test_windows_find_their_states(removed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples of one to three windows, by what is kept and by what is computed for each batch."""
    rows = make_dataset(60, 2)
    assert rows.targets is not None
    bounds = np.array([0, *np.cumsum(np.tile([1, 2, 3], 10))])
    encoded = replace(rows.encoded, example_offsets=bounds, truncated=np.zeros(30, bool))
    windows = Dataset(encoded, rows.targets[:30])
    config = replace(EPOCH, freeze=1)
    kept = run(windows, removed, config=config, sizes=THREE)
    monkeypatch.setattr(frozen_layers, "MOST_KEPT_BYTES", 0)
    assert_same_training(kept, run(windows, removed, config=config, sizes=THREE))


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("bytes_kept", [1 << 30, 0])
@pytest.mark.parametrize("engine", ["", "kernels"], ids=["compiled", "torch"])
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_never_interrupted(
    engine: str, bytes_kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", engine)
    monkeypatch.setattr(frozen_layers, "MOST_KEPT_BYTES", bytes_kept)
    world = write_world(tmp_path)
    settings: dict[str, Any] = {"freeze": 1, "precision": "bf16", "weight_decay": 0.3}
    execute(prepared(world, tmp_path / "whole" / "run", **settings))
    expected = results(tmp_path / "whole" / "run")
    crash = CrashAt(9)
    out = crashed(prepared(world, tmp_path / "again" / "run", **settings, save_every=3), crash)
    found = results(resumed(out))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == expected[name], name


def test_the_folder_tells_what_was_frozen_and_holds_its_bits(tmp_path: Path) -> None:
    world = write_world(tmp_path)
    said: list[str] = []
    settings = RunSettings(
        data=str(world / "train.csv"),
        out=tmp_path / "run",
        model=str(world / "model"),
        text_a="first",
        label="mood",
        max_length=32,
    )
    run = prepare(settings, TrainingConfig(freeze=1, epochs=1), say=said.append)
    assert any(line.startswith("frozen: the embeddings and the lowest 1 of 2 layers, ") for line in said)
    execute(run)
    write_report(tmp_path / "run")
    told = "all but the embeddings and the lowest 1 of 2 layers"
    model = tmp_path / "run" / "model"
    assert "freeze = 1" in (tmp_path / "run" / "run.toml").read_text()
    assert f"- trained: {told}" in (model / "README.md").read_text()
    assert told in (tmp_path / "run" / "report.html").read_text()
    assert f"trained: {told}" in inspect_run(tmp_path / "run").lines
    before, after = load_file(world / "model" / "model.safetensors"), load_file(model / "model.safetensors")
    before = {f"bert.{name.removeprefix('bert.')}": value for name, value in before.items()}
    same = {name for name, value in before.items() if name in after and torch.equal(value, after[name])}
    frozen = {name for name in after if name.startswith(("bert.embeddings.", "bert.encoder.layer.0."))}
    # Softmax takes no notice of a key's bias, whose gradient may be 0.
    assert same - frozen <= {"bert.encoder.layer.1.attention.self.key.bias"}
    assert frozen <= same


def test_a_signature_without_frozen_layers_is_that_of_earlier_versions(tmp_path: Path) -> None:
    signature = ModelSignature(labels=("a", "b"), is_pair=False, max_length=8)
    assert "trained" not in signature.to_dict()
    assert replace(signature, trained="the head").to_dict()["trained"] == "the head"


@pytest.mark.parametrize(
    ("config", "sizes", "sentence"),
    [
        (TrainingConfig(freeze=4), THREE, "freeze (4) exceeds the encoder's 3 layers"),
        (TrainingConfig(freeze=2, reinit_layers=2), THREE, "freeze (2) and reinit_layers (2) overlap"),
        (TrainingConfig(freeze=1), ALBERT, "the encoder's 3 layers share their weights"),
    ],
)
def test_what_cannot_be_frozen_is_refused(
    config: TrainingConfig, sizes: EncoderConfig, sentence: str, train: Dataset
) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        fit(make_classifier(config=sizes), train, config=config)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("freeze", [0, 3])
def test_layers_that_share_their_weights_are_frozen_all_or_none(freeze: int, train: Dataset) -> None:
    config = replace(EPOCH, freeze=freeze)
    one, other = (run(train, removed, config=config, sizes=ALBERT) for removed in ("", "kernels"))
    assert_same_training(one, other)
    moved = changed(make_classifier(config=ALBERT), one[1])
    assert any(name.startswith("encoder.layers.") for name in moved) == (freeze == 0)
    assert not any(name.startswith("encoder.embeddings.") for name in moved)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("removed", ["", "kernels"], ids=["compiled", "torch"])
def test_an_optimizer_of_ones_own_leaves_what_is_frozen(removed: str, train: Dataset) -> None:
    classifier = make_classifier(config=THREE)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3, weight_decay=0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", removed)
        config = TrainingConfig(epochs=1, batch_size=8, precision="fp32", freeze=2)
        fit(classifier, train, config=config, optimizer=optimizer)
    moved = changed(make_classifier(config=THREE), classifier)
    assert moved == {
        name for name in classifier.state_dict() if not classifier.encoder.lies_below(name.removeprefix("encoder."), 2)
    }
