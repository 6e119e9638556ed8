"""Training DeBERTa, MPNet, ALBERT and small ELECTRA by compiled kernels and by torch's operators: the same weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.unit.training.conftest import make_classifier, make_dataset

from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.models.albert import AlbertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.deberta import DebertaV2Config
from bertune.models.electra import ElectraConfig
from bertune.models.encoder_config import EncoderConfig, Pooling
from bertune.models.mpnet import MpnetConfig
from bertune.training.config import TrainingConfig
from bertune.training.engine import NativeEngine
from bertune.training.engine_choice import engine_for
from bertune.training.history import History
from bertune.training.loop import fit, optimizer_of
from bertune.training.objective import Objective, kind_of
from bertune.training.plan import plan_of

pytestmark = pytest.mark.usefixtures("compiler")

# Ids from 40 on occur in no example of `make_dataset`: the table in use is smaller.
BODY: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 34,
}
FAMILIES: dict[str, EncoderConfig] = {
    "DeBERTa": DebertaV2Config(**BODY, position_buckets=8),
    "MPNet": MpnetConfig(**BODY),
    "ALBERT": AlbertConfig(**BODY, embedding_size=32, classifier_dropout_prob=0.0),
    "ELECTRA": ElectraConfig(**BODY, embedding_size=32),
}
CONFIG = TrainingConfig(
    recipe="lesson", epochs=2, batch_size=8, learning_rate=1e-3, weight_decay=0.3, precision="fp32", seed=3
)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(96, 1)


@pytest.fixture(params=FAMILIES)
def sizes(request: pytest.FixtureRequest) -> EncoderConfig:
    return FAMILIES[request.param]


def run(classifier: Classifier, train: Dataset, removed: str, config: TrainingConfig) -> tuple[History, Classifier]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTUNE_DISABLE", removed)
        return fit(classifier, train, None, config=config), classifier


@pytest.mark.parametrize(("part", "pooling"), [(8, "cls"), (3, "cls"), (8, "mean")])
def test_steps_have_the_losses_and_end_with_the_weights_of_the_torch_path(
    sizes: EncoderConfig, part: int, pooling: Pooling, train: Dataset
) -> None:
    classifiers = [classifier_model(sizes, 2, pooling=pooling, seed=4)[0] for _ in range(2)]
    config = replace(CONFIG, micro_batch_size=part)
    ours, kernels = run(classifiers[0], train, "", config)
    theirs, torchs = run(classifiers[1], train, "kernels", config)
    assert ours.engine == "fp32, compiled kernels"
    assert theirs.engine == "fp32, torch operators: compiled kernels are switched off"
    assert len(ours.steps) == 24
    for one, other in zip(ours.steps, theirs.steps, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=2e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=2e-3)
    expected = torchs.state_dict()
    for name, value in kernels.state_dict().items():
        assert float((value - expected[name]).abs().max()) <= 2e-4, name


def test_in_bf16_it_learns_and_the_copies_follow_the_weights(
    sizes: EncoderConfig, train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", "")
    sizes = replace(sizes, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    classifier = make_classifier(config=sizes).train()
    classifier.encoder.compute_dtype = torch.bfloat16
    optimizer = optimizer_of(classifier, plan_of(replace(CONFIG, precision="bf16"), classifier, 96), 60)
    engine = engine_for(classifier, optimizer)
    assert isinstance(engine, NativeEngine)
    assert engine.name == "compiled kernels"
    objective = Objective(kind_of(classifier, train), ())
    batch = pack(train.encoded, None, train.targets)
    before = {name: value.clone() for name, value in classifier.encoder.named_parameters()}
    losses = []
    for _ in range(60):
        losses.append(engine.forward_backward(batch, objective, total_weight=len(train), accumulate=False)[0])
        engine.step()
    assert losses[-1] < 0.98 * losses[0]
    for name, value in classifier.encoder.named_parameters():
        if not name.startswith("pooler."):
            assert not torch.equal(value, before[name]), name
    copies = engine.native.bf16_copies
    matrices = {name for name, value in classifier.encoder.layers.named_parameters() if value.dim() == 2}
    assert copies.keys() == matrices
    for name, value in copies.items():
        assert torch.equal(value, classifier.encoder.layers.get_parameter(name).bfloat16())


def test_an_optimizer_of_torch_finds_the_gradients_of_all_parameters(
    sizes: EncoderConfig, train: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for removed in ("", "kernels"):
        monkeypatch.setenv("BERTUNE_DISABLE", removed)
        classifier = make_classifier(config=sizes)
        optimizer = torch.optim.SGD(classifier.parameters(), lr=0.05)
        history = fit(
            classifier,
            train,
            None,
            config=replace(CONFIG, epochs=1, learning_rate=None, weight_decay=None),
            optimizer=optimizer,
        )
        assert history.engine.startswith("fp32, compiled kernels" if not removed else "fp32, torch operators")
        ends.append(classifier.state_dict())
    for name, value in ends[0].items():
        assert float((value - ends[1][name]).abs().max()) <= 1e-4, name
