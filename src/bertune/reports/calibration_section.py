"""Whether the model's probabilities mean what they say, and where its thresholds come from."""

import math
from collections.abc import Mapping

from bertune.evaluation.saved_calibration import SavedBins, SavedCalibration, SavedThresholds
from bertune.reports.charts import Axes, Series, legend, line_chart
from bertune.reports.page import figure, grid, note, section, table
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.words import name_of, percent
from bertune.wording.markup import Html, element


def calibration(numbers: RunMetrics) -> list[Html]:
    """Returns the section; nothing where there are no probabilities."""
    fitted, answers = numbers.calibration, numbers.answers
    if fitted is not None:
        return [section("calibration", "Calibration", *_fitted(fitted))]
    if answers is None or answers.reliability is None or answers.calibration_error is None:
        return []
    rows = "validation" if numbers.cross_validation is None else "training"
    told = note(
        f"Expected calibration error {percent(answers.calibration_error)}: the mean distance between how sure the "
        f"model is and how often it is right, on the {rows} rows."
    )
    return [section("calibration", "Calibration", told, grid([_diagram({"as it is": answers.reliability})]))]


def _fitted(fitted: SavedCalibration) -> list[Html]:
    before, after = fitted.before, fitted.after_cross_fitted
    bins = {"before": before.bins}
    if after is None or fitted.why_none:
        told = f"Expected calibration error {percent(before.calibration_error)}, temperature 1: {fitted.why_none}."
    else:
        bins["with a temperature"] = after.bins
        told = (
            f"Expected calibration error {percent(before.calibration_error)} before, "
            f"{percent(after.calibration_error)} with a temperature fitted on the other half of the "
            f"{fitted.rows:,} rows. The model keeps {fitted.temperature:.3g}, fitted on all of them."
        )
    content = [note(told), grid([_diagram(bins)])]
    if fitted.thresholds is not None:
        content.append(_thresholds(fitted.thresholds))
    return content


def _diagram(bins: Mapping[str, SavedBins]) -> Html:
    axes = Axes((0.0, 1.0), (0.0, 1.0), "how sure", _share, _share)
    series = [Series("as sure as right", [(0.0, 0.0), (1.0, 1.0)], 6, faint=True)]
    for number, (name, each) in enumerate(bins.items()):
        filled = [
            (count, sure, right)
            for count, sure, right in zip(each.counts, each.confidence, each.frequency, strict=True)
            if count and sure is not None and right is not None
        ]
        points = [(sure, right) for _, sure, right in filled]
        # Their areas are the shares of the predictions.
        sizes = [max(1.5, 22 * math.sqrt(count / sum(each.counts))) for count, _, _ in filled]
        series.append(Series(name, points, 1 - number if len(bins) > 1 else 0, sizes=sizes))
    names = [legend([(each.name, each.color) for each in series[1:]])] if len(bins) > 1 else []
    picture = line_chart(series, axes, label="How often the model is right, by how sure it is")
    return figure("Reliability", "how often right, by how sure; larger: more answers; line: ideal", *names, picture)


def _thresholds(thresholds: SavedThresholds) -> Html:
    rows = [
        [
            name_of(label.label),
            f"{label.chosen:.3f}" if label.kept else "0.5",
            f"{label.default_score:.3f}",
            f"{label.held_out_score:.3f}",
        ]
        for label in thresholds.labels
    ]
    header = ["label", "threshold", f"{thresholds.metric} at 0.5", "chosen on other rows"]
    return element("div", element("h3", "Thresholds"), table(header, rows))


def _share(value: float) -> str:
    return percent(value, 0)
