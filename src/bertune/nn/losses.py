"""What training minimizes."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from bertune.data.task_kind import TaskKind


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
    return _SUMMED[kind](logits, targets, label_smoothing, class_weights) / total_weight


def weight_of(targets: Tensor, *, kind: TaskKind, class_weights: Tensor | None = None) -> float | Tensor:
    """Returns what the losses of these examples are divided by: their number, or with weighted classes their weight."""
    if kind == TaskKind.CLASSIFICATION and class_weights is not None:
        return class_weights[targets].sum()  # not as a number: a GPU would be waited for
    return float(len(targets))


def agreement_of(logits: Tensor, targets: Tensor, *, kind: TaskKind) -> Tensor:
    """Returns how well each row's logits agree with its target, (rows,), for training dynamics.

    Args:
        logits: (rows, labels), or (rows, 1) for regression.
        targets: as for `loss_of`.
        kind: the probability of the true class; for multi-label the mean over the labels of the probability of each
            label's true answer; for values the absolute error.
    """
    return _AGREEMENTS[kind](logits, targets)


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    return F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="sum")


def _binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    smooth = targets.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    summed = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="sum")
    return summed / logits.shape[1]


def _squared_error(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    return F.mse_loss(logits.squeeze(-1), targets, reduction="sum")


_SUMMED: Final = {
    TaskKind.CLASSIFICATION: _cross_entropy,
    TaskKind.MULTI_LABEL: _binary_cross_entropy,
    TaskKind.REGRESSION: _squared_error,
}
_AGREEMENTS: Final[Mapping[TaskKind, Callable[[Tensor, Tensor], Tensor]]] = {
    TaskKind.CLASSIFICATION: lambda logits, ids: torch.softmax(logits, dim=-1).gather(1, ids.unsqueeze(1)).squeeze(1),
    TaskKind.MULTI_LABEL: lambda logits, given: torch.sigmoid(torch.where(given > 0, logits, -logits)).mean(dim=-1),
    TaskKind.REGRESSION: lambda logits, values: (logits.squeeze(-1) - values).abs(),
}
