"""One answer for an example that was read in several windows; imports no torch."""

import numpy as np
from numpy.typing import NDArray

from bertune.tokenization.encoded_examples import EncodedExamples


def mean_of_windows(logits: NDArray[np.float32], encoded: EncodedExamples) -> NDArray[np.float32]:
    """Averages the logits of each example's windows, (sequences, labels) to (examples, labels)."""
    if encoded.example_offsets is None:
        return logits
    sums = np.add.reduceat(logits, encoded.first_sequences, axis=0, dtype=np.float64)
    return (sums / encoded.sequence_counts[:, None]).astype(np.float32)
