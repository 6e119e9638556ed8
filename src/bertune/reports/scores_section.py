"""The scores: every metric with its interval, each label, which labels are confused, predicted beside true values."""

from collections.abc import Mapping, Sequence
from typing import Final

from bertune.evaluation.saved_scores import SavedScores
from bertune.evaluation.score_parts import Baseline, LabelScore, MetricScore
from bertune.reports.charts import Axes, intervals, no_numbers, scatter
from bertune.reports.comparison_text import difference_text
from bertune.reports.folds_section import folds_section
from bertune.reports.kept_evaluations import CHOSEN_ON, KeptEvaluation
from bertune.reports.page import figure, grid, note, scrolling, section, table
from bertune.reports.run_metrics import AnswerNumbers, Group, Measure, RunMetrics
from bertune.reports.words import metric_interval, metric_text, name_of, percent, short
from bertune.wording.counts import counted
from bertune.wording.markup import Html, element
from bertune.wording.metric_text import interval_methods, is_percentage, loss_text, metric_name

_BASELINE: Final = {"majority": "the majority", "mean": "the mean", "constant": "by the label counts"}
_MOST_LABELS_IN_MATRIX: Final = 12
_LOSS: Final = {
    "classification": "Mean cross entropy",
    "multi-label": "Mean binary cross entropy of a label",
    "regression": "Mean squared error",
}
_MEASURES: Final[Mapping[Measure, str]] = {
    "right": "Share of rows answered right",
    "all labels right": "Share of rows with every label right",
    "mean absolute error": "Mean absolute error",
}
_ACCENT: Final = "0,114,178"
# At most so opaque, so that dark letters on it can be read in light and light ones in dark.
_DEEPEST: Final = 0.5


def scoring(numbers: RunMetrics) -> list[Html]:
    """Returns the sections on scores; nothing where there are none."""
    side_by_side = beside(numbers)
    scores = numbers.scored
    if scores is None:
        return [section("scores", "Scores", *side_by_side)] if side_by_side else []
    labels = scores.label_names
    rows = [
        [
            metric_name(name, labels),
            metric_text(name, metric.value),
            metric_interval(name, metric.low, metric.high),
            metric_text(name, metric.baseline),
            element("span", metric.against_baseline, class_=metric.against_baseline),
        ]
        for name, metric in scores.metrics.items()
    ]
    content = [
        table(["metric", "value", "95 % interval", "baseline", "against it"], rows),
        note(
            f"{_methods(scores)} {_LOSS[scores.task_kind]} "
            f"{loss_text(scores.mean_loss)}. The baseline is {_BASELINE[scores.baseline.kind]} of "
            f"{'the training data' if scores.baseline.source == 'training data' else 'these rows'}."
            f"{_caution(scores.baseline)}"
        ),
    ]
    content += _simple_baselines(numbers, labels) + side_by_side
    tables = [_matrix(labels, scores)] if scores.confusion or scores.confusion_cells else []
    if scores.labels:
        tables.append(_by_label(scores.labels))
    if tables:
        content.append(element("div", *tables, class_="columns"))
    return [section("scores", "Scores", *content), *folds_section(numbers), *_rows_by(numbers.answers)]


def _methods(scores: SavedScores) -> str:
    """How the intervals were found and what "against it" tells; scores of older runs do not say the first."""
    methods = {name: metric.method or "" for name, metric in scores.metrics.items()}
    samples = scores.bootstrap_samples
    if "" in methods.values():
        return f"Intervals: {samples:,} bootstrap samples of the {scores.rows:,} rows."
    told = interval_methods(methods, samples, labels=scores.label_names)
    return f"Intervals: {told}. Model and baseline are compared on the same rows, which their intervals do not tell."


def _caution(baseline: Baseline) -> str:
    """A sentence, where the baseline is not the best constant answer here."""
    return f" {baseline.caution}." if baseline.caution else ""


def _simple_baselines(numbers: RunMetrics, labels: Sequence[str]) -> list[Html]:
    """What a regression of seconds gives, and the model beside it; nothing where that was not measured."""
    rows = []
    for found in filter(None, (numbers.tf_idf, numbers.frozen_features)):
        name, value = next(iter(found.metrics.items()))
        row: list[str] = [found.name, metric_name(name, labels), metric_text(name, value)]
        if found.beside is not None:
            compared = found.beside
            points = " points" if is_percentage(name) else ""
            difference, low, high = (
                difference_text(name, each)
                for each in (compared.model - compared.baseline, compared.low, compared.high)
            )
            row += [metric_text(name, compared.model), f"{difference}{points} ({low} to {high})"]
        rows.append([*row, *[""] * (5 - len(row)), f"{found.rows_trained:,}", f"{found.rows_scored:,}"])
    if not rows:
        return []
    head = ["baseline", "metric", "its value", "this model", "difference (95 %)", "fitted on rows", "scored on rows"]
    return [
        element("h3", "Beside simple baselines"),
        table(head, rows),
        note(
            "Both answer the same validation rows, on which the best evaluation was chosen. Frozen features are those "
            "of the encoder before training; TF-IDF knows no encoder."
        ),
    ]


def beside(numbers: RunMetrics) -> list[Html]:
    """Returns the scores of all rows that were scored, side by side; nothing where there are those of one set only."""
    columns: list[tuple[str, str, SavedScores]] = []
    if numbers.validation is not None:
        columns.append(("validation", CHOSEN_ON["validation"], numbers.validation))
    if numbers.cross_validation is not None:
        columns.append(("cross-validation", CHOSEN_ON["cross-validation"], numbers.cross_validation))
    columns += [(name_of(name), CHOSEN_ON[""], scores) for name, scores in numbers.also_scored.items()]
    current = [entry for entry in numbers.evaluations if not entry.stale]
    columns += [(_evaluated(entry), CHOSEN_ON.get(entry.seen_as, CHOSEN_ON[""]), entry.scores) for entry in current]
    stale = len(numbers.evaluations) - len(current)
    told = []
    if stale:
        earlier = counted(stale, "earlier evaluation is", "earlier evaluations are")
        told.append(note(f"{earlier} of another model than this run has now."))
    if len(columns) < 2 and not current:
        return told
    labels = columns[0][2].label_names
    names = list(dict.fromkeys(name for _, _, scores in columns for name in scores.metrics))
    rows = [
        [metric_name(name, labels), *(_with_interval(name, scores.metrics.get(name)) for *_, scores in columns)]
        for name in names
    ]
    rows.append(["rows", *(f"{scores.rows:,}" for *_, scores in columns)])
    rows.append(["", *(chosen for _, chosen, _ in columns)])
    return [
        element("h3", "Side by side"),
        table(["metric", *(name for name, *_ in columns)], rows),
        note("Rows that something was chosen on, or trained on, look better than new ones."),
        *told,
    ]


def _evaluated(entry: KeptEvaluation) -> str:
    """Names the rows of an evaluation: the last two parts of the path, and the split."""
    parts = [part for part in entry.data.split("/") if part]
    return name_of("/".join(parts[-2:])) + (f", {entry.split}" if entry.split else "")


def _with_interval(name: str, metric: MetricScore | None) -> str:
    if metric is None:
        return ""
    return f"{metric_text(name, metric.value)} ({metric_interval(name, metric.low, metric.high)})"


def _matrix(labels: Sequence[str], scores: SavedScores) -> Html:
    heading = element("h3", "Confusion: true label by row, answered label by column")
    if len(labels) > _MOST_LABELS_IN_MATRIX:
        return element("div", heading, _most_confused(scores))
    names = [name_of(label) for label in labels]
    head = element("tr", element("th", "true \\ answered"), *(element("th", name, class_="number") for name in names))
    body = []
    for name, counts in zip(names, scores.confusion, strict=True):
        total = max(sum(counts), 1)
        cells = [
            element(
                "td",
                f"{count:,}",
                style=f"background:rgba({_ACCENT},{_DEEPEST * count / total:.2f})",
                title=f"{percent(count / total)} of the rows that are {name!r}",
            )
            for count in counts
        ]
        body.append(element("tr", element("th", name), *cells))
    matrix = element("table", element("thead", head), element("tbody", *body), class_="matrix")
    return element("div", heading, scrolling(matrix))


def _most_confused(scores: SavedScores) -> Html:
    labels = scores.labels
    cells = scores.confusion_cells or [
        (row, column, count)
        for row, counts in enumerate(scores.confusion)
        for column, count in enumerate(counts)
        if count
    ]
    pairs = [
        (count, max(labels[row].support, 1), labels[row].label, labels[column].label)
        for row, column, count in cells
        if row != column
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [[name_of(true), name_of(told), f"{n:,}", percent(n / total)] for n, total, true, told in pairs[:20]]
    told = note(f"Of {len(labels)} labels, the pairs confused most.")
    return element("div", told, table(["true", "answered", "rows", "of the true"], rows, words=2))


def _by_label(labels: Sequence[LabelScore]) -> Html:
    rows = [
        [
            name_of(label.label),
            *map(_measured, (label.precision, label.recall, label.f1)),
            f"{label.support:,}",
        ]
        for label in labels
    ]
    return element("div", element("h3", "Each label"), table(["label", "precision", "recall", "F1", "true rows"], rows))


def _measured(share: float) -> Html:
    """A share with a bar as long as it behind it."""
    filled = f"{100 * share:.0f}%"
    style = f"background:linear-gradient(90deg,rgba({_ACCENT},0.22) {filled},transparent {filled})"
    return element("span", percent(share), class_="measured", style=style)


def _rows_by(answers: AnswerNumbers | None) -> list[Html]:
    """Scores by length and by target."""
    if answers is None:
        return []
    is_error, measure = answers.is_of_values, _MEASURES[answers.measure]
    figures = [_groups("By length", f"{measure}; tokens of the row", answers.by_length, is_error=is_error)]
    if answers.points:
        figures.insert(0, _scatter(answers.points))
    if answers.by_target and is_error:
        figures.append(_groups("By target", f"{measure}; true value", answers.by_target, is_error=True))
    elif answers.by_target and len(answers.by_target) <= _MOST_LABELS_IN_MATRIX:
        figures.append(_groups("By true label", measure, answers.by_target, is_error=False))
    told = note("Dots with their 95 % intervals: where two overlap much, no difference is shown.")
    return [section("rows", "Where it is off" if is_error else "Where it is right", told, grid(figures))]


def _groups(title: str, subtitle: str, rows: Sequence[Group], *, is_error: bool) -> Html:
    names = [_group_name(row, len(rows)) for row in rows]
    highest = [row.value if row.high is None else row.high for row in rows if row.value is not None]
    top = max(highest, default=1.0) * 1.08 if is_error else 1.0
    axes = Axes((0.0, float(len(rows))), (0.0, top or 1.0), "", no_numbers, short if is_error else _whole_percent)
    return figure(title, subtitle, intervals(rows, names, axes, label=f"{title}: {subtitle}"))


def _group_name(row: Group, groups: int) -> str:
    """What stands under a group: a label, cut to the room there is, or the range of a number."""
    if row.label is not None:
        most, label = max(5, 84 // groups), row.label
        return label if len(label) <= most else f"{label[: most // 2]}…{label[len(label) - most // 2 + 1 :]}"
    low, high = ("" if end is None else short(end) for end in (row.start, row.end))
    return low if low == high else f"{low}\N{EN DASH}{high}"


def _scatter(pairs: Sequence[tuple[float, float]]) -> Html:
    across, up = ([pair[at] for pair in pairs] for at in (0, 1))
    ends = (min(*across, *up), max(*across, *up)) if len(pairs) > 1 else (across[0] - 1, across[0] + 1)
    axes = Axes(ends, ends, "true value", short, short)
    label = "Predicted by true value"
    picture = scatter(pairs, axes, label=label, diagonal=True)
    return figure(label, "dashed: where both are equal", picture)


def _whole_percent(value: float) -> str:
    return percent(value, 0)
