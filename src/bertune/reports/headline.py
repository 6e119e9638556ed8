"""The top of a report: how good the model is, beside always answering the same, and what to beware of."""

from collections.abc import Sequence

from bertune.evaluation.saved_scores import SavedScores, SavedTeacher
from bertune.experiments.study_table import EndedStudy
from bertune.reports import charts
from bertune.reports.page import code, note, notes, table, warning
from bertune.reports.run_metrics import RunMetrics, Warned
from bertune.reports.words import constant_answer, metric_interval, metric_text
from bertune.wording.markup import Html, element, join
from bertune.wording.metric_text import epoch_text, is_percentage, metric_name


def headline(numbers: RunMetrics) -> list[Html]:
    """Returns the verdict with its picture, and the warnings."""
    severe, others = _warnings(numbers.warnings)
    scores = numbers.scored
    if scores is None:
        return [element("p", "No score", class_="headline"), *severe, *others]
    name, first = scores.first
    spoken = metric_name(name, scores.label_names)
    value, interval = metric_text(name, first.value), metric_interval(name, first.low, first.high)
    sides = {"better": "better than", "unclear": "not clearly different from", "worse": "worse than"}
    against = element("b", sides[first.against_baseline], class_=first.against_baseline)
    always = constant_answer(scores.baseline)
    ends = (0.0, 1.0) if is_percentage(name) or min(first.low, first.baseline) >= 0 else (-1.0, 1.0)
    return [
        *severe,
        element("p", value, " ", element("small", spoken), class_="headline"),
        element(
            "p",
            f"95 % interval {interval}: ",
            against,
            f" {always}, which scores {metric_text(name, first.baseline)}.",
            class_="verdict",
        ),
        charts.strip(
            first.value,
            first.low,
            first.high,
            first.baseline,
            ends,
            lambda number: metric_text(name, number),
            label=f"{spoken} {value}, interval {interval}",
        ),
        *_seeds(numbers.seeds, name),
        *_folds(numbers, name),
        *_measured_on(numbers, scores, name),
        *_beside_teacher(numbers.teacher, scores),
        *others,
    ]


def _warnings(warned: Sequence[Warned]) -> tuple[list[Html], list[Html]]:
    """The severe ones, which stand above the number, and the others, of which notes share a box."""
    boxes = {
        level: [
            warning(level, each.message, *_tried(each.commands or ()))
            for each in warned
            if each.level == level and not each.of_data
        ]
        for level in ("severe", "caution")
    }
    of_data = [element("li", each.message) for each in warned if each.level == "caution" and each.of_data]
    if of_data:
        boxes["caution"].append(warning("caution", "what the audit found in the data", element("ul", *of_data)))
    quiet = [each.message for each in warned if each.level == "note"]
    return boxes["severe"], [*boxes["caution"], *([notes(quiet)] if quiet else [])]


def _tried(commands: Sequence[str]) -> list[Html]:
    """What to try instead, each alternative as it is typed."""
    return [element("p", "Try one of:"), code(join(map(_unbroken, commands), "\n"))] if commands else []


def _unbroken(command: str) -> Html:
    """Keeps each flag with its value on one line."""
    flags = command.replace(" --", "\n--").split("\n")
    return join((element("span", flag, class_="flag") for flag in flags), " ")


def _beside_teacher(teacher: SavedTeacher | None, scores: SavedScores) -> list[Html]:
    """The student beside its teacher: scores, agreement and speed; nothing without a teacher."""
    if teacher is None:
        return []
    name, value = next(iter(teacher.student.items()))
    student_rate, teacher_rate = teacher.student_rows_per_second, teacher.teacher_rows_per_second
    if scores.label_names:
        agreement = ("same answer", f"{100 * teacher.agreement:.1f} %", "")
    else:
        agreement = ("correlation of the values", f"{teacher.agreement:.3f}", "")
    rows = [
        (metric_name(name, scores.label_names), metric_text(name, value), metric_text(name, teacher.teacher[name])),
        agreement,
        ("rows predicted a second", f"{student_rate:,.0f}", f"{teacher_rate:,.0f}"),
    ]
    return [
        element("h3", "Beside its teacher"),
        table([f"on {teacher.rows:,} {teacher.split} rows", "student", "teacher"], rows),
        note(
            f"The student predicts {student_rate / teacher_rate:.2f} times as fast as the teacher, {teacher.name}, "
            "tokenizing included, on the machine that trained it."
        ),
    ]


def _measured_on(numbers: RunMetrics, scores: SavedScores, name: str) -> list[Html]:
    """Says on which rows, and what it is worth on test rows, by which nothing was chosen."""
    when, test = _when(numbers), numbers.also_scored.get("test")
    if numbers.cross_validation is not None:
        return _cross_validated(numbers, numbers.cross_validation, name)
    if numbers.validation is None:
        return [note(f"Measured on {scores.rows:,} test rows{when}, by which nothing was chosen.")]
    told = f"Measured on {scores.rows:,} validation rows{when}, chosen on the same rows: "
    if test is None:
        return [note(f"{told}expect a little less on new ones.")]
    value = metric_text(name, test.metrics[name].value)
    return [note(f"{told}on {test.rows:,} test rows, by which nothing was chosen, it is {value}.")]


def _cross_validated(numbers: RunMetrics, scores: SavedScores, name: str) -> list[Html]:
    """Says whose score it is: of models of fewer rows than the one that is kept."""
    test = numbers.also_scored.get("test")
    since = ", before the model was recalibrated" if numbers.calibrated_since else ""
    told = (
        f"Cross-validated{since}: each of {scores.rows:,} training rows was answered by a model that did not learn "
        "from it. The model kept learned from all of them"
    )
    if test is None:
        return [note(f"{told}; no row was left to score it on.")]
    value = metric_text(name, test.metrics[name].value)
    return [note(f"{told}: on {test.rows:,} test rows, by which nothing was chosen, it is {value}.")]


def _folds(numbers: RunMetrics, metric: str) -> list[Html]:
    """From the worst to the best fold; nothing without folds."""
    if not numbers.folds:
        return []
    values = [fold.metrics[metric] for fold in numbers.folds if metric in fold.metrics]
    ends = f"{metric_text(metric, min(values))} to {metric_text(metric, max(values))}"
    return [element("p", f"{len(numbers.folds)} folds: from {ends}.", class_="verdict")]


def _when(numbers: RunMetrics) -> str:
    """Which weights were measured."""
    since = ", before the model was recalibrated" if numbers.calibrated_since else ""
    if numbers.seeds is not None and numbers.seeds.is_average:
        return f", an average of seeds{since}"
    seed = "" if numbers.seeds is None else f" of seed {numbers.seeds.summary.best}"
    if numbers.best_epoch is None:
        return since
    step = "" if numbers.best_step is None else f" (step {numbers.best_step:,})"
    return f" after epoch {epoch_text(numbers.best_epoch)}{step}{seed}{since}"


def _seeds(seeds: EndedStudy | None, metric: str) -> list[Html]:
    """What all seeds came to; nothing for a single run."""
    if seeds is None:
        return []
    spread = seeds.summary.metrics[metric]
    deviation = "" if spread.std is None else f" \N{PLUS-MINUS SIGN} {metric_text(metric, spread.std)}"
    told = f"{len(seeds.results)} seeds: mean {metric_text(metric, spread.mean)}{deviation}"
    ends = f", from {metric_text(metric, spread.minimum)} to {metric_text(metric, spread.maximum)}."
    return [element("p", told, ends, class_="verdict")]
