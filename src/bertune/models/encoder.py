"""The encoder, built of its family's parts."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from bertune.batches.batch import Batch, pack_padded
from bertune.models.encoder_config import EncoderConfig
from bertune.models.family import Family
from bertune.models.registry import family_named, family_of
from bertune.nn.dense import Table, without_draws
from bertune.nn.embeddings import Embeddings
from bertune.nn.exact_products import fast_float32_products
from bertune.nn.initialization import initialize
from bertune.nn.norm import Norm
from bertune.nn.pooling import Pooler
from bertune.nn.relative_bias import RelativeBias
from bertune.nn.relative_positions import RelativePositions

_LAYER = re.compile(r"layers\.(\d+)\.")


@dataclass(frozen=True)
class EncoderOutput:
    """What the encoder makes of a batch.

    Args:
        last_hidden_state: (tokens, hidden_size) for a packed batch; (rows, columns, hidden_size) for padded arrays,
            with zeros where the mask is 0.
        pooled: (sequences, hidden_size), what the pooler makes of the first token, of BERT tanh of a dense layer on
            [CLS]; None for an encoder without pooler.
    """

    last_hidden_state: Tensor
    pooled: Tensor | None


class Encoder(nn.Module):
    """An encoder, computed on packed tokens: padding is never embedded, multiplied or normalized.

    Args:
        model_type: the family, as in `config.json`.
        sizes: the fields of the family's configuration, of `BertConfig`, by name.
        pooler: whether to have the dense layer on the first token, where the family has one.
        draw: whether to draw new weights; without, the parameters hold nothing sensible until something is restored.

    Raises:
        ConfigError: an unknown family, or sizes that cannot work.

    Example:
        >>> encoder = bertune.Encoder(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> output = encoder(bertune.bert_encode({"text": ["good film", "bad"]}, tokenizer, text_a="text", text_b=None))
        >>> output.pooled.shape
        torch.Size([2, 32])
    """

    def __init__(self, *, model_type: str = "bert", pooler: bool = True, draw: bool = True, **sizes: Any) -> None:
        super().__init__()
        family = family_named(model_type)
        config: EncoderConfig = family.config(**sizes)
        self.config = config
        with without_draws():
            self.embeddings: Embeddings = family.embeddings(config)
            shared = family.relative_positions
            self.relative_positions: RelativePositions | None = None if shared is None else shared(config)
            self.layers = nn.ModuleList(family.layer(config, index) for index in range(config.num_stored_layers))
            self.relative: RelativeBias | None = None if family.relative is None else family.relative(config)
            self.final_norm: Norm | None = None if family.final_norm is None else family.final_norm(config)
            self.pooler: Pooler | None = family.pooler(config) if pooler else None
        # The type in which the layers compute; parameters, norms' statistics, softmax and the head stay fp32.
        self.compute_dtype = torch.float32
        if draw:
            initialize(self, config.initializer_range)

    @classmethod
    def from_config(cls, config: EncoderConfig, *, pooler: bool = True, draw: bool = True) -> Self:
        """Builds an encoder of the given sizes, of the family that they are of."""
        return cls(model_type=family_of(config).model_types[0], pooler=pooler, draw=draw, **config.to_dict())

    @property
    def family(self) -> Family[Any]:
        """The parts list that the encoder was built of, and its names in files."""
        return family_of(self.config)

    @property
    def input_embeddings(self) -> Table:
        """The table of the tokens' vectors."""
        return self.embeddings.token

    @property
    def layers_in_order(self) -> list[nn.Module]:
        """The layers as they compute, one after another; one that shares its weights with itself is there each time."""
        return [*self.layers] * (self.config.num_hidden_layers // len(self.layers))

    @property
    def layer_parameters(self) -> int:
        """Weights that a token meets in the layers; those that layers share count each time."""
        return sum(parameter.numel() for layer in self.layers_in_order for parameter in layer.parameters())

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        return self.input_embeddings.weight.device

    def depth_of(self, parameter: str) -> int:
        """Returns how deep a parameter lies: 0 for embeddings, 1 for the first layer, and so on to the last.

        What all layers take, as relative positions, is as deep as the embeddings. Layers that share their weights are
        one.

        The vectors of distances, which every layer reads, count as embeddings.

        Args:
            parameter: a name from `named_parameters()`. What stands above the layers is as deep as the last.
        """
        if parameter.startswith(("embeddings.", "relative.", "relative_positions.")):
            return 0
        match = _LAYER.match(parameter)
        return len(self.layers) if match is None else int(match[1]) + 1

    def lies_below(self, parameter: str, layers: int) -> bool:
        """Tells whether a parameter is of the embeddings or of the lowest layers.

        What all layers take, as relative positions, counts as embeddings; what stands above the layers is never below.

        Args:
            parameter: a name from `named_parameters()`.
            layers: how many of the lowest.
        """
        if self.depth_of(parameter) == 0:
            return True
        match = _LAYER.match(parameter)
        return match is not None and int(match[1]) < layers

    def forward(self, inputs: Batch | Mapping[str, Any]) -> EncoderOutput:
        """Encodes a packed batch, or the lesson's padded arrays.

        Args:
            inputs: a `Batch`, or a mapping with `input_word_ids`, `input_mask` and `input_type_ids`.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        if isinstance(inputs, Batch):
            return self._encode(inputs)
        batch, shape = pack_padded(inputs, self.device)
        output = self._encode(batch)
        return EncoderOutput(shape.unpack(output.last_hidden_state), output.pooled)

    def encode(self, batch: Batch, *, first_only: bool = False, token_vectors: Tensor | None = None) -> Tensor:
        """Computes the hidden states of a packed batch.

        Args:
            batch: the sequences.
            first_only: whether only the first token of each sequence is wanted. The last layer then computes no other,
                which changes nothing about the first ones.
            token_vectors: (tokens, hidden_size), taken in the place of the token table's rows, for gradients with
                respect to them; the batch's token ids then only have to be valid.

        Returns:
            (tokens, hidden_size), or (sequences, hidden_size) with `first_only`; float32.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        hidden_states, layers = self._below(batch, token_vectors)
        if not layers:
            last = hidden_states[batch.layout.first_tokens] if first_only else hidden_states
        else:
            layout = batch.layout if self.relative is None else self.relative(batch.layout)
            positions = self.relative_positions
            shared = {} if positions is None else {"relative": positions(batch.layout, self.compute_dtype)}
            *below, top = layers
            for layer in below:
                hidden_states = layer(hidden_states, layout, **shared)
            last = top(hidden_states, layout, first_only=first_only, **shared)
        return last.float() if self.final_norm is None else self.final_norm(last.float())

    def _below(self, batch: Batch, token_vectors: Tensor | None) -> tuple[Tensor, list[nn.Module]]:
        """Returns what the first of the layers takes that are to compute, and these."""
        layers = self.layers_in_order
        if batch.lower_states is not None:
            return batch.lower_states, layers[batch.lower_layers :]
        self.embeddings.check_ids(batch)
        return self.embeddings(batch, token_vectors=token_vectors).to(self.compute_dtype), layers

    def _encode(self, batch: Batch) -> EncoderOutput:
        hidden_states = self.encode(batch)
        if self.pooler is None:
            return EncoderOutput(hidden_states, None)
        return EncoderOutput(hidden_states, self.pooler(hidden_states[batch.layout.first_tokens]))


def lower_encoder(encoder: Encoder, layers: int) -> Encoder:
    """Returns embeddings and lowest layers of an encoder as an encoder of their own; both have the same parameters.

    Args:
        encoder: stays as it is.
        layers: how many, from 1 to all.
    """
    lower = copy(encoder)
    lower._modules = dict(encoder._modules)
    lower.config = encoder.config.with_layers(layers)
    lower.layers = nn.ModuleList(encoder.layers[:layers])
    lower.final_norm = lower.pooler = None
    return lower


@contextmanager
def computing_in(encoder: Encoder, dtype: torch.dtype) -> Iterator[None]:
    """Makes the encoder's layers compute in a type, and in what it was before afterwards."""
    before = encoder.compute_dtype
    encoder.compute_dtype = dtype
    try:
        with fast_float32_products() if dtype == torch.float32 else nullcontext():
            yield
    finally:
        encoder.compute_dtype = before
