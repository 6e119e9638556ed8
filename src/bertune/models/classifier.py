"""The classifier: encoder, pooling, dropout, one dense layer."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bertune.batches.batch import ROW_MULTIPLE, Batch, pack_padded, with_filler
from bertune.batches.layout import Layout
from bertune.errors import ConfigError
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig, Pooling
from bertune.models.registry import family_of
from bertune.nn.dense import Dense, without_draws
from bertune.nn.dropout import Dropout
from bertune.nn.initialization import draw_seed, initialize
from bertune.nn.pooling import mean_pool

# Tokens from which on an eighth more at most are computed when they are rounded up.
_LEAST_TO_ROUND = 8 * ROW_MULTIPLE


class Classifier(nn.Module):
    """Maps texts, as ids, to one logit a label; with one output it is a regressor.

    Args:
        encoder: shared, not copied.
        num_labels: outputs.
        pooling: `cls` is BERT's pooler on [CLS], as in the lesson; `mean` averages all tokens. Of ModernBERT the pooler
            takes either.
        dropout: before the dense layer; None takes the encoder's hidden dropout, as the original does.
        draw: whether to draw new weights for the dense layer.

    Raises:
        ConfigError: no label, a dropout outside of [0, 1), or an encoder without the pooler that the pooling needs.

    Source: tf-models-official, `BertClassifier`; transformers, `BertForSequenceClassification`.

    Example:
        >>> encoder = bertune.Encoder(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        >>> classifier = bertune.Classifier(encoder, num_labels=2).eval()
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> classifier(bertune.bert_encode({"text": ["good film", "bad"]}, tokenizer, text_a="text", text_b=None)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        encoder: Encoder,
        num_labels: int,
        *,
        pooling: Pooling = "cls",
        dropout: float | None = None,
        draw: bool = True,
    ) -> None:
        super().__init__()
        if num_labels < 1:
            raise ConfigError(f"num_labels must be at least 1, not {num_labels}")
        if pooling not in ("cls", "mean"):
            raise ConfigError(f"pooling must be 'cls' or 'mean', not {pooling!r}")
        if encoder.family.knows_pooling(pooling) and encoder.pooler is None:
            raise ConfigError(f"pooling {pooling!r} needs an encoder with a pooler")
        if dropout is not None and not 0 <= dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), not {dropout}")
        self.encoder = encoder
        self.num_labels = num_labels
        self.pooling: Pooling = pooling
        self.dropout = Dropout(encoder.config.head_dropout if dropout is None else dropout)
        with without_draws():
            self.classifier = Dense(encoder.config.hidden_size, num_labels)
        if draw:
            initialize(self.classifier, encoder.config.initializer_range)

    def forward(self, inputs: Batch | Mapping[str, Any]) -> Tensor:
        """Returns logits, (sequences, num_labels), fp32.

        Args:
            inputs: a packed `Batch`, or a mapping with `input_word_ids`, `input_mask` and `input_type_ids`.
        """
        if not isinstance(inputs, Batch):
            inputs, _ = pack_padded(inputs, self.device)
        return self.logits_of(self.encoder.encode(inputs, first_only=self.first_only), inputs.layout)

    def in_few_shapes(self, batch: Batch) -> Tensor:
        """Returns the logits of a packed batch on the processor, computed over a rounded number of tokens.

        The library of matrix products compiles a kernel for each shape it meets, 6 ms for each of a dozen products of a
        layer, and nearly every batch has its own number of tokens. In a small one too much would be filler.
        """
        is_small = batch.layout.num_tokens < _LEAST_TO_ROUND
        if batch.token_ids.device.type != "cpu" or is_small:
            logits: Tensor = self(batch)
            return logits
        filled: Tensor = self(with_filler(batch, ROW_MULTIPLE))
        return filled[:-1]

    @property
    def device(self) -> torch.device:
        """Where the classifier computes."""
        return self.classifier.weight.device

    @property
    def first_only(self) -> bool:
        """Whether the encoder need only give the first token of each sequence."""
        return self.pooling == "cls"

    @property
    def uses_pooler(self) -> bool:
        """Whether the encoder's pooler takes part."""
        return self.encoder.family.knows_pooling(self.pooling)

    def logits_of(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Returns logits from what the encoder made: the pooling, dropout and the dense layer.

        Args:
            hidden: (sequences, hidden_size) of the first tokens with `first_only`; else (tokens, hidden_size).
            layout: where each sequence starts and ends.
        """
        pooled = hidden if self.first_only else mean_pool(hidden, layout)
        if self.uses_pooler:
            assert self.encoder.pooler is not None
            pooled = self.encoder.pooler(pooled)
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


def classifier_model(
    bert_config: EncoderConfig, num_labels: int, *, pooling: Pooling = "cls", seed: int | None = None
) -> tuple[Classifier, Encoder]:
    """Builds a classifier with new weights, and the encoder inside it, into which a checkpoint is restored.

    Args:
        bert_config: the encoder's sizes.
        num_labels: outputs.
        pooling: see `Classifier`. With `mean` the encoder has no pooler where nothing would train it.
        seed: of the new weights; None draws on from torch's generator, a seed leaves that generator as it was.
    """
    classifier, encoder = undrawn_model(bert_config, num_labels, pooling=pooling)
    draw_weights(classifier, seed=seed)
    return classifier, encoder


def undrawn_model(
    bert_config: EncoderConfig, num_labels: int, *, pooling: Pooling = "cls"
) -> tuple[Classifier, Encoder]:
    """Builds the same, its parameters with memory but without values.

    To draw weights that a checkpoint replaces would take most of the time of loading it.
    """
    has_pooler = family_of(bert_config).knows_pooling(pooling)
    encoder = Encoder.from_config(bert_config, pooler=has_pooler, draw=False)
    return Classifier(encoder, num_labels, pooling=pooling, draw=False), encoder


def draw_weights(classifier: Classifier, *, seed: int | None = None, only: Collection[str] | None = None) -> None:
    """Gives a classifier the new weights that `classifier_model` gives it.

    Args:
        classifier: whose parameters are set.
        seed: of the draws; None takes one from torch's default generator.
        only: names of the parameters that are set; None sets all. The others' draws do not change.
    """
    # The seeds that an encoder and a classifier built by hand after `torch.manual_seed(seed)` draw.
    with nullcontext() if seed is None else torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        for prefix, part in (("encoder.", classifier.encoder), ("classifier.", classifier.classifier)):
            names = None if only is None else {name.removeprefix(prefix) for name in only if name.startswith(prefix)}
            initialize(part, classifier.encoder.config.initializer_range, seed=draw_seed(), only=names)
