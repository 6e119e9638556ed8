"""What a run learns: the kind of its targets, the loss it minimizes, and how a model is judged by them."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.dataset import Dataset
from bertune.batches.soft_targets import SoftRows
from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, DataError
from bertune.evaluation.logits import shared_logits
from bertune.evaluation.scores import Scores, Scoring, score
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.nn.losses import loss_of, weight_of
from bertune.nn.soft_losses import soft_label_loss, soft_label_weight
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.distillation import Distillation


@dataclass(frozen=True)
class Objective:
    """The task as training sees it.

    Args:
        kind: of the targets.
        metrics: computed on validation data; the first chooses the best epoch.
        label_names: in the order of the logits; None names them by their numbers.
        target_range: of a regression: predictions are clipped to it before they are scored.
        label_smoothing: see `loss_of`.
        class_weights: see `loss_of`; on the classifier's device.
        distillation: how soft targets are learned, where they are a teacher's logits; None where they are soft labels.
    """

    kind: TaskKind
    metrics: tuple[str, ...]
    label_names: tuple[str, ...] | None = None
    target_range: tuple[float, float] | None = None
    label_smoothing: float = 0.0
    class_weights: Tensor | None = field(default=None, compare=False)
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", TaskKind.of(self.kind))

    @classmethod
    def of(cls, signature: ModelSignature) -> Self:
        """Takes it from what a model's folder will say."""
        return cls(signature.kind, signature.metrics, signature.labels or None, signature.target_range)

    def names_of(self, classifier: Classifier) -> tuple[str, ...]:
        """Returns the names of the labels, or their numbers where they have none."""
        return self.label_names or tuple(str(number) for number in range(classifier.num_labels))

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        soft: SoftRows | None = None,
        total_weight: float | Tensor | None = None,
    ) -> Tensor:
        """Returns the mean loss of a batch, or what a part of a batch adds to it.

        Args:
            logits: see `loss_of`, as for the next.
            targets: of the rows.
            soft: their soft targets: soft labels are learned in the place of the targets, see `soft_label_loss`, and a
                teacher's logits beside them, see `Distillation`.
            total_weight: of the whole batch (`weight`).
        """
        if soft is None:
            return self._loss_of_targets(logits, targets, total_weight)
        if self.distillation is None:
            return soft_label_loss(
                logits,
                soft.values,
                label_smoothing=self.label_smoothing,
                class_weights=self.class_weights,
                total_weight=total_weight,
            )
        if total_weight is None:
            total_weight = self.weight(targets, soft)
        labelled = slice(None) if soft.labelled is None else soft.labelled
        of_labels = self._loss_of_targets(logits[labelled], targets[labelled], total_weight)
        return self.distillation.loss(logits, soft.values, of_labels, kind=self.kind, total_weight=total_weight)

    def _loss_of_targets(self, logits: Tensor, targets: Tensor, total_weight: float | Tensor | None) -> Tensor:
        return loss_of(
            logits,
            targets,
            kind=self.kind,
            label_smoothing=self.label_smoothing,
            class_weights=self.class_weights,
            total_weight=total_weight,
        )

    def weight(self, targets: Tensor, soft: SoftRows | None = None) -> float | Tensor:
        """Returns what the losses of these examples are divided by; see `weight_of` and `soft_label_weight`."""
        if soft is not None and self.distillation is None:
            return soft_label_weight(soft.values, class_weights=self.class_weights)
        return weight_of(targets, kind=self.kind, class_weights=self.class_weights)

    def checked(self, data: Dataset, name: str, classifier: Classifier) -> Dataset:
        """Returns a data set whose targets have the type that the loss takes.

        Args:
            data: with targets.
            name: for messages.
            classifier: to be trained on them, or scored by them.

        Raises:
            ConfigError: there are no targets, or the classifier has not one output a label.
            DataError: there is no example, or a target is not of this kind.
        """
        if data.targets is None:
            raise ConfigError(f"the {name} data have no targets", hint="pass (inputs, labels)")
        if len(data) == 0:
            raise DataError(f"the {name} data hold no example")
        check = {
            TaskKind.CLASSIFICATION: _class_ids,
            TaskKind.MULTI_LABEL: _label_rows,
            TaskKind.REGRESSION: _values,
        }[self.kind]
        if data.soft is not None and data.soft.values.shape[1] != classifier.num_labels:
            raise DataError(
                f"the {name} data have soft targets of {data.soft.values.shape[1]} labels, "
                f"the classifier has {classifier.num_labels}"
            )
        return replace(data, targets=check(data.targets, name, classifier.num_labels))

    def score(
        self,
        classifier: Classifier,
        data: Dataset,
        train_targets: NDArray[Any] | None,
        group: ProcessGroup = ALONE,
    ) -> tuple[Scores, NDArray[np.float32]]:
        """Scores a classifier in fp32, as the saved model is used, so that later evaluation gives these numbers again.

        Args:
            classifier: in any mode.
            data: as `checked` returns it.
            train_targets: what the baseline learns from.
            group: of the processes that share the rows; each gets all scores.

        Returns:
            The scores, and the logits as the classifier gives them.
        """
        assert data.targets is not None
        with computing_in(classifier.encoder, torch.float32):
            logits = shared_logits(classifier, data, group=group)
        scores = score(
            logits if self.target_range is None else np.clip(logits, *self.target_range),
            data.targets,
            Scoring(self.kind, self.metrics, self.label_names),
            train_targets=train_targets,
        )
        return scores, logits


def kind_of(classifier: Classifier, data: Dataset) -> TaskKind:
    """Tells the kind of a task by its targets: rows of 0 and 1, or one number an example.

    With one number, a classifier with one output is a regressor.
    """
    if data.targets is not None and data.targets.ndim == 2:
        return TaskKind.MULTI_LABEL
    return TaskKind.REGRESSION if classifier.num_labels == 1 else TaskKind.CLASSIFICATION


def _class_ids(targets: NDArray[Any], name: str, outputs: int) -> NDArray[Any]:
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        shape = f" of shape {targets.shape}" if targets.ndim != 1 else ""
        raise DataError(f"the {name} data have {targets.dtype} targets{shape}, classes need whole numbers")
    if not 0 <= int(targets.min()) <= int(targets.max()) < outputs:
        raise DataError(
            f"the {name} data have class ids {int(targets.min())}..{int(targets.max())}, "
            f"the classifier has labels 0..{outputs - 1}"
        )
    return targets.astype(np.int64)


def _label_rows(targets: NDArray[Any], name: str, outputs: int) -> NDArray[Any]:
    if targets.ndim != 2 or targets.shape[1] != outputs:
        raise DataError(
            f"the {name} data have targets of shape {targets.shape}, several labels of {outputs} need rows of {outputs}"
        )
    return targets.astype(np.int64)


def _values(targets: NDArray[Any], name: str, outputs: int) -> NDArray[Any]:
    if outputs != 1:
        raise ConfigError(f"a regression needs a classifier with one output, not {outputs}")
    if targets.ndim != 1:
        raise DataError(f"the {name} data have targets of shape {targets.shape}, values need one number an example")
    return targets.astype(np.float32)
