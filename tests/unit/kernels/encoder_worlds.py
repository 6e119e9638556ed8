"""Encoders with weights that make every gradient matter, batches, and the modules' answers in float64."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.batches.layout import Layout
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.models.modernbert import ModernBertConfig

VOCABULARY = 60


def sizes(
    hidden: int = 32,
    heads: int = 2,
    intermediate: int = 64,
    layers: int = 2,
    *,
    act: str = "gelu",
    dropout: float = 0.0,
    positions: int = 512,
) -> BertConfig:
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        hidden_act=act,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=positions,
    )


def modern_sizes(
    hidden: int = 32,
    heads: int = 2,
    intermediate: int = 64,
    layers: int = 4,
    *,
    window: int = 8,
    act: str = "gelu",
    dropout: float = 0.0,
    bias: bool = False,
) -> ModernBertConfig:
    """Of ModernBERT: the first and every third layer after it is global."""
    return ModernBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        local_attention=window,
        hidden_act=act,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        mlp_dropout=dropout,
        attention_bias=bias,
        mlp_bias=bias,
        norm_bias=bias,
        pad_token_id=0,
    )


def encoder_of(config: EncoderConfig, seed: int = 0) -> Encoder:
    """Biases and norms are not at their first values, 0 and 1; scores differ enough for attention to choose."""
    torch.manual_seed(seed)
    encoder = Encoder.from_config(config, pooler=False)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "norm.weight" in name:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * 1.5 / parameter.shape[1] ** 0.5)
    return encoder


def batch_of(lengths: list[int], seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    total = sum(lengths)
    return Batch(
        torch.randint(0, VOCABULARY, (total,)),
        torch.randint(0, 2, (total,)),
        torch.cat([torch.arange(length) for length in lengths]),
        Layout(np.array(lengths)),
    )


@dataclass
class Answer:
    """What a pass gives: the hidden states, and the gradients by name."""

    hidden: Tensor
    gradients: dict[str, Tensor]


def by_modules(encoder: Encoder, batch: Batch, g: Tensor, dtype: torch.dtype, *, first_only: bool = False) -> Answer:
    """Autograd through the modules; in float64 it is the truth."""
    return by_modules_in_parts(encoder, [(batch, g)], dtype, first_only=first_only)


def by_modules_in_parts(
    encoder: Encoder, parts: list[tuple[Batch, Tensor]], dtype: torch.dtype, *, first_only: bool = False
) -> Answer:
    """The same for batches whose gradients add up; the hidden states are those of the last."""
    copied = copy.deepcopy(encoder).train()
    if dtype == torch.float64:
        copied = copied.double()
    copied.compute_dtype = dtype
    for batch, g in parts:
        check = copied.embeddings(batch).to(dtype)
        layout = batch.layout if copied.relative is None else copied.relative(batch.layout)
        positions = copied.relative_positions
        shared = {} if positions is None else {"relative": positions(batch.layout, dtype)}
        *below, top = copied.layers_in_order
        for layer in below:
            check = layer(check, layout, **shared)
        hidden = top(check, layout, first_only=first_only, **shared)
        if copied.final_norm is not None:
            hidden = copied.final_norm(hidden.double() if dtype == torch.float64 else hidden.float())
        hidden.backward(g.to(hidden.dtype))
    gradients = {name: parameter.grad for name, parameter in copied.named_parameters() if parameter.grad is not None}
    return Answer(hidden.detach(), gradients)


def native(encoder: Encoder, dtype: torch.dtype = torch.float32, *, in_parts: bool = False) -> KernelPass:
    made = KernelPass(encoder, dtype)
    made.prepare_gradients(in_parts=in_parts)
    return made


def gradients_of(made: KernelPass) -> dict[str, Tensor]:
    """All gradients by name, that of the token table in its full shape."""
    token = made.token_gradient
    assert token is not None
    table = torch.zeros_like(made.encoder.embeddings.token.weight)
    table[torch.from_numpy(token.touched)] = token.values[: len(token.touched)]
    return {**{name: value.clone() for name, value in made.gradients.items()}, "embeddings.token.weight": table}


def by_kernels(
    made: KernelPass, batch: Batch, g: Tensor, *, first_only: bool = False, seed: int | None = None
) -> Answer:
    hidden = made.forward(batch, seed=seed, first_only=first_only, keep=True)
    made.backward(g)
    return Answer(hidden, gradients_of(made))


def distance(got: Tensor, expected: Tensor) -> float:
    """The largest error over the largest number."""
    return float((got.double() - expected.double()).abs().max() / expected.double().abs().max())


def assert_same_bits(first: Answer, second: Answer) -> None:
    assert torch.equal(first.hidden, second.hidden)
    assert first.gradients.keys() == second.gradients.keys()
    for name, value in first.gradients.items():
        assert torch.equal(value, second.gradients[name]), name


def gradient_for(batch: Batch, config: EncoderConfig, *, first_only: bool) -> Tensor:
    """A random gradient of what a pass returns."""
    torch.manual_seed(9)
    return torch.randn(len(batch) if first_only else batch.layout.num_tokens, config.hidden_size)
