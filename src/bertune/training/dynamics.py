"""Training dynamics: what the model said of each row each time it was trained on it.

Rows whose given label the model keeps finding improbable are often labelled wrongly (Swayamdipta et al. 2020, Dataset
Cartography). Their numbers come from evaluations after each epoch; these are of the logits that the training step
computes anyway, with dropout and before the step's update, so they cost nothing.
"""

from dataclasses import dataclass

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
        self.record_values(indices, self.values_of(logits, targets))

    def values_of(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Returns what is recorded of rows with these logits, (rows,) float32."""
        return agreement_of(logits.detach().float(), targets, kind=self.kind)

    def record_values(self, indices: NDArray[np.int64], values: Tensor) -> None:
        """Takes what `values_of` gave."""
        self._indices.append(indices)
        self._values.append(values)

    def end_epoch(self) -> None:
        """Puts the values of the epoch into the rows' order; a row that was not trained on has none (nan)."""
        values = np.full(self._rows, np.nan, dtype=np.float32)
        if self._indices:
            values[np.concatenate(self._indices)] = self._of_epoch().numpy()
        self._epochs.append(values)
        self._indices, self._values = [], []

    def state(self) -> "DynamicsState":
        """Returns all that was recorded, the epoch that is going on included."""
        indices = np.concatenate(self._indices) if self._indices else np.empty(0, np.int64)
        return DynamicsState(torch.from_numpy(self.values), torch.from_numpy(indices), self._of_epoch())

    def _of_epoch(self) -> Tensor:
        """The values of the epoch that is going on, in the order in which they came."""
        # Those of a run that goes on lie in the processor's memory, whatever the device.
        return torch.cat([values.cpu().float() for values in self._values]) if self._values else torch.empty(0)

    def load(self, state: "DynamicsState") -> None:
        """Takes over what an earlier part of the same run recorded."""
        self._epochs = [values.copy() for values in state.epochs.numpy()]
        self._indices = [state.indices.numpy()] if len(state.indices) else []
        self._values = [state.values] if len(state.indices) else []

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
        values = self.values.astype(np.float64)
        # A row whose step was not applied has no value in that epoch.
        counts = np.isfinite(values).sum(axis=0)
        mean = np.where(np.isfinite(values), values, 0).sum(axis=0) / np.maximum(counts, 1)
        order: NDArray[np.int64] = np.argsort(mean if self.kind.has_labels else -mean, kind="stable")
        known: NDArray[np.int64] = order[counts[order] > 0]
        return known[:most]


@dataclass(frozen=True)
class DynamicsState:
    """What was recorded up to a step.

    Args:
        epochs: (epochs, rows) of the epochs that have ended, float32.
        indices: rows that the epoch which is going on has trained on, in its order, int64.
        values: of these rows, float32.
    """

    epochs: Tensor
    indices: Tensor
    values: Tensor
