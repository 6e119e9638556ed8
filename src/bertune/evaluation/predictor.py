"""Protocol of what predicts: a fine-tuned model by torch and the compiled kernels, or an export by another runtime."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer_protocol import Tokenizer


class TokenizedModel(Protocol):
    """What encodes texts as a model was trained: a `Model`, or an `ExportedModel`.

    Example:
        >>> model: bertune.TokenizedModel = bertune.load("runs/questions/model")
        >>> model.tokenizer.digest == model.signature.tokenizer_digest
        True
    """

    @property
    def tokenizer(self) -> Tokenizer:
        """The one that the model was trained with."""

    @property
    def signature(self) -> ModelSignature:
        """Its labels, texts and lengths."""


class Predictor(TokenizedModel, Protocol):
    """What answers encoded texts."""

    @property
    def computed_by(self) -> str:
        """In which precision, and by what, for people to read."""

    def logits(self, encoded: EncodedExamples, *, on_batch: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Computes the logits of examples.

        Args:
            encoded: of any number of examples; one of several windows gets the mean of their logits.
            on_batch: called with the number of examples done in each batch.

        Returns:
            (examples, outputs), in the order of the examples, not yet divided by the signature's temperature.
        """
