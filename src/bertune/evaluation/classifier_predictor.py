"""Prediction by torch and the compiled kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.logits import ComputeLogits, computed_by, computing_logits
from bertune.models.encoder import computing_in
from bertune.nn.precision import Precision, choose_precision
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer_protocol import Tokenizer


@dataclass(frozen=True, eq=False)
class ClassifierPredictor:
    """A `Predictor` of a loaded model.

    Args:
        model: that was loaded.
        precision: in which the layers compute.
        compute: its logits, of a model that is kept ready (see `kept_ready`); None gets it ready for each call.
        ready_by: what a model that is kept ready is computed by; None finds out at each call.
    """

    model: LoadedModel
    precision: Precision = "fp32"
    compute: ComputeLogits | None = None
    ready_by: str | None = None

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
        if self.ready_by is not None:
            return self.ready_by
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
    model: LoadedModel, precision: Precision = "fp32", *, tokens: int | None = None
) -> Iterator[ClassifierPredictor]:
    """Gets a model ready once, for any number of predictions by the thread that enters.

    Args:
        model: in evaluation mode meanwhile, and left as it was found.
        precision: in which the layers compute.
        tokens: see `computing_logits`.
    """
    classifier = model.classifier
    with (
        computing_in(classifier.encoder, choose_precision(precision, classifier.device)),
        computing_logits(classifier, tokens=tokens) as compute,
    ):
        yield ClassifierPredictor(model, precision, compute, computed_by(classifier))
