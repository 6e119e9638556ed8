"""Makes every number of a report from the files of a run folder."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import bertune
from bertune.audit.findings import Finding
from bertune.checkpoints.receipt import SavedReceipt, Status
from bertune.evaluation.saved_scores import SavedScores
from bertune.experiments.resume_certificate import read_certificate
from bertune.experiments.study_table import EndedStudy
from bertune.reports.answered_rows import answer_numbers
from bertune.reports.curves import curve_numbers
from bertune.reports.kept_evaluations import read_evaluations
from bertune.reports.run_files import RunFiles, read_study
from bertune.reports.run_metrics import (
    AnswerNumbers,
    CountedReceipt,
    DoubtfulNumbers,
    DoubtfulRowMean,
    Level,
    RunMetrics,
    Warned,
)
from bertune.reports.words import constant_answer
from bertune.training.named_paths import Setting, Settings
from bertune.training.saved_run import SavedData
from bertune.wording.counts import counted
from bertune.wording.metric_text import metric_name

MOST_DOUBTFUL: Final = 25
_FEW_ROWS: Final = 100
_FINDINGS: Final = 5
# Findings below this share of the rows are notes.
_FEW_OF_THE_ROWS: Final = 0.01
_OF_LABELS: Final = frozenset({"label_variants", "single_example", "absent_label", "imbalance", "label_shift"})
_WIDTH: Final = 96
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""Of warnings, the gravest first."""


def report_numbers(folder: Path) -> RunMetrics:
    """Returns every number of a run's report.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged.
    """
    run = read_study(folder)
    name = folder.absolute().name
    journals = run.journals or {name: run.journal}
    scores = run.scores
    numbers = RunMetrics(
        run=name,
        reported_by=bertune.__version__,
        made_with=run.settings.made_with,
        settings=run.settings.of_verb,
        command=command_of(run.settings.of_verb, run.settings.verb),
        model=run.signature,
        ended=run.ended,
        of_the_model=run.of_the_model,
        best_epoch=None if scores is None else scores.epoch,
        best_step=None if scores is None else scores.step,
        validation=None if scores is None else scores.validation,
        cross_validation=None if scores is None else scores.cross_validation,
        folds=None if scores is None else scores.folds,
        calibrated_since=scores is not None and bool(scores.calibrated_since),
        also_scored={} if scores is None else scores.also,
        evaluations=read_evaluations(folder),
        frozen_features=None if scores is None else scores.frozen_features,
        tf_idf=None if scores is None else scores.tf_idf,
        teacher=None if scores is None else scores.teacher,
        advice=() if scores is None or scores.advice is None else scores.advice,
        seeds=run.seeds,
        curves=tuple(curve_numbers(each, journal) for each, journal in journals.items()),
        answers=answer_numbers(run.validation, run.signature) if run.validation and run.signature else None,
        calibration=run.calibration,
        doubtful=_doubtful(run),
        receipt=_receipt(run.receipt),
        data=run.data,
        resume=read_certificate(folder),
    )
    return replace(numbers, warnings=tuple(warnings_of(numbers)))


def command_of(settings: Settings, verb: str = "train") -> str:
    """Returns the command that trains with these settings, as a shell takes it, over several lines."""
    lines = [f"bertune {verb}"]
    # Flags that all verbs share come first by their type; a reader looks for the data.
    for name, value in sorted(settings.items(), key=lambda item: item[0] != "data"):
        # Words are given one at a time, the numbers of a range together.
        is_range = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
        given: Sequence[Setting] = value if isinstance(value, list) and not is_range else [value]
        for each in given:
            if each is False:
                continue
            words = [str(word) for word in each] if isinstance(each, list) else [] if each is True else [str(each)]
            flag = shlex.join([f"--{name}", *words])
            if len(lines[-1]) + len(flag) > _WIDTH:
                lines.append("   ")
            lines[-1] += f" {flag}"
    return " \\\n".join(lines)


def warnings_of(numbers: RunMetrics) -> list[Warned]:
    """Returns what the reader of the numbers must know before believing them, the gravest first.

    - `severe`: the model is of no use, or nothing is known of it: collapsed, worse than the baseline, diverged seeds.
    - `caution`: it may be better, or its numbers may say less than they seem to.
    - `note`: good to know; findings in less than 1 % of a split's rows are.
    """
    scores, answers = numbers.judged, numbers.answers
    rows_are = "validation rows" if numbers.cross_validation is None else "training rows"
    warnings: list[Warned] = []
    if not numbers.ended:
        unended = "This run did not end: it was interrupted or killed, and its model is that of an epoch before."
        warnings.append(Warned("severe", unended))
    if not numbers.of_the_model:
        lost = "Scores and validation rows were of other weights than the model's: `bertune evaluate` scores it."
        warnings.append(Warned("severe", lost))
    elif scores is None and "test" not in numbers.also_scored:
        warnings.append(Warned("severe", "There were no validation data: nothing is known about how good it is."))
    warnings += _warnings_of_advice(numbers)
    if scores is not None:
        if scores.is_majority and not any(each.code == "collapsed" for each in warnings):
            collapsed = "This run collapsed: it gives every row the same answer, whatever its metrics say."
            warnings.append(Warned("severe", collapsed))
        name, first = scores.first
        if first.against_baseline != "better":
            is_unclear = first.against_baseline == "unclear"
            found = "no better than" if is_unclear else "worse than"
            told = f"By {metric_name(name)}, this model is {found} {constant_answer(scores.baseline)}."
            warnings.append(Warned("caution" if is_unclear else "severe", told))
        if scores.rows < _FEW_ROWS:
            warnings.append(Warned("caution", f"{scores.rows} {rows_are} are few: the intervals are wide."))
    if answers is not None and scores is not None and answers.rows < scores.rows:
        told = (
            f"Errors and scores by length are of {answers.rows:,} of the {scores.rows:,} validation rows, "
            "evenly spaced over the file."
        )
        warnings.append(Warned("note", told))
    if _decides_otherwise_now(scores, answers):
        told = (
            "The model was recalibrated after training: the metrics are of before, errors and scores by length "
            "and class of the model as it is now. `bertune evaluate` scores it."
        )
        warnings.append(Warned("caution", told))
    warnings += _warnings_of_seeds(numbers.seeds)
    warnings += _warnings_of_data(numbers.data)
    return sorted(warnings, key=lambda each: LEVELS.index(each.level))


def _warnings_of_advice(numbers: RunMetrics) -> list[Warned]:
    """The advice of the run, or of all seeds of a study, as sentences."""
    advice = numbers.advice if numbers.seeds is None else numbers.seeds.summary.advice
    return [
        Warned(
            "severe" if each.code == "collapsed" else "caution",
            f"{each.message[:1].upper()}{each.message[1:]}.",
            code=each.code,
            commands=each.commands,
        )
        for each in advice
    ]


def _warnings_of_data(data: SavedData | None) -> list[Warned]:
    """The findings of the audit; those in few of the rows of their split are notes."""
    if data is None:
        return []
    told = [
        Warned(_level_of(finding, data), f"Data: {finding.message}", of_data=True)
        for finding in data.findings
        if finding.code != "not_audited"
    ]
    told.sort(key=lambda each: LEVELS.index(each.level))
    more = len(told) - _FINDINGS
    if more > 0:
        rest = f"Data: {counted(more, 'more finding')}, in the section on the data."
        return [*told[:_FINDINGS], Warned("note", rest, of_data=True)]
    return told


def _level_of(finding: Finding, data: SavedData) -> Level:
    split = data.splits.get(finding.message.split(":", 1)[0])
    rows = 0 if split is None else split.rows_used
    # What is counted in labels is about all of their rows.
    is_of_rows = finding.code not in _OF_LABELS
    return "note" if is_of_rows and rows and finding.count < _FEW_OF_THE_ROWS * rows else "caution"


def _decides_otherwise_now(scores: SavedScores | None, answers: AnswerNumbers | None) -> bool:
    """Whether the share of rows that are right is not the one that training wrote down, of the same rows."""
    if scores is None or answers is None or answers.rows != scores.rows or answers.overall.value is None:
        return False
    then = next((scores.metrics[name] for name in ("accuracy", "subset_accuracy") if name in scores.metrics), None)
    return then is not None and abs(then.value - answers.overall.value) > 1e-9


def _warnings_of_seeds(seeds: EndedStudy | None) -> list[Warned]:
    if seeds is None:
        return []
    summary = seeds.summary
    told = {each.code for each in summary.advice}
    found = {
        "gave every row the same answer (collapsed)": () if "collapsed" in told else summary.collapsed,
        "diverged": summary.diverged,
    }
    warnings = [
        Warned("severe", f"{len(numbers)} of {len(seeds.results)} seeds {what}: {', '.join(map(str, numbers))}.")
        for what, numbers in found.items()
        if numbers
    ]
    if seeds.is_average:
        averaged = ", ".join(map(str, seeds.model.seeds))
        told_of = (
            f"The model is the average of the seeds {averaged}; the training rows that may be mislabelled are those of "
            f"the best single seed, {summary.best}."
        )
        warnings.append(Warned("note", told_of))
    return warnings


def _doubtful(run: RunFiles) -> DoubtfulNumbers | None:
    if not run.doubtful:
        return None
    rows = [
        DoubtfulRowMean(**vars(row), mean=sum(row.of_each_epoch) / len(row.of_each_epoch))
        for row in run.doubtful[:MOST_DOUBTFUL]
    ]
    return DoubtfulNumbers(
        measure="probability" if rows[0].absolute_error is None else "absolute_error",
        epochs=len(rows[0].of_each_epoch),
        rows=tuple(rows),
        out_of_fold=True if rows[0].answer is not None else None,
    )


def _receipt(receipt: SavedReceipt | None) -> CountedReceipt | None:
    if receipt is None:
        return None
    counts = Counter(tensor.status for tensor in receipt.tensors)
    return CountedReceipt(**vars(receipt), counts={status: counts[status] for status in get_args(Status)})
