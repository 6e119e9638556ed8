"""Everything that the rest of a training needs: as tensors, and as plain values.

No state of a random generator is among it: the order of the examples follows from seed and epoch, dropout from seed and
step, and the position is a number, so that nothing is replayed.
"""

from dataclasses import dataclass

from torch import Tensor

from bertune.training.dynamics import DynamicsState
from bertune.training.history import History


@dataclass(frozen=True)
class FittingState:
    """The state of a training at the boundary between two steps.

    Args:
        step: optimizer steps that are behind, those that were not applied included.
        epoch: epochs that are behind, their evaluation included.
        is_evaluated: whether an evaluation is the last thing that happened.
        epoch_seconds: how long the steps of the epoch that is going on have taken.
        micro_batch_size: examples at a time; 0 for the whole batch. Less than the settings say where memory ended.
        not_applied: of the steps just before this one that were not applied, what was not finite.
        settled: steps whose weight decay the rows have that the token table of the run leaves out.
        weights: of the classifier by name, float32.
        moments: m and v of each parameter that was updated, by name.
        step_count: steps that the optimizer has counted.
        best_weights: of the best evaluation; None where there is none yet, or it has just ended an epoch: then they are
            `weights`.
        history: steps, evaluations and epochs so far.
        dynamics: what was recorded of the training rows; None where nothing is.
    """

    step: int
    epoch: int
    is_evaluated: bool
    epoch_seconds: float
    micro_batch_size: int
    not_applied: tuple[str, ...]
    settled: int
    weights: dict[str, Tensor]
    moments: dict[str, tuple[Tensor, Tensor]]
    step_count: int
    best_weights: dict[str, Tensor] | None
    history: History
    dynamics: DynamicsState | None
