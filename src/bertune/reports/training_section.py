"""How a run went: loss, metrics and learning rate over its steps."""

from collections.abc import Callable, Sequence

from bertune.reports.charts import Axes, Series, legend, line_chart
from bertune.reports.page import figure, grid, note, section
from bertune.reports.run_metrics import Curve, RunMetrics, StepCurves
from bertune.reports.words import metric_text, percent, short
from bertune.wording.markup import Html
from bertune.wording.metric_text import metric_name


def training(numbers: RunMetrics) -> list[Html]:
    """Returns the curves of all runs; nothing where no step was taken."""
    curves = [curve for curve in numbers.curves if curve.steps.step]
    if not curves:
        return []
    figures = [_losses(curves)]
    measured = next((scored.metrics for scored in curves[0].scored), {})
    figures += [_metric(name, curves, numbers.label_names) for name in measured]
    figures.append(_over_steps(lambda steps: steps.learning_rate, "Learning rate", "of each step", curves))
    figures.append(_over_steps(lambda steps: steps.gradient_norm, "Gradient norm", "before clipping", curves))
    seconds = sum(curve.seconds for curve in curves)
    speeds = [curve.examples_per_second for curve in curves if curve.examples_per_second]
    steps = sum(curve.total_steps for curve in curves)
    told = f"{steps:,} steps in {seconds:,.0f} s"
    if speeds:
        told += f", {sum(speeds) / len(speeds):,.0f} examples a second"
    precision = f", in {curves[0].precision}" if curves[0].precision else ""
    certified = [] if numbers.resume is None else [note(f"{numbers.resume.sentence().capitalize()}.")]
    return [section("training", "Training", note(f"{told}{precision}."), *certified, grid(figures))]


def _last_step(curves: Sequence[Curve]) -> float:
    return max(1.0, *(float(curve.steps.step[-1]) for curve in curves))


def _smooth(values: Sequence[float]) -> list[float]:
    """A running mean that begins with the values themselves, so that its start is not drawn towards 0."""
    smoothed: list[float] = []
    for at, value in enumerate(values):
        share = max(0.08, 1 / (at + 1))
        smoothed.append(value if not smoothed else (1 - share) * smoothed[-1] + share * value)
    return smoothed


def _losses(curves: Sequence[Curve]) -> Html:
    series, heights = [], [0.0]
    for number, curve in enumerate(curves):
        color = number if len(curves) > 1 else 0
        steps, loss = curve.steps.step, curve.steps.loss
        if len(curves) == 1:
            series.append(Series("each step", list(zip(steps, loss, strict=True)), color, faint=True))
        smoothed = _smooth(loss)
        series.append(Series(f"{curve.name}, training", list(zip(steps, smoothed, strict=True)), color))
        heights += [max(loss)]
        scored = [(each.last_step, each.loss) for each in curve.scored if each.last_step is not None]
        if scored:
            validation = color if len(curves) > 1 else 1
            series.append(Series(f"{curve.name}, validation", scored, validation, dots=True, faint=len(curves) > 1))
            heights += [height for _, height in scored]
    axes = Axes((0.0, _last_step(curves)), (0.0, max(heights) * 1.05), "step", short, short)
    names = [("training", 0), ("validation", 1)] if len(curves) == 1 else _names(curves)
    return figure("Loss", "training smoothed; dots: validation", legend(names), line_chart(series, axes, label="Loss"))


def _metric(name: str, curves: Sequence[Curve], labels: Sequence[str]) -> Html:
    series, heights, baseline = [], [], 0.0
    by_step = any(curve.evaluations is not None for curve in curves)
    for number, curve in enumerate(curves):
        points = [
            (float((each.last_step or 0) + 1 if by_step else each.epoch), each.metrics[name]) for each in curve.scored
        ]
        series.append(Series(curve.name, points, number, dots=True))
        heights += [value for _, value in points]
        baseline = next((each.baseline[name] for each in curve.scored), baseline)
    heights.append(baseline)
    room = max(0.02, 0.1 * (max(heights) - min(heights)))
    low, high = min(heights) - room, max(heights) + room
    last = max((epoch.epoch for curve in curves for epoch in curve.epochs), default=1)
    whole = metric_text(name, 1.0).endswith("%")
    axes = Axes(
        (0.0, _last_step(curves) + 1) if by_step else (1.0, max(2.0, float(last))),
        (low, min(high, 1.0) if max(heights) <= 1 else high),
        "step" if by_step else "epoch",
        short if by_step else _whole,
        (lambda value: percent(value, 0 if high - low > 0.08 else 1)) if whole else short,
    )
    title = metric_name(name, labels)
    marks = [(baseline, f"baseline {metric_text(name, baseline)}")]
    content = [legend(_names(curves))] if len(curves) > 1 else []
    content.append(line_chart(series, axes, label=title, marks=marks))
    return figure(title[:1].upper() + title[1:], "on validation; dashed: the baseline", *content)


def _whole(value: float) -> str:
    """Epochs are whole; between two there is no number to show."""
    return f"{value:.0f}" if value == int(value) else "\N{NO-BREAK SPACE}"


def _over_steps(
    what: Callable[[StepCurves], Sequence[float]], title: str, subtitle: str, curves: Sequence[Curve]
) -> Html:
    series = [
        Series(curve.name, list(zip(curve.steps.step, what(curve.steps), strict=True)), number)
        for number, curve in enumerate(curves)
    ]
    highest = max(height for curve in curves for height in what(curve.steps))
    axes = Axes((0.0, _last_step(curves)), (0.0, highest * 1.05 or 1.0), "step", short, short)
    return figure(title, subtitle, line_chart(series, axes, label=title))


def _names(curves: Sequence[Curve]) -> list[tuple[str, int]]:
    return [(curve.name, number) for number, curve in enumerate(curves)]
