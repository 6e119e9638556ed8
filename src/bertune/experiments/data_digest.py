"""Whether training and validation data are those of an interrupted study, sweep or cross-validation."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.training.prepare import PreparedRun


def digest_of_data(run: PreparedRun, *more: NDArray[Any]) -> str:
    """A digest of what is trained and validated on, to tell whether what was interrupted may go on.

    Args:
        run: as it was prepared.
        *more: numbers that it depends on as well.
    """
    digest = hashlib.sha256()
    for numbers in more:
        digest.update(np.ascontiguousarray(numbers).data.cast("B"))
    for dataset in (run.train, run.validation):
        if dataset is None:
            continue
        assert isinstance(dataset, Dataset)
        for array in (
            dataset.encoded.token_ids,
            dataset.encoded.offsets,
            dataset.encoded.first_lengths,
            dataset.targets,
            *(() if dataset.soft is None else (dataset.soft.values,)),
        ):
            digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
