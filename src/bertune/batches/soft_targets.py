"""What a row should be answered beside its label: probabilities of all labels, or the logits of a teacher."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class SoftRows:
    """The soft targets of the rows of a batch, as tensors.

    Args:
        values: (examples, labels), see `SoftTargets`.
        labelled: (examples,), see there.
    """

    values: Tensor
    labelled: Tensor | None = None


@dataclass(frozen=True)
class SoftTargets:
    """Soft targets of all rows of a data set; the objective says what they are and how they are learned.

    Args:
        values: (examples, labels) float32: probabilities that sum to 1, or the logits of a teacher.
        labelled: (examples,) whether a row has a label of its own, too; None where all rows have one. The class id of a
            row that has none is the teacher's.
    """

    values: NDArray[np.float32]
    labelled: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indices: NDArray[np.int64]) -> "SoftTargets":
        """Picks those of some rows, in the given order."""
        return SoftTargets(self.values[indices], None if self.labelled is None else self.labelled[indices])

    def rows(self, indices: NDArray[np.int64], device: torch.device | str = "cpu") -> SoftRows:
        """Returns those of some rows, on a device."""
        labelled = None if self.labelled is None else torch.from_numpy(self.labelled[indices]).to(device)
        return SoftRows(torch.from_numpy(self.values[indices]).to(device), labelled)
