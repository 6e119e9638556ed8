"""Training dynamics: what the model said of each row each time it was trained on it.

Rows whose given label the model keeps finding improbable are often labelled wrongly (Swayamdipta et al. 2020, Dataset
Cartography). Their numbers come from evaluations after each epoch; these are of the logits that the training step
computes anyway, with dropout and before the step's update, so they cost nothing.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.data.task_kind import TaskKind
from bertune.nn.losses import agreement_of


class Dynamics:
    """Records how well logits agree with targets, row by row and epoch by epoch.

    Args:
        rows: of the training data.
        kind: what is recorded: the probability of the true label; for multi-label the mean over the labels of the
            probability of each label's true answer; for values the absolute error.
    """

    def __init__(self, rows: int, kind: TaskKind) -> None:
        self.kind = TaskKind(kind)
        self._rows = rows
        self._epochs: list[NDArray[np.float32]] = []
        self._indices: list[NDArray[np.int64]] = []
        self._values: list[Tensor] = []

    def record(self, indices: NDArray[np.int64], logits: Tensor, targets: Tensor) -> None:
        """Takes the logits of a batch; they stay on their device until the epoch ends, so nothing waits for them."""
        self._indices.append(indices)
        self._values.append(agreement_of(logits.detach().float(), targets, kind=self.kind))

    def end_epoch(self) -> None:
        """Puts the values of the epoch into the rows' order; a row that was not trained on has none (nan)."""
        values = np.full(self._rows, np.nan, dtype=np.float32)
        values[np.concatenate(self._indices)] = torch.cat(self._values).cpu().numpy()
        self._epochs.append(values)
        self._indices, self._values = [], []

    @property
    def values(self) -> NDArray[np.float32]:
        """(epochs, rows) what was recorded."""
        return np.stack(self._epochs) if self._epochs else np.empty((0, self._rows), dtype=np.float32)

    @property
    def name(self) -> str:
        """What the values are: `probability` of what is true, or `absolute_error`."""
        return "probability" if self.kind.has_labels else "absolute_error"

    def most_doubtful(self, most: int) -> NDArray[np.int64]:
        """Returns rows whose target the model believed least, averaged over the epochs, the least believed first."""
        mean = self.values.astype(np.float64).mean(axis=0)
        order: NDArray[np.int64] = np.argsort(mean if self.kind.has_labels else -mean, kind="stable")[:most]
        return order
