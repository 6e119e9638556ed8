"""Whether training and validation data are those of an interrupted study or sweep."""

import hashlib

import numpy as np

from bertune.batches.dataset import Dataset
from bertune.training.prepare import PreparedRun


def digest_of_data(run: PreparedRun) -> str:
    """A digest of what is trained and validated on, to tell whether what was interrupted may go on."""
    digest = hashlib.sha256()
    for dataset in (run.train, run.validation):
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
