"""ModernBERT trains by compiled kernels as by torch's operators."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import make_classifier, make_dataset
from tests.unit.training.test_engine import CONFIG, assert_same_training, run

from bertune.batches.dataset import Dataset
from bertune.models.classifier import Classifier
from bertune.models.encoder_config import Pooling
from bertune.models.modernbert import ModernBertConfig
from bertune.training.loop import fit

pytestmark = pytest.mark.usefixtures("compiler")

# Ids from 40 on occur in no example of `make_dataset`; windows are shorter than its texts.
STILL = ModernBertConfig(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=32,
    local_attention=6,
    pad_token_id=0,
)


@pytest.fixture(scope="module")
def train() -> Dataset:
    return make_dataset(200, 1)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("settings", [{}, {"micro_batch_size": 3}, {"max_gradient_norm": 0.01}])
def test_fifty_steps_have_the_losses_of_the_torch_path(
    train: Dataset, settings: dict[str, object], pooling: Pooling
) -> None:
    config, sizes = replace(CONFIG, **settings), replace(STILL, classifier_pooling=pooling)
    one, other = run(train, config=config, sizes=sizes), run(train, "kernels", config=config, sizes=sizes)
    assert len(one[0].steps) == 50
    assert one[2].how == "fp32, compiled kernels"
    assert other[2].how == "fp32, torch operators: compiled kernels are switched off"
    assert_same_training(one, other)


def test_biases_train_the_same(train: Dataset) -> None:
    sizes = replace(STILL, attention_bias=True, mlp_bias=True, norm_bias=True)
    assert_same_training(run(train, sizes=sizes), run(train, "kernels", sizes=sizes))


def test_rows_that_never_occur_end_where_decay_alone_takes_them(train: Dataset) -> None:
    before = make_classifier(config=STILL).encoder.embeddings.token.weight.detach()[40:]
    ours, theirs = (run(train, removed, sizes=STILL)[1] for removed in ("", "kernels"))
    after, expected = (model.encoder.embeddings.token.weight.detach()[40:] for model in (ours, theirs))
    torch.testing.assert_close(after, expected, rtol=1e-6, atol=0)
    assert float((after / before - 1).abs().min()) > 0.01


@pytest.mark.parametrize("micro_batch_size", [None, 5])
def test_bf16_learns(micro_batch_size: int | None) -> None:
    train, validation = make_dataset(256, 1), make_dataset(64, 2)
    config = replace(
        CONFIG,
        epochs=8,
        batch_size=16,
        micro_batch_size=micro_batch_size,
        learning_rate=3e-3,
        weight_decay=0.01,
        precision="bf16",
    )
    sizes = replace(STILL, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, mlp_dropout=0.1)
    history, _, watcher = run(train, config=config, sizes=sizes, validation=validation)
    assert watcher.how == "bf16, compiled kernels"
    assert history.best.scores is not None
    assert history.best.scores.values["accuracy"] > 0.9


def test_an_optimizer_of_torch_takes_the_same_steps(train: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Classifier] = []
    for removed in ("", "kernels"):
        monkeypatch.setenv("BERTUNE_DISABLE", removed)
        classifier = make_classifier(config=STILL)
        fit(
            classifier,
            train,
            config=replace(CONFIG, epochs=1, learning_rate=None, weight_decay=None),
            optimizer=torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9),
        )
        found.append(classifier)
    expected = found[1].state_dict()
    for name, value in found[0].state_dict().items():
        np.testing.assert_allclose(value, expected[name], atol=2e-4 * float(expected[name].abs().max()), err_msg=name)
