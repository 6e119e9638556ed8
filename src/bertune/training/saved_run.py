"""What the files of a run folder hold: `train` writes what is read here."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, Self

from bertune.audit.audit import SplitAudit
from bertune.audit.findings import Finding
from bertune.audit.repeated_texts import Overlap
from bertune.data.held_out import SavedHeldOut
from bertune.data.read_report import ReadReport
from bertune.evaluation.saved_scores import FoldScore, SavedRegression, SavedScores, SavedTeacher
from bertune.system.hinted_values import LEFT_OUT, NOT_EMPTY, MisfitError, Rule, from_json, to_json
from bertune.system.json_file import JsonObject
from bertune.tokenization.long_texts import LongTexts
from bertune.training.advice import Advice
from bertune.training.named_paths import Setting, Settings

_LARGEST: Final = float.fromhex("0x1.fffffep127")
Float32 = Annotated[
    float, Rule(lambda value: abs(value) <= _LARGEST, "is of another kind, or beyond what a model can compute")
]
"""A number that a model could have computed."""

_ROWS: Final = ("validation", "cross_validation", "test")
"""The rows of which a run has scores; of one of them at least."""

Target = str | tuple[str, ...] | Float32
"""What a row truly is, or what is answered: a label, the labels of several, or a value."""


@dataclass(frozen=True)
class SavedSettings:
    """What `run.toml` holds; of the first two a run has one.

    Args:
        train: the settings of `bertune train`.
        sweep: those of `bertune sweep`.
        made_with: the versions and the number of threads that decide the last bits.
    """

    train: Settings | None = None
    sweep: Settings | None = None
    made_with: dict[str, Setting] = field(default_factory=dict)

    @property
    def verb(self) -> Literal["train", "sweep"]:
        """The command that they are of."""
        return "sweep" if self.train is None and self.sweep is not None else "train"

    @property
    def of_verb(self) -> Settings:
        """The settings of that command."""
        return (self.train if self.verb == "train" else self.sweep) or {}


@dataclass(frozen=True, kw_only=True)
class SavedData:
    """What `data.json` holds: what was read from where, the audit, and which rows were held back.

    Args:
        splits: what each split holds; nothing where it was encoded before.
        overlaps: what the splits share.
        findings: what the user should know.
        reports: the account of the read of each split.
        long_texts: of each split how many examples were too long; None in runs from before that was counted.
        held_out: which rows were held back for validation; None where none were.
    """

    splits: dict[str, SplitAudit]
    overlaps: tuple[Overlap, ...] = ()
    findings: tuple[Finding, ...]
    reports: dict[str, ReadReport]
    long_texts: dict[str, LongTexts] | None = field(default=None, metadata=LEFT_OUT)
    held_out: SavedHeldOut | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """What `scores.json` holds: the scores of the weights that were kept, and which ones these are.

    Args:
        trial: of a sweep: the trial that was kept.
        seed: of a study: the seed that was kept.
        average: of a study: how weights were averaged; None where those of one seed were kept.
        seeds: those that were averaged.
        epoch: how many were behind it, a whole number at an epoch's end; None for an average.
        step: how many optimizer steps were behind it; None where there were no evaluations within epochs.
        validation: on the validation rows; None without any.
        cross_validation: with folds: of all training rows, each answered by a model that did not learn from it; the
            model that is kept learned from all of them.
        folds: the same, fold by fold.
        also: on rows that nothing was chosen by, by the name of the split: test, and MNLI's second validation set.
        frozen_features: a regression on them that the model is held against; None where that was not measured.
        tf_idf: one on weighted counts of pieces.
        teacher: the model beside its teacher; None without one.
        advice: what to try instead; None before the run has ended.
        model: digest of the model that the scores are of; None in files of older runs, as for the next.
        weights: digest of its weights alone.
        calibrated_since: whether the model has got another temperature or other thresholds since; not in the file.
    """

    trial: int | None = field(default=None, metadata=LEFT_OUT)
    seed: int | None = field(default=None, metadata=LEFT_OUT)
    average: str | None = field(default=None, metadata=LEFT_OUT)
    seeds: tuple[int, ...] | None = field(default=None, metadata=LEFT_OUT)
    epoch: float | None = field(default=None, metadata=LEFT_OUT)
    step: int | None = field(default=None, metadata=LEFT_OUT)
    validation: SavedScores | None = field(default=None, metadata=LEFT_OUT)
    cross_validation: SavedScores | None = field(default=None, metadata=LEFT_OUT)
    folds: tuple[FoldScore, ...] | None = field(default=None, metadata=LEFT_OUT)
    also: dict[str, SavedScores] = field(default_factory=dict)
    frozen_features: SavedRegression | None = field(default=None, metadata=LEFT_OUT)
    tf_idf: SavedRegression | None = field(default=None, metadata=LEFT_OUT)
    teacher: SavedTeacher | None = field(default=None, metadata=LEFT_OUT)
    advice: tuple[Advice, ...] | None = field(default=None, metadata=LEFT_OUT)
    model: str | None = field(default=None, metadata=LEFT_OUT)
    weights: str | None = field(default=None, metadata=LEFT_OUT)
    calibrated_since: Literal[True] | None = field(default=None, metadata=LEFT_OUT)

    @classmethod
    def from_json(cls, values: JsonObject) -> Self:
        """Takes what a `scores.json` holds.

        Raises:
            MisfitError: names the first entry that is missing or of another kind.
        """
        scored = {
            name: value
            for name, value in values.items()
            if name in _ROWS or (isinstance(value, dict) and "verdict" in value)
        }
        if not scored.keys() & set(_ROWS):
            raise MisfitError("is missing", "validation")
        also = from_json(dict[str, SavedScores], scored)
        read = from_json(cls, {name: value for name, value in values.items() if name not in scored})
        if read.epoch is None and read.average is None:
            raise MisfitError("is missing", "epoch")
        validation, in_folds = also.pop("validation", None), also.pop("cross_validation", None)
        return replace(read, validation=validation, cross_validation=in_folds, also=also)

    def to_json(self) -> JsonObject:
        """Returns what is written to `scores.json`: the entries of `also` stand beside `validation`."""
        found: JsonObject = {}
        for name, value in to_json(self).items():
            found |= value if name == "also" else {name: value}
        # Of several runs the model that is kept is scored on the test rows when all else is written.
        is_of_several = (self.trial, self.seed, self.average) != (None, None, None)
        for name in (*(["test"] if is_of_several else []), "calibrated_since"):
            if name in found:
                found[name] = found.pop(name)
        return found


@dataclass(frozen=True, kw_only=True)
class PlacedRow:
    """A row of the data.

    Args:
        where: file and line; of a folder that was encoded, the number of the example.
        text_a: its first text, or the beginning of it; None where there are no texts.
        text_b: its second text; None where it has one.
    """

    where: str
    text_a: str | None = field(default=None, metadata=LEFT_OUT)
    text_b: str | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, kw_only=True)
class LabelledRow(PlacedRow):
    """A row with what it truly is.

    Args:
        tokens: of its example; None where they were not counted.
        target: what it is.
    """

    tokens: int | None = field(default=None, metadata=LEFT_OUT)
    target: Target

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of a row that may have several.

        Raises:
            TypeError: it has one label, or a value.
        """
        if not isinstance(self.target, tuple):
            raise TypeError(f"{self.where} has no list of labels")
        return self.target


@dataclass(frozen=True, kw_only=True)
class AnsweredRow(LabelledRow):
    """A line of `validation.jsonl`.

    Args:
        logits: of the model that is kept, one a label, or the value.
    """

    tokens: int
    logits: tuple[Float32, ...]


@dataclass(frozen=True, kw_only=True)
class DoubtfulRow(LabelledRow):
    """A line of `doubtful.jsonl`: a training row that was believed least.

    Args:
        probability: that the model gave to its label in each epoch; with folds once, by the model that did not learn
            from the row. None for values.
        absolute_error: of the model's value in each epoch, or once as above; None for labels.
        answer: what the model that did not learn from the row answers; None without folds.
    """

    probability: tuple[float, ...] | None = field(default=None, metadata=LEFT_OUT)
    absolute_error: tuple[float, ...] | None = field(default=None, metadata=LEFT_OUT)
    answer: Target | None = field(default=None, metadata=LEFT_OUT)

    @property
    def of_each_epoch(self) -> tuple[float, ...]:
        """Whichever of the two there is.

        Raises:
            ValueError: there is neither.
        """
        found = self.absolute_error if self.probability is None else self.probability
        if not found:
            raise ValueError(f"{self.where} has neither probability nor absolute_error")
        return found


@dataclass(frozen=True)
class StartEntry:
    """The line of `metrics.jsonl` with which a run starts.

    Args:
        precision: in which the layers compute.
    """

    precision: str


@dataclass(frozen=True)
class StepEntry:
    """A line of `metrics.jsonl`: an optimizer step; see `StepResult`.

    Args:
        step: from 0.
        epoch: from 1.
        loss: mean over the batch.
        learning_rate: of this step.
        gradient_norm: before clipping.
    """

    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class Measured:
    """A metric of an evaluation.

    Args:
        value: of the model.
        baseline: of what always gives the same answer.
    """

    value: float
    baseline: float


@dataclass(frozen=True)
class EvaluationScores:
    """What the validation rows say at an evaluation.

    Args:
        mean_loss: of them.
        metrics: one at least.
    """

    mean_loss: float
    metrics: Annotated[dict[str, Measured], NOT_EMPTY]


@dataclass(frozen=True)
class EpochEntry:
    """A line of `metrics.jsonl`: an epoch; see `EpochResult`.

    Args:
        epoch: from 1.
        train_loss: mean over its examples.
        train_seconds: of its steps.
        examples_per_second: trained.
        is_best: whether it is the best so far.
        validation: None without validation rows.
    """

    epoch: int
    train_loss: float
    train_seconds: float
    examples_per_second: float
    is_best: bool
    validation: EvaluationScores | None = None


@dataclass(frozen=True)
class EvaluationEntry:
    """A line of `metrics.jsonl`: an evaluation, where there may be some within epochs; see `Evaluation`.

    Args:
        step: how many were behind it.
        epoch: how many were behind it.
        train_loss: mean over the examples since the one before.
        is_best: whether it is the best so far.
        validation: what the validation rows say.
    """

    step: int
    epoch: float
    train_loss: float
    is_best: bool
    validation: EvaluationScores


JournalEntry = StartEntry | StepEntry | EvaluationEntry | EpochEntry
_EVENTS: Final[dict[str, type[JournalEntry]]] = {
    "start": StartEntry,
    "step": StepEntry,
    "evaluation": EvaluationEntry,
    "epoch": EpochEntry,
}


@dataclass(frozen=True)
class _Event:
    event: str


def journal_entry(line: JsonObject) -> JournalEntry | None:
    """Returns a line of `metrics.jsonl`; None for an event of which nothing is read.

    Raises:
        MisfitError: names the first entry that is missing or of another kind.
    """
    kind = _EVENTS.get(from_json(_Event, line).event)
    return None if kind is None else from_json(kind, line)
