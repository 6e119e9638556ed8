"""Encoder and training step against transformers: outputs within 1e-5, loss and gradients within 1e-4 relative."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertune.batches.batch import Batch, pack_padded
from bertune.checkpoints.restore import restore
from bertune.fetch.resolve import DEFAULT_MODEL, WHEELS, resolve_model
from bertune.models.bert import BERT, BertConfig
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.nn.losses import loss_of

transformers = pytest.importorskip("transformers", reason="the peer package transformers is not installed")

OUTPUT_TOLERANCE = 1e-5
STEP_TOLERANCE = 1e-4
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def minilm() -> Path:
    wheel = WHEELS[DEFAULT_MODEL]
    if importlib.util.find_spec(wheel.package) is None:
        pytest.skip(f"the peer package {wheel.requirement} is not installed")
    return resolve_model(DEFAULT_MODEL)


def padded_arrays(lengths: list[int], vocab_size: int, seed: int) -> dict[str, Tensor]:
    draw = np.random.default_rng(seed)
    columns = np.arange(max(lengths))
    mask = columns < np.array(lengths)[:, None]
    firsts = draw.integers(1, np.array(lengths) + 1)[:, None]
    arrays = {
        "input_word_ids": np.where(mask, draw.integers(1, vocab_size, mask.shape), 0),
        "input_mask": mask.astype(np.int64),
        "input_type_ids": (mask & (columns >= firsts)).astype(np.int64),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def theirs_of(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "input_ids": arrays["input_word_ids"],
        "attention_mask": arrays["input_mask"],
        "token_type_ids": arrays["input_type_ids"],
    }


def copy_weights(encoder: Encoder, reference: Any) -> None:
    state = reference.state_dict()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.copy_(torch.cat([state[source] for source in BERT.names.stored_names(name)]))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_minilm_gives_the_outputs_of_transformers(minilm: Path, attention: str) -> None:
    reference = transformers.BertModel.from_pretrained(minilm, attn_implementation=attention).eval()
    encoder = Encoder.from_config(BertConfig.from_json_file(minilm / "config.json")).eval()
    restore(encoder, minilm).assert_consumed()
    lengths = [1, 2, 7, 30, 64, 128, 256, 512]
    arrays = padded_arrays(lengths, 30522, seed=0)
    real = arrays["input_mask"].bool()
    with torch.inference_mode():
        expected = reference(**theirs_of(arrays))
        output = encoder(arrays)
    hidden = float((output.last_hidden_state - expected.last_hidden_state)[real].abs().max())
    assert output.pooled is not None
    pooled = float((output.pooled - expected.pooler_output).abs().max())
    print(f"{attention}: last_hidden_state {hidden:.2e}, pooled {pooled:.2e}")
    assert hidden <= OUTPUT_TOLERANCE
    assert pooled <= OUTPUT_TOLERANCE
    assert not output.last_hidden_state[~real].any()


def test_one_training_step_of_minilm_has_the_loss_and_gradients_of_transformers(minilm: Path) -> None:
    reference = transformers.BertForSequenceClassification.from_pretrained(
        minilm, num_labels=2, classifier_dropout=0.0, attn_implementation="eager", **STILL
    ).train()
    config = BertConfig.from_dict(BertConfig.from_json_file(minilm / "config.json").to_dict() | STILL)
    classifier = Classifier(Encoder.from_config(config), 2).train()
    restore(classifier.encoder, minilm)
    arrays = padded_arrays([8, 47, 60, 23, 31, 55, 12, 40], 30522, seed=1)
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    loss, worst = training_step_differences(classifier, reference, arrays, labels)
    print(f"loss {loss:.2e} relative, gradients at most {worst:.2e} relative")
    assert loss <= STEP_TOLERANCE
    assert worst <= STEP_TOLERANCE


def training_step_differences(
    classifier: Classifier, reference: Any, arrays: dict[str, Tensor], labels: Tensor, *, floor: float = 0.0
) -> tuple[float, float]:
    """Relative differences of the loss, and of each tensor's gradient (the largest of them).

    A gradient is measured by its tensor's norm, but at least by `floor` times the norm of the whole gradient: where a
    sequence has one token, queries and keys have no gradient but rounding.
    """
    with torch.no_grad():
        classifier.classifier.weight.copy_(reference.classifier.weight)
        classifier.classifier.bias.copy_(reference.classifier.bias)
    loss = loss_of(classifier(arrays), labels, kind="classification")
    loss.backward()  # type: ignore[no-untyped-call]
    expected = reference(**theirs_of(arrays), labels=labels).loss
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    differences = []
    whole = torch.sqrt(sum((gradient.double() ** 2).sum() for gradient in gradients.values() if gradient is not None))
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        if name.startswith("encoder."):
            sources = BERT.names.stored_names(name.removeprefix("encoder."))
            parts = parameter.grad.chunk(len(sources))
        else:
            sources, parts = (name,), (parameter.grad,)
        for source, part in zip(sources, parts, strict=True):
            theirs = gradients.pop(source if source.startswith("classifier") else "bert." + source)
            # The key's bias has no gradient but rounding either: softmax does not see what all keys share.
            share = 1.0 if source.endswith("key.bias") else floor
            scale = max(float(theirs.norm()), share * float(whole))
            differences.append(float((part - theirs).norm()) / scale)
    assert gradients == {}, "every parameter of the reference was compared"
    return abs(float(loss.detach()) / float(expected.detach()) - 1), max(differences)


@given(
    layers=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    head_size=st.sampled_from([4, 8]),
    intermediate=st.sampled_from([8, 40]),
    activation=st.sampled_from(["gelu", "gelu_new"]),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_encoders_of_any_size_equal_transformers_in_outputs_and_gradients(
    layers: int, heads: int, head_size: int, intermediate: int, activation: str, lengths: list[int], seed: int
) -> None:
    sizes: dict[str, Any] = {
        "vocab_size": 50,
        "hidden_size": heads * head_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        "hidden_act": activation,
        "max_position_embeddings": 20,
        "initializer_range": 0.2,
        **STILL,
    }
    torch.manual_seed(seed)
    config = transformers.BertConfig(**sizes, num_labels=3, classifier_dropout=0.0, attn_implementation="eager")
    reference = transformers.BertForSequenceClassification(config).train()
    # Biases and norms start at 0 and 1, which would hide a mistake in them.
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    classifier = Classifier(Encoder.from_config(BertConfig.from_dict(config.to_dict())), 3).train()
    copy_weights(classifier.encoder, reference.bert)
    arrays = padded_arrays(lengths, 50, seed)
    labels = torch.arange(len(lengths)) % 3
    loss, worst = training_step_differences(classifier, reference, arrays, labels, floor=0.01)
    assert loss <= STEP_TOLERANCE
    assert worst <= STEP_TOLERANCE
    batch, shape = pack_padded(arrays)
    with torch.inference_mode():
        expected = reference.bert(**theirs_of(arrays))
        output = classifier.encoder(batch)
    assert isinstance(batch, Batch)
    rectangle = shape.unpack(output.last_hidden_state)
    real = arrays["input_mask"].bool()
    torch.testing.assert_close(rectangle[real], expected.last_hidden_state[real], rtol=0, atol=OUTPUT_TOLERANCE)
    torch.testing.assert_close(output.pooled, expected.pooler_output, rtol=0, atol=OUTPUT_TOLERANCE)


def test_a_mask_with_holes_gives_the_outputs_of_transformers() -> None:
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    reference = transformers.BertModel(transformers.BertConfig(**config.to_dict(), attn_implementation="eager")).eval()
    encoder = Encoder.from_config(config).eval()
    copy_weights(encoder, reference)
    arrays = padded_arrays([9, 9, 9], 50, seed=3)
    arrays["input_mask"] = torch.tensor(
        [[1, 0, 1, 1, 0, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0, 1]]
    )
    with torch.inference_mode():
        expected, output = reference(**theirs_of(arrays)), encoder(arrays)
    real = arrays["input_mask"].bool()
    difference = (output.last_hidden_state - expected.last_hidden_state)[real].abs().max()
    assert float(difference) <= OUTPUT_TOLERANCE
