"""The settings of a run about what its rows are taught beside labels, and about the layers that it starts with."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bertune.data.soft_labels import SoftColumns, soft_columns_in
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError

USUAL_TEMPERATURE: Final = 2.0
USUAL_MIX: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class TeachingSettings:
    """Soft labels, a teacher, and a cut of layers.

    Args:
        soft_labels: columns of probabilities, each with the label that it is of, as COLUMN=LABEL; every label has one,
            and those of a row sum to 1. They are learned in the place of the label; scores go by the column of labels,
            or by the most probable label where there is none.
        keep_layers: numbers of the layers of the model that the run starts with, from 0 and upwards, with commas
            between them; the others are left out, and nothing else. With a teacher and without --model they are the
            teacher's.
        teacher: a run, or a model folder, whose answers are learned beside the labels; bertune distill names it first.
        unlabelled: tables of texts without labels, of which the teacher's answers alone are learned.
        temperature: by which the logits of teacher and student are divided before they are compared; 2 by default.
        mix: the teacher's share of the loss, from 0 to 1; the labels have the rest. 0.9 by default.
    """

    soft_labels: tuple[str, ...] = ()
    keep_layers: str | None = None
    teacher: str | None = None
    unlabelled: tuple[str, ...] = ()
    temperature: float | None = None
    mix: float | None = None

    @property
    def soft_columns(self) -> SoftColumns:
        """The columns of probabilities with their labels."""
        return soft_columns_in(self.soft_labels)

    def layers_kept(self, layers: int) -> tuple[int, ...]:
        """Returns the numbers of the layers to start with.

        Args:
            layers: that the model has.

        Raises:
            ConfigError: one is not there.
        """
        if self.keep_layers is None:
            return tuple(range(layers))
        kept = _numbers(self.keep_layers)
        if kept[-1] >= layers:
            raise ConfigError(
                f"--keep-layers {self.keep_layers}: the model has no layer {kept[-1]}, its {layers} layers are "
                f"numbered 0 to {layers - 1}"
            )
        return kept

    def check_teaching(self, kind: TaskKind, *, task: str | None, relabel: str | None) -> None:
        """Refuses settings that exclude each other.

        Args:
            kind: of the task.
            task: a GLUE task by name, or None.
            relabel: decisions on labels, or None.

        Raises:
            ConfigError: names the flag.
        """
        if self.soft_labels:
            _ = self.soft_columns
            if not kind.has_one_label:
                raise ConfigError("--soft-labels is for one label a row: --kind classification")
            for flag, value, why in (
                ("--task", task, "a GLUE task knows its labels"),
                ("--teacher", self.teacher, "a row is taught by its own probabilities or by a teacher"),
                ("--relabel", relabel, "a decision changes the label of a row and not its probabilities"),
            ):
                if value is not None:
                    raise ConfigError(f"{why}, so --soft-labels and {flag} exclude each other", hint="leave one out")
        if self.keep_layers is not None:
            _numbers(self.keep_layers)

    def check_teacher(self, kind: TaskKind) -> None:
        """Refuses settings about a teacher where there is none; `bertune distill` names it last.

        Args:
            kind: of the task.

        Raises:
            ConfigError: names the flag.
        """
        if self.teacher is None:
            for flag, is_set in (
                ("--unlabelled", bool(self.unlabelled)),
                ("--temperature", self.temperature is not None),
                ("--mix", self.mix is not None),
            ):
                if is_set:
                    raise ConfigError(f"{flag} has no effect without a teacher", hint="name one: bertune distill RUN")
        elif self.temperature is not None and not kind.has_labels:
            raise ConfigError("values are learned without --temperature: it is for the logits of labels")


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ConfigError(
            f"--keep-layers {text}: expected numbers of layers with commas between them", hint="for instance 0,2,4"
        )
    numbers = tuple(map(int, parts))
    if any(second <= first for first, second in pairwise(numbers)):
        raise ConfigError(f"--keep-layers {text}: layers stay in their order, each is named once")
    return numbers
