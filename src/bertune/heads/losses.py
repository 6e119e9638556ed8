"""What training minimizes."""

import torch.nn.functional as F
from torch import Tensor

from bertune.text.task import TaskKind


def loss_of(
    logits: Tensor,
    targets: Tensor,
    *,
    kind: TaskKind,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    total_weight: float | Tensor | None = None,
) -> Tensor:
    """Returns the mean loss of a batch, or what a part of a batch adds to it.

    Args:
        logits: (sequences, labels), or (sequences, 1) for regression.
        targets: (sequences,) class ids; (sequences, labels) of 0 and 1 for multi-label; or (sequences,) values.
        kind: softmax cross-entropy for classes, binary cross-entropy of each label's sigmoid for multi-label, squared
            error for values.
        label_smoothing: share of the target, in [0, 1), that is spread evenly over all classes; for multi-label over
            "has the label" and "has it not".
        class_weights: (labels,). Of classes: each example weighs as much as its class, and the mean is the weighted
            one, as in `torch.nn.CrossEntropyLoss(weight=…)`. Of multi-label: what having the label weighs beside not
            having it, as in `torch.nn.BCEWithLogitsLoss(pos_weight=…)`.
        total_weight: of the whole batch (`weight_of`), where these rows are only a part of it: the parts' losses then
            add up to the loss of the batch, however it is cut. None means that they are all.
    """
    if total_weight is None:
        total_weight = weight_of(targets, kind=kind, class_weights=class_weights)
    if kind == "regression":
        summed = F.mse_loss(logits.squeeze(-1), targets, reduction="sum")
    elif kind == "multi-label":
        smooth = targets.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
        summed = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=class_weights, reduction="sum")
        summed = summed / logits.shape[1]
    else:
        summed = F.cross_entropy(
            logits, targets, weight=class_weights, label_smoothing=label_smoothing, reduction="sum"
        )
    return summed / total_weight


def weight_of(targets: Tensor, *, kind: TaskKind, class_weights: Tensor | None = None) -> float | Tensor:
    """Returns what the losses of these examples are divided by: their number, or with weighted classes their weight."""
    if kind == "classification" and class_weights is not None:
        return class_weights[targets].sum()  # not as a number: a GPU would be waited for
    return float(len(targets))
