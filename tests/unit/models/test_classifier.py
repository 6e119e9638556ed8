from typing import Any

import numpy as np
import pytest
import torch

from bertune.batches.batch import pack_padded
from bertune.errors import ConfigError
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder

SIZES = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
LESSON = {
    "input_word_ids": np.array([[2, 7, 3, 9, 3], [2, 8, 3, 0, 0]], np.int32),
    "input_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "input_type_ids": np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], np.int32),
}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_lessons_arrays_and_a_packed_batch_give_the_same_logits(pooling: Any) -> None:
    torch.manual_seed(0)
    classifier, encoder = classifier_model(SIZES, 3, pooling=pooling)
    classifier.eval()
    assert classifier.encoder is encoder
    expected = classifier(pack_padded(LESSON)[0])
    assert expected.shape == (2, 3)
    assert torch.equal(classifier(LESSON), expected)
    assert torch.equal(classifier({name: torch.from_numpy(array) for name, array in LESSON.items()}), expected)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_in_few_shapes_results_and_gradients_are_the_same(pooling: Any) -> None:
    torch.manual_seed(0)
    classifier, _ = classifier_model(SIZES, 3, pooling=pooling)
    classifier.eval()
    shapes = []
    classifier.encoder.layers[0].register_forward_hook(lambda _module, inputs, _out: shapes.append(len(inputs[0])))
    generator = np.random.default_rng(0)
    # The second has a multiple of 64 tokens: no sequence may be empty, so 64 are added. The third is too small.
    for columns in (201, 256, 20):
        batch, _ = pack_padded(
            {
                "input_word_ids": generator.integers(0, 50, (3, columns)),
                "input_mask": np.ones((3, columns), np.int64),
                "input_type_ids": generator.integers(0, 2, (3, columns)),
            }
        )
        found = []
        for compute in (classifier, classifier.in_few_shapes):
            classifier.zero_grad()
            logits = compute(batch)
            logits.square().sum().backward()
            found.append((logits, [p.grad.clone() for p in classifier.parameters() if p.grad is not None]))
        torch.testing.assert_close(found[1], found[0])
    assert shapes == [603, 640, 768, 832, 60, 60]


def test_mean_pooling_builds_no_pooler_and_averages_the_tokens() -> None:
    classifier, encoder = classifier_model(SIZES, 2, pooling="mean")
    classifier.eval()
    assert encoder.pooler is None
    hidden = encoder(LESSON).last_hidden_state
    means = torch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)])
    torch.testing.assert_close(classifier(LESSON), classifier.classifier(means))


def test_dropout_stands_before_the_head_while_training() -> None:
    still = BertConfig.from_dict(SIZES.to_dict() | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    classifier = Classifier(Encoder.from_config(still), 2, dropout=0.5)
    assert not torch.equal(classifier(LESSON), classifier(LESSON))
    classifier.eval()
    assert torch.equal(classifier(LESSON), classifier(LESSON))
    assert Classifier(Encoder.from_config(SIZES), 2).dropout.probability == SIZES.hidden_dropout_prob


@pytest.mark.parametrize(
    ("pooler", "arguments", "message"),
    [
        (True, {"num_labels": 0}, "num_labels must be at least 1"),
        (True, {"num_labels": 2, "pooling": "max"}, "pooling must be"),
        (False, {"num_labels": 2}, "needs an encoder with a pooler"),
        (True, {"num_labels": 2, "dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        (True, {"num_labels": 2, "dropout": float("nan")}, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_a_head_that_cannot_work_is_refused(pooler: bool, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classifier(Encoder.from_config(SIZES, pooler=pooler), **arguments)


def test_a_missing_array_is_named() -> None:
    classifier, _ = classifier_model(SIZES, 2)
    with pytest.raises(ConfigError, match="lack input_type_ids"):
        classifier({name: LESSON[name] for name in ("input_word_ids", "input_mask")})
