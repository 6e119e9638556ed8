"""Encoders that the compiled kernels would compute otherwise than their modules do."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.unit.kernels.encoder_worlds import batch_of, encoder_of, sizes
from torch import nn

from bertune.evaluation.logits import predict_logits
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.kernels.layer_kinds import kind_of
from bertune.kernels.supported import check_computable
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.nn.dense import Dense
from bertune.nn.relative_bias import RelativeBias
from bertune.tokenization.encode_texts import EncodedExamples


def layer(encoder: Encoder, index: int = 0) -> nn.Module:
    return encoder.layers[index]


class Adapter(nn.Module):
    """Adds something to a dense layer, as adapters for few weights do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.inner(x)


def adapted(encoder: Encoder) -> None:
    encoder.layers[1].feed_forward.output = Adapter(encoder.layers[1].feed_forward.output)


def shared(encoder: Encoder) -> None:
    encoder.layers[1] = encoder.layers[0]


def enlarged(encoder: Encoder) -> None:
    encoder.embeddings.token = nn.Embedding(100, 32)


def shrunk(encoder: Encoder) -> None:
    encoder.embeddings.position = nn.Embedding(8, 32)


def transposed(encoder: Encoder) -> None:
    weight = encoder.layers[0].attention.output.weight
    weight.data = weight.data.t()


def other_activation(encoder: Encoder) -> None:
    encoder.layers[0].feed_forward.activation = torch.sin


def other_heads(encoder: Encoder) -> None:
    encoder.layers[0].attention.num_heads = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (adapted, "layers.1.feed_forward.output is a Adapter"),
        (shared, "a parameter in two places"),
        (enlarged, "embeddings.token.weight has not the shape"),
        (shrunk, "embeddings.position.weight has not the shape"),
        (transposed, "not all float32"),
        (other_activation, "activation"),
        (other_heads, "heads"),
        (lambda encoder: encoder.double(), "not all float32"),
        (lambda encoder: layer(encoder).register_forward_hook(lambda *_: None), "layers.0 has a hook"),
        (lambda encoder: encoder.register_forward_pre_hook(lambda *_: None), "encoder has a hook"),
        (lambda encoder: layer(encoder).attention.qkv.weight.register_hook(lambda g: 2 * g), "qkv.weight has a hook"),
        (lambda encoder: nn.utils.parametrizations.weight_norm(layer(encoder).attention.output), "layers.0.attention"),
        (lambda encoder: encoder.layers.__delitem__(slice(None)), "no layer"),
    ],
)
def test_an_encoder_that_was_changed_is_computed_by_its_modules(
    change: Callable[[Encoder], object], message: str
) -> None:
    encoder = encoder_of(sizes())
    check_computable(encoder)
    change(encoder)
    with pytest.raises(NoKernelsError, match=message):
        KernelPass(encoder, torch.float32)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((48, 3, 64), r"hidden_size \(48\) is no multiple of 32"),
        ((32, 2, 40), r"intermediate_size \(40\) is no multiple of 32"),
        ((32, 4, 64), r"the size of a head \(8\) is no multiple of 16"),
    ],
)
def test_sizes_that_do_not_fill_vectors_are_computed_by_the_modules(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(NoKernelsError, match=message):
        KernelPass(encoder_of(sizes(*shape)), torch.float32)


@pytest.mark.usefixtures("compiler")
def test_an_encoder_with_fewer_layers_than_its_configuration_is_computed_as_it_is() -> None:
    encoder = encoder_of(sizes(layers=3))
    encoder.layers = encoder.layers[:2]
    batch = batch_of([9, 4])
    expected = encoder.encode(batch)
    torch.testing.assert_close(KernelPass(encoder, torch.float32).forward(batch), expected, rtol=1e-4, atol=1e-5)


def test_prediction_goes_through_modules_that_were_put_in() -> None:
    encoder = encoder_of(sizes())
    classifier = Classifier(encoder, 2, pooling="mean")
    ids = np.arange(1, 13, dtype=np.uint16)
    examples = EncodedExamples(ids, np.array([0, 12]), np.array([12], np.int32), np.zeros(1, bool), 12)
    before = predict_logits(classifier, examples)
    adapted(encoder)
    assert not np.allclose(predict_logits(classifier, examples), before)


def test_a_projection_of_another_size_is_left_to_torch() -> None:
    encoder = Encoder(model_type="electra", vocab_size=50, num_hidden_layers=1)
    check_computable(encoder)
    encoder.embeddings.projection = Dense(128, 128)
    with pytest.raises(NoKernelsError, match=r"embeddings\.projection\.weight has not the shape"):
        KernelPass(encoder, torch.float32)


def test_a_layer_that_no_plan_computes_is_left_to_torch() -> None:
    encoder = encoder_of(sizes())
    encoder.relative = RelativeBias(32, 2)
    check_computable(encoder)
    layer(encoder).attention = Adapter(layer(encoder).attention)
    with pytest.raises(NoKernelsError, match=r"layers\.0\.attention is a Adapter"):
        KernelPass(encoder, torch.float32)
    with pytest.raises(NoKernelsError, match=r"no kernel for a TransformerLayer"):
        kind_of(encoder, layer(encoder))
