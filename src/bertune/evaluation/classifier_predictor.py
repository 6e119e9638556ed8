"""Prediction by torch and the compiled kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.logits import ComputeLogits, computed_by, computing_logits
from bertune.models.encoder import computing_in
from bertune.nn.precision import Precision, choose_precision
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer_protocol import Tokenizer

# Whoever keeps a model ready has many texts for it.
_MANY_TOKENS: Final = 1 << 30


@dataclass(frozen=True, eq=False)
class ClassifierPredictor:
    """A `Predictor` of a loaded model.

    Args:
        model: that was loaded.
        precision: in which the layers compute.
        compute: its logits, of a model that is kept ready (see `kept_ready`); None gets it ready for each call.
    """

    model: LoadedModel
    precision: Precision = "fp32"
    compute: ComputeLogits | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return self.model.tokenizer

    @property
    def signature(self) -> ModelSignature:
        """The model's."""
        return self.model.signature

    @property
    def computed_by(self) -> str:
        """In which precision, and by compiled kernels or why not by them."""
        classifier = self.model.classifier
        with computing_in(classifier.encoder, choose_precision(self.precision, classifier.device)):
            return computed_by(classifier)

    def logits(self, encoded: EncodedExamples, *, on_batch: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Computes the logits of examples; see `Predictor`."""
        if self.compute is not None:
            return self.compute(encoded, on_batch=on_batch)
        with kept_ready(self.model, self.precision, tokens=len(encoded.sequences.token_ids)) as ready:
            return ready.logits(encoded, on_batch=on_batch)


@contextmanager
def kept_ready(
    model: LoadedModel, precision: Precision = "fp32", *, tokens: int = _MANY_TOKENS
) -> Iterator[ClassifierPredictor]:
    """Gets a model ready once, for any number of predictions by the thread that enters.

    Args:
        model: in evaluation mode meanwhile, and left as it was found.
        precision: in which the layers compute.
        tokens: about how many are computed in all; laying out the weights is worth it for many.
    """
    classifier = model.classifier
    with (
        computing_in(classifier.encoder, choose_precision(precision, classifier.device)),
        computing_logits(classifier, tokens=tokens) as compute,
    ):
        yield ClassifierPredictor(model, precision, compute)
