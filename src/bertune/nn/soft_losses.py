"""Losses against a distribution: soft labels, and the logits of a teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bertune.data.task_kind import TaskKind


def soft_label_loss(
    logits: Tensor,
    probabilities: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    total_weight: float | Tensor | None = None,
) -> Tensor:
    """Returns the mean cross-entropy of a batch against its soft labels, or what a part of a batch adds to it.

    It is the Kullback-Leibler divergence up to the entropy of the soft labels, which no weight changes. Rows whose
    probability is 1 for one label have the loss of that label, with smoothing and class weights as `loss_of` has them.

    Args:
        logits: (rows, labels).
        probabilities: (rows, labels), each row sums to 1.
        label_smoothing: share of each distribution that is spread evenly over all labels.
        class_weights: (labels,); a row weighs the mean of its labels' weights, by its probabilities.
        total_weight: of the whole batch (`soft_label_weight`); None means that these rows are all.
    """
    if total_weight is None:
        total_weight = soft_label_weight(probabilities, class_weights=class_weights)
    summed = F.cross_entropy(
        logits, probabilities.to(logits.dtype), weight=class_weights, label_smoothing=label_smoothing, reduction="sum"
    )
    return summed / total_weight


def soft_label_weight(probabilities: Tensor, *, class_weights: Tensor | None = None) -> float | Tensor:
    """Returns what the losses of these rows are divided by: their number, or with weighted classes their weight."""
    if class_weights is None:
        return float(len(probabilities))
    return (probabilities @ class_weights).sum()


def teacher_divergence(logits: Tensor, teacher: Tensor, *, kind: TaskKind, temperature: float) -> Tensor:
    """Returns how far a student's answers are from its teacher's, summed over the rows.

    Args:
        logits: (rows, labels) of the student, or (rows, 1) for regression.
        teacher: the same, of the teacher.
        kind: classes have T^2 KL(softmax(teacher / T) || softmax(student / T)), whose gradient does not vanish as T
            grows; several labels the mean over the labels of the same between the two answers to each; values the
            squared error, which has no temperature.
        temperature: T, by which both are divided.

    Source: Hinton, Vinyals and Dean, 2015 (https://arxiv.org/abs/1503.02531), section 2.
    """
    if not kind.has_labels:
        return F.mse_loss(logits, teacher, reduction="sum")
    if kind.has_label_sets:
        # Two answers to each label, yes and no, whose logits are z and 0.
        logits, teacher = (torch.stack([each, torch.zeros_like(each)], dim=-1) for each in (logits, teacher))
    student = F.log_softmax(logits / temperature, dim=-1)
    taught = F.log_softmax(teacher.to(logits.dtype) / temperature, dim=-1)
    summed = F.kl_div(student, taught, reduction="sum", log_target=True) * temperature**2
    return summed / logits.shape[1] if kind.has_label_sets else summed
