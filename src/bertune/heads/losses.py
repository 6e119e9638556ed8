"""What training minimizes."""

import torch.nn.functional as F
from torch import Tensor

from bertune.text.task import TaskKind


def loss_of(logits: Tensor, targets: Tensor, *, kind: TaskKind, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean loss of a batch.

    Args:
        logits: (sequences, labels), or (sequences, 1) for regression.
        targets: (sequences,) class ids, or values for regression.
        kind: softmax cross-entropy for classes, squared error for values.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
    """
    if kind == "regression":
        return F.mse_loss(logits.squeeze(-1), targets)
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
