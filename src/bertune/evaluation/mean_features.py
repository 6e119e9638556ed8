"""What an encoder makes of texts as it is: one vector each, the mean of its tokens."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.batch import Batch, pack
from bertune.batches.sampler import batches_by_tokens
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.encoder import Encoder, computing_in
from bertune.nn.pooling import mean_pool
from bertune.tokenization.encoded_examples import EncodedExamples

_BATCH_TOKENS = 4096
# Laying out the weights takes about as long as it saves in so many tokens.
_LEAST_TOKENS_TO_PREPACK = 2048


def mean_features(encoder: Encoder, encoded: EncodedExamples, *, precision: torch.dtype) -> NDArray[np.float32]:
    """Returns the mean of the last hidden states of each example; of several windows the first alone is read.

    The encoder, its mode and the random state of the process are left as they were.

    Args:
        encoder: on any device.
        encoded: the examples.
        precision: in which the layers compute.

    Returns:
        (examples, hidden_size).
    """
    sequences = encoded.sequences.take(encoded.first_sequences)
    device = encoder.device
    features = np.empty((len(sequences), encoder.config.hidden_size), dtype=np.float32)
    was_training = encoder.training
    encoder.eval()
    try:
        with computing_in(encoder, precision):
            hidden_states = _computation_of(encoder, prepack=len(sequences.token_ids) >= _LEAST_TOKENS_TO_PREPACK)
            with torch.inference_mode():
                for indices in batches_by_tokens(sequences.lengths, _BATCH_TOKENS):
                    batch = pack(sequences, indices, device=device)
                    features[indices] = mean_pool(hidden_states(batch), batch.layout).cpu().numpy()
    finally:
        encoder.train(was_training)
    return features


def _computation_of(encoder: Encoder, *, prepack: bool) -> Callable[[Batch], Tensor]:
    try:
        return KernelPass(encoder, encoder.compute_dtype, prepack=prepack).forward
    except NoKernelsError:
        return encoder.encode
