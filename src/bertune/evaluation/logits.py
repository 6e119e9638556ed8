"""Logits for many examples, in the order they came."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.batch import Batch, pack
from bertune.batches.dataset import Dataset, Inputs, as_dataset
from bertune.batches.sampler import batches_by_tokens, shares_by_tokens
from bertune.evaluation.windows import mean_of_windows
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass, require_kernels
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.nn.precision import name_of
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.tokenization.encoded_examples import EncodedExamples

# Enough tokens to keep the matrix products busy, few enough for their activations to stay near the processor.
_BATCH_TOKENS = 4096
# A GPU has more to keep busy, and each batch's logits are waited for.
_GPU_BATCH_TOKENS = 16384
# Laying out the weights takes about as long as it saves in so many tokens, whatever the size of the encoder.
_LEAST_TOKENS_TO_PREPACK = 2048


def predict_logits(
    classifier: Classifier,
    data: Dataset | Inputs,
    *,
    batch_tokens: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Returns the logits of all examples.

    Sequences of similar length are computed together; the result does not depend on it beyond rounding. An example of
    several windows has the mean of their logits. The classifier is in evaluation mode meanwhile and is left as it was
    found.

    Args:
        classifier: the model.
        data: examples in any form `as_dataset` takes; targets are not looked at.
        batch_tokens: tokens computed at a time; None is 4096, and 16384 on a GPU.
        on_batch: called with the number of examples done in each batch, each with its first window.

    Returns:
        (examples, labels), fp32, in input order.

    Example:
        >>> model = bertune.load("runs/questions/model")
        >>> encoded = bertune.encode_examples(["good film", "bad"], ["nice film", "sad"], model.tokenizer, 128)
        >>> bertune.predict_logits(model.classifier, encoded).shape
        (2, 2)
    """
    return shared_logits(classifier, data, batch_tokens=batch_tokens, on_batch=on_batch)


def shared_logits(
    classifier: Classifier,
    data: Dataset | Inputs,
    *,
    batch_tokens: int | None = None,
    on_batch: Callable[[int], None] | None = None,
    group: ProcessGroup = ALONE,
) -> NDArray[np.float32]:
    """Does what `predict_logits` does, each batch in one of several processes; all of them get all logits.

    The batches are those of one process, so that the numbers are too.

    Args:
        classifier: the same in all processes, as the next two.
        data: see `predict_logits`, as for the next two.
        batch_tokens: computed at a time.
        on_batch: called in the process that computes the batch.
        group: of the processes.
    """
    encoded = as_dataset(data).encoded
    with computing_logits(classifier, tokens=len(encoded.sequences.token_ids), group=group) as compute:
        return compute(encoded, batch_tokens=batch_tokens, on_batch=on_batch)


class ComputeLogits(Protocol):
    """Computes the logits of examples; see `predict_logits`."""

    def __call__(
        self,
        encoded: EncodedExamples,
        *,
        batch_tokens: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Computes (examples, labels), fp32, in input order."""


@contextmanager
def computing_logits(
    classifier: Classifier, *, tokens: int | None, group: ProcessGroup = ALONE
) -> Iterator[ComputeLogits]:
    """Gets a classifier ready once, for the logits of any number of examples in turn.

    What comes of some examples does not depend on those before.

    Args:
        classifier: the model; in evaluation mode meanwhile and left as it was found.
        tokens: about how many are computed in all; laying out the weights is worth it for many. None for requests
            without end, of few tokens each: float32 weights, which are kept twice then, are laid out too.
        group: of the processes that compute a share of the batches each, and all get all logits.
    """
    # In batches of thousands of tokens float32 products are as fast from weights as they lie.
    is_float32 = classifier.encoder.compute_dtype == torch.float32
    prepack = tokens is None or (tokens >= _LEAST_TOKENS_TO_PREPACK and not is_float32)
    compute = _computation_of(classifier, prepack=prepack)
    # In the products of `fit` and of the command line: whoever asks, the same model gives the same bits.
    computing = computing_in(classifier.encoder, classifier.encoder.compute_dtype)

    def logits_of(
        encoded: EncodedExamples,
        *,
        batch_tokens: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        sequences = encoded.sequences
        begins_example = np.zeros(len(sequences), bool)
        begins_example[encoded.first_sequences] = True
        device = classifier.device
        if batch_tokens is None:
            batch_tokens = _BATCH_TOKENS if device.type == "cpu" else _GPU_BATCH_TOKENS
        logits = np.zeros((len(sequences), classifier.num_labels), dtype=np.float32)
        for indices in batches_of_share(sequences.lengths, batch_tokens, group):
            logits[indices] = compute(pack(sequences, indices, device=device)).cpu().numpy()
            if on_batch is not None:
                on_batch(int(begins_example[indices].sum()))
        # As whole numbers: each is that of one process beside zeros, and none is rounded.
        group.add_up([torch.from_numpy(logits.view(np.int32))])
        return mean_of_windows(logits, encoded)

    with evaluating(classifier), torch.inference_mode(), computing:
        yield logits_of


def batches_of_share(lengths: NDArray[np.int64], max_tokens: int, group: ProcessGroup) -> Iterator[NDArray[np.int64]]:
    """Gives those of `batches_by_tokens` that this process computes."""
    batches = list(batches_by_tokens(lengths, max_tokens))
    tokens = np.array([lengths[indices].sum() for indices in batches])
    for place in shares_by_tokens(tokens, group.size)[group.rank]:
        yield batches[place]


def computed_by(classifier: Classifier) -> str:
    """Says how `predict_logits` computes: in which precision, and by compiled kernels or why not by them."""
    encoder = classifier.encoder
    try:
        require_kernels(encoder, encoder.compute_dtype)
    except NoKernelsError as reason:
        return f"{name_of(encoder.compute_dtype)}, torch operators: {reason}"
    return f"{name_of(encoder.compute_dtype)}, compiled kernels"


def _computation_of(classifier: Classifier, *, prepack: bool) -> Callable[[Batch], Tensor]:
    """Returns what maps a batch to logits: compiled kernels where they can be had, else the modules themselves."""
    try:
        native = KernelPass(classifier.encoder, classifier.encoder.compute_dtype, prepack=prepack)
    except NoKernelsError:
        return classifier.in_few_shapes
    first_only = classifier.first_only
    return lambda batch: classifier.logits_of(native.forward(batch, first_only=first_only), batch.layout)


@contextmanager
def evaluating(classifier: Classifier) -> Iterator[None]:
    """Switches dropout off, and back to what it was."""
    was_training = classifier.training
    classifier.eval()
    try:
        yield
    finally:
        classifier.train(was_training)
