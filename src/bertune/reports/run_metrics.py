"""Every number of a report, with its type: what `metrics.json` holds and the page shows."""

from dataclasses import dataclass, field
from typing import Literal, Self

from bertune.checkpoints.receipt import SavedReceipt
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.saved_calibration import SavedBins, SavedCalibration
from bertune.evaluation.saved_scores import FoldScore, SavedRegression, SavedScores, SavedTeacher
from bertune.experiments.resume_certificate import ResumeCertificate
from bertune.experiments.study_table import EndedStudy
from bertune.reports.kept_evaluations import KeptEvaluation
from bertune.system.hinted_values import LEFT_OUT, from_json, named, to_json
from bertune.system.json_file import JsonObject
from bertune.training.advice import Advice
from bertune.training.named_paths import Setting, Settings
from bertune.training.saved_run import DoubtfulRow, LabelledRow, SavedData, Target

Level = Literal["severe", "caution", "note"]
Measure = Literal["right", "all labels right", "mean absolute error"]


@dataclass(frozen=True)
class Warned:
    """What the reader of the numbers must know before believing them.

    Args:
        level: how grave it is.
        message: a sentence.
        of_data: True where the audit found it, else None.
        code: of the advice that it is; None where it is none.
        commands: of that advice: what to try instead; `try` in the file.
    """

    level: Level
    message: str
    of_data: Literal[True] | None = field(default=None, metadata=LEFT_OUT)
    code: str | None = field(default=None, metadata=LEFT_OUT)
    commands: tuple[str, ...] | None = field(default=None, metadata=LEFT_OUT | named("try"))


@dataclass(frozen=True)
class StepCurves:
    """Numbers over the steps of a run, of which neighbours are put together where they are many.

    Args:
        step: from 0.
        loss: mean over the batch.
        learning_rate: of the step.
        gradient_norm: before clipping.
    """

    step: tuple[float, ...]
    loss: tuple[float, ...]
    learning_rate: tuple[float, ...]
    gradient_norm: tuple[float, ...]


@dataclass(frozen=True)
class EpochPoint:
    """Numbers of an epoch.

    Args:
        epoch: from 1.
        train_loss: mean over its examples.
        is_best: whether it was the best so far.
        last_step: after which it was over: where its scores stand on the axis of the steps; None where it has no step.
        validation_loss: mean on the validation rows; None without such, as for the next two.
        metrics: on the validation rows.
        baseline: of each metric.
    """

    epoch: int
    train_loss: float
    is_best: bool
    last_step: int | None
    validation_loss: float | None = field(default=None, metadata=LEFT_OUT)
    metrics: dict[str, float] | None = field(default=None, metadata=LEFT_OUT)
    baseline: dict[str, float] | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class EvaluationPoint:
    """Numbers of an evaluation.

    Args:
        step: how many were behind it.
        epoch: how many were behind it, a whole number at an epoch's end.
        train_loss: mean over the examples since the one before.
        is_best: whether it was the best so far.
        validation_loss: mean on the validation rows.
        metrics: on the validation rows.
        baseline: of each metric.
    """

    step: int
    epoch: float
    train_loss: float
    is_best: bool
    validation_loss: float
    metrics: dict[str, float]
    baseline: dict[str, float]


@dataclass(frozen=True)
class Scored:
    """What the validation rows said at some place of a run.

    Args:
        epoch: how many were behind it.
        last_step: the one before it, from 0; None where its epoch has no step.
        loss: mean.
        metrics: of the model.
        baseline: of each metric.
    """

    epoch: float
    last_step: int | None
    loss: float
    metrics: dict[str, float]
    baseline: dict[str, float]


@dataclass(frozen=True)
class Curve:
    """How one run went.

    Args:
        name: of the run among others.
        precision: in which the layers computed; None where the journal does not say.
        total_steps: optimizer steps.
        seconds: of all steps.
        examples_per_second: trained; None where no time was taken.
        steps: numbers over the steps.
        epochs: numbers of each epoch.
        evaluations: numbers of each evaluation, where there may be some within epochs, those at their ends included.
    """

    name: str
    precision: str | None
    total_steps: int
    seconds: float
    examples_per_second: float | None
    steps: StepCurves
    epochs: tuple[EpochPoint, ...]
    evaluations: tuple[EvaluationPoint, ...] | None = field(default=None, metadata=LEFT_OUT)

    @property
    def scored(self) -> list[Scored]:
        """What the validation rows said, in the order of the run: at each evaluation, or else at each epoch's end."""
        if self.evaluations is not None:
            return [
                Scored(each.epoch, each.step - 1, each.validation_loss, each.metrics, each.baseline)
                for each in self.evaluations
            ]
        return [
            Scored(each.epoch, each.last_step, each.validation_loss, each.metrics, each.baseline)
            for each in self.epochs
            if each.validation_loss is not None and each.metrics is not None and each.baseline is not None
        ]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are measured together.

    Args:
        label: that all of them have; None where they are told otherwise.
        start: the least number of what they are told by, `from` in the file; None where that is no number.
        end: the greatest, `to` in the file.
        rows: how many.
        value: mean of the measure; None without rows.
        low: lower end of its 95 % interval; None where there is none.
        high: upper end.
    """

    label: str | None = field(default=None, metadata=LEFT_OUT)
    start: float | None = field(default=None, metadata=LEFT_OUT | named("from"))
    end: float | None = field(default=None, metadata=LEFT_OUT | named("to"))
    rows: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ErrorRow(LabelledRow):
    """A row that was answered wrong.

    Args:
        answer: what was answered.
        confidence: the probability that the model gave to its wrong answer; of values the absolute error.
    """

    answer: Target
    # Files keep the name that they had.
    confidence: float = field(metadata=named("sureness"))


@dataclass(frozen=True, kw_only=True)
class AnswerNumbers:
    """Numbers about the answers to single rows.

    Args:
        measure: what `overall`, `by_length` and `by_target` are: the share of rows that are right, for multi-label of
            rows with every label right, for values the mean absolute error.
        by_target: by the true label or value; None for multi-label.
        points: of values, true and predicted ones; None for labels.
        calibration_error: of the probabilities; None for values, as for the next.
        reliability: how often answers are right, by how sure they are.
        rows: that were answered.
        wrong: how many of them wrong; of values, not exactly right.
        overall: all rows.
        by_length: by the number of tokens.
        errors: the most confident wrong answers, the most confident first.
    """

    measure: Measure
    by_target: tuple[Group, ...] | None = field(default=None, metadata=LEFT_OUT)
    points: tuple[tuple[float, float], ...] | None = field(default=None, metadata=LEFT_OUT)
    calibration_error: float | None = field(default=None, metadata=LEFT_OUT)
    reliability: SavedBins | None = field(default=None, metadata=LEFT_OUT)
    rows: int
    wrong: int
    overall: Group
    by_length: tuple[Group, ...]
    errors: tuple[ErrorRow, ...]

    @property
    def is_of_values(self) -> bool:
        """Whether numbers are answered, not labels."""
        return self.measure == "mean absolute error"


@dataclass(frozen=True, kw_only=True)
class DoubtfulRowMean(DoubtfulRow):
    """A training row that was believed little.

    Args:
        mean: over the epochs.
    """

    mean: float


@dataclass(frozen=True)
class DoubtfulNumbers:
    """The training rows that were believed least.

    Args:
        measure: by what.
        epochs: in how many it was measured.
        out_of_fold: whether it was measured once, by models that did not learn from the row; `epochs` is then 1.
        rows: the least believed first.
    """

    measure: Literal["probability", "absolute_error"]
    epochs: int
    rows: tuple[DoubtfulRowMean, ...]
    out_of_fold: bool | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, kw_only=True)
class CountedReceipt(SavedReceipt):
    """What became of every tensor of the checkpoint.

    Args:
        counts: of each fate how many tensors.
    """

    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """What `metrics.json` holds: every number of a run, of a study of seeds or of a sweep.

    What is of the model is None where it was not written, or was of other weights than those that are there.

    Args:
        format_version: of the file.
        run: name of the folder.
        reported_by: the version of bertune that made the report.
        made_with: the versions, and the number of threads, that made the run.
        settings: of the run, by the names of the flags.
        command: that repeats it, as a shell takes it.
        model: its signature; None before the first epoch ended.
        ended: whether the run came to its end.
        resume: that it was proved to go on bit for bit after kills; None where it was not.
        of_the_model: whether scores, validation rows and calibration were those of the model that is there.
        best_epoch: how many were behind the best evaluation, a whole number at an epoch's end; None for an average of
            several seeds.
        best_step: how many were behind it; None where there were no evaluations within epochs.
        validation: scores on the validation rows.
        cross_validation: of a cross-validated run: scores of the training rows, each answered by a model that did not
            learn from it.
        folds: the same, fold by fold.
        calibrated_since: whether the model was recalibrated since.
        also_scored: on rows that nothing was chosen by, by the name of the split.
        evaluations: of `bertune evaluate`.
        frozen_features: a regression on them, which the run is held against.
        tf_idf: one on weighted counts of pieces.
        teacher: the model beside its teacher; None without one.
        advice: what to try instead.
        seeds: all seeds of a study; None for a single run.
        curves: of each run.
        answers: to the validation rows.
        calibration: how temperature and thresholds were found.
        doubtful: training rows that may be mislabelled; None where there are none.
        receipt: what became of the checkpoint.
        data: what was read, and what the audit found.
        warnings: the gravest first.
    """

    format_version: int = 1
    run: str
    reported_by: str
    made_with: dict[str, Setting]
    settings: Settings
    command: str
    model: ModelSignature | None
    ended: bool
    of_the_model: bool
    best_epoch: float | None
    best_step: int | None = field(default=None, metadata=LEFT_OUT)
    validation: SavedScores | None
    cross_validation: SavedScores | None = field(default=None, metadata=LEFT_OUT)
    folds: tuple[FoldScore, ...] | None = field(default=None, metadata=LEFT_OUT)
    calibrated_since: bool
    also_scored: dict[str, SavedScores]
    evaluations: tuple[KeptEvaluation, ...]
    frozen_features: SavedRegression | None
    tf_idf: SavedRegression | None = field(default=None, metadata=LEFT_OUT)
    teacher: SavedTeacher | None = field(default=None, metadata=LEFT_OUT)
    advice: tuple[Advice, ...]
    seeds: EndedStudy | None
    curves: tuple[Curve, ...]
    answers: AnswerNumbers | None
    calibration: SavedCalibration | None
    doubtful: DoubtfulNumbers | None
    receipt: CountedReceipt | None
    data: SavedData | None
    resume: ResumeCertificate | None = field(default=None, metadata=LEFT_OUT)
    warnings: tuple[Warned, ...] = ()

    @classmethod
    def from_json(cls, values: JsonObject) -> Self:
        """Takes what a `metrics.json` holds.

        Raises:
            MisfitError: names the first entry that is missing or of another kind.
        """
        return from_json(cls, values)

    def to_json(self) -> JsonObject:
        """Returns what is written to `metrics.json`."""
        return to_json(self)

    @property
    def scored(self) -> SavedScores | None:
        """The scores that the report is about: validated or cross-validated, else on test rows; None without any."""
        return self.judged or self.also_scored.get("test")

    @property
    def judged(self) -> SavedScores | None:
        """The scores on validation rows, or those of cross-validation; None without either."""
        return self.validation or self.cross_validation

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels, for the names of metrics; empty where they are not known."""
        return () if self.judged is None else self.judged.label_names
