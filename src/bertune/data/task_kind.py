"""The kinds of task, as files and flags name them."""

from enum import StrEnum
from typing import Literal, Self

from bertune.errors import ConfigError

TaskKindName = Literal["classification", "multi-label", "regression"]


class TaskKind(StrEnum):
    """What is predicted of an example: one of several labels, any of several labels, or a number.

    A member is the text that files and flags have for it, so that `kind == "regression"` holds. What a kind does
    differently is looked up by it in the room that does it: answers in `evaluation.answers`, losses in `heads.losses`.

    Example:
        >>> bertune.TaskKind("multi-label").has_labels
        True
    """

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi-label"
    REGRESSION = "regression"

    def __repr__(self) -> str:
        return repr(self.value)

    @classmethod
    def of(cls, name: str) -> Self:
        """Returns the kind of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in list(cls):
            raise ConfigError(f"task kind must be one of {', '.join(cls)}, got {str(name)!r}")
        return cls(name)

    @property
    def has_labels(self) -> bool:
        """Whether labels are predicted, not a number."""
        return self is not TaskKind.REGRESSION

    @property
    def has_one_label(self) -> bool:
        """Whether an example has exactly one label."""
        return self is TaskKind.CLASSIFICATION

    @property
    def has_label_sets(self) -> bool:
        """Whether an example has any number of labels."""
        return self is TaskKind.MULTI_LABEL

    def outputs(self, labels: int) -> int:
        """Returns how many numbers a model of so many labels has an example: one a label, or the one value."""
        return labels if self.has_labels else 1
