"""How a student learns from its teacher's logits, beside the labels of its rows."""

import math
from dataclasses import dataclass

from torch import Tensor

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.nn.soft_losses import teacher_divergence


@dataclass(frozen=True)
class Distillation:
    """Knowledge distillation: `mix` T^2 KL(teacher / T || student / T) + (1 - `mix`) loss of the label.

    A row without a label has the first part alone. Both parts are divided by all rows of the batch.

    Args:
        temperature: T, by which the logits of both are divided; values have none.
        mix: weight of the teacher, in [0, 1].

    Raises:
        ConfigError: a temperature that is not above 0, or a weight out of range.

    Source: Hinton, Vinyals and Dean, 2015 (https://arxiv.org/abs/1503.02531), section 2.
    """

    temperature: float
    mix: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"--temperature must be a number above 0, not {self.temperature:g}")
        if not 0 <= self.mix <= 1:
            raise ConfigError(f"--mix is the teacher's share of the loss, from 0 to 1, not {self.mix:g}")

    def loss(
        self, logits: Tensor, teacher: Tensor, of_labels: Tensor, *, kind: TaskKind, total_weight: float | Tensor
    ) -> Tensor:
        """Returns the loss of some rows.

        Args:
            logits: (rows, labels) of the student.
            teacher: the same, of the teacher.
            of_labels: what the labels of these rows add to the loss.
            kind: of the task.
            total_weight: rows of the whole batch.
        """
        taught = teacher_divergence(logits, teacher, kind=kind, temperature=self.temperature)
        return self.mix * taught / total_weight + (1 - self.mix) * of_labels
