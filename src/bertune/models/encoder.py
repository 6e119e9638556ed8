"""The BERT encoder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from bertune.batches.batch import Batch, pack_padded
from bertune.errors import DataError
from bertune.models.encoder_config import BertConfig
from bertune.nn.dense import without_draws
from bertune.nn.embeddings import Embeddings
from bertune.nn.exact_products import fast_float32_products
from bertune.nn.initialization import initialize
from bertune.nn.layer import TransformerLayer
from bertune.nn.pooling import Pooler


@dataclass(frozen=True)
class EncoderOutput:
    """What the encoder makes of a batch.

    Args:
        last_hidden_state: (tokens, hidden_size) for a packed batch; (rows, columns, hidden_size) for padded arrays,
            with zeros where the mask is 0.
        pooled: (sequences, hidden_size), tanh of a dense layer on [CLS]; None for an encoder without pooler.
    """

    last_hidden_state: Tensor
    pooled: Tensor | None


class Encoder(nn.Module):
    """BERT, computed on packed tokens: padding is never embedded, multiplied or normalized.

    Args:
        sizes: the fields of `BertConfig`, by name.
        pooler: whether to have the dense layer on [CLS].
        draw: whether to draw new weights; without, the parameters hold nothing sensible until something is restored.

    Source: Devlin et al., 2018 (https://arxiv.org/abs/1810.04805).

    Example:
        >>> encoder = bertune.Encoder(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> output = encoder(bertune.bert_encode({"text": ["good film", "bad"]}, tokenizer, text_a="text", text_b=None))
        >>> output.pooled.shape
        torch.Size([2, 32])
    """

    def __init__(self, *, pooler: bool = True, draw: bool = True, **sizes: Any) -> None:
        super().__init__()
        config = self.config = BertConfig(**sizes)
        with without_draws():
            self._build(config, pooler=pooler)
        # The type in which the layers compute; parameters, norms' statistics, softmax and the head stay fp32.
        self.compute_dtype = torch.float32
        if draw:
            initialize(self, config.initializer_range)

    def _build(self, config: BertConfig, *, pooler: bool) -> None:
        self.embeddings = Embeddings(
            config.vocab_size,
            config.hidden_size,
            max_positions=config.max_position_embeddings,
            num_types=config.type_vocab_size,
            norm_eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
        )
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.hidden_size,
                config.num_attention_heads,
                config.intermediate_size,
                activation=config.hidden_act,
                hidden_dropout=config.hidden_dropout_prob,
                attention_dropout=config.attention_probs_dropout_prob,
                norm_eps=config.layer_norm_eps,
            )
            for _ in range(config.num_hidden_layers)
        )
        self.pooler = Pooler(config.hidden_size) if pooler else None

    @classmethod
    def from_config(cls, config: BertConfig, *, pooler: bool = True, draw: bool = True) -> Self:
        """Builds an encoder of the given sizes."""
        return cls(pooler=pooler, draw=draw, **config.to_dict())

    def forward(self, inputs: Batch | Mapping[str, Any]) -> EncoderOutput:
        """Encodes a packed batch, or the lesson's padded arrays.

        Args:
            inputs: a `Batch`, or a mapping with `input_word_ids`, `input_mask` and `input_type_ids`.

        Raises:
            DataError: an id, a type or a position that the embeddings do not have.
        """
        if isinstance(inputs, Batch):
            return self._encode(inputs)
        batch, shape = pack_padded(inputs, self.embeddings.token.weight.device)
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
        check_ids(batch, self.config)
        hidden_states = self.embeddings(batch, token_vectors=token_vectors).to(self.compute_dtype)
        for layer in self.layers[:-1]:
            hidden_states = layer(hidden_states, batch.layout)
        last: Tensor = self.layers[-1](hidden_states, batch.layout, first_only=first_only)
        return last.float()

    def _encode(self, batch: Batch) -> EncoderOutput:
        hidden_states = self.encode(batch)
        if self.pooler is None:
            return EncoderOutput(hidden_states, None)
        return EncoderOutput(hidden_states, self.pooler(hidden_states[batch.layout.first_tokens]))


def check_ids(batch: Batch, config: BertConfig) -> None:
    """Refuses ids that would read beyond an embedding table.

    Raises:
        DataError: names the kind of id, its value and the limit.
    """
    if batch.token_ids.device.type != "cpu":
        return  # a check would wait for the device; its kernels assert the bounds themselves
    limits = (
        ("token id", batch.token_ids, config.vocab_size, "the tokenizer does not belong to this encoder"),
        ("token type id", batch.token_type_ids, config.type_vocab_size, "types are 0 for text a and 1 for text b"),
        ("position", batch.position_ids, config.max_position_embeddings, "encode with a smaller max_length"),
    )
    for name, ids, limit, hint in limits:
        low, high = (int(bound) for bound in torch.aminmax(ids))
        if low < 0 or high >= limit:
            wrong = low if low < 0 else high
            raise DataError(f"{name} {wrong} is outside 0..{limit - 1}, the size of this encoder's table", hint=hint)


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
