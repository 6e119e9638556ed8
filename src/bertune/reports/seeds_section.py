"""Several seeds of one run: how much a score owes to chance."""

from collections.abc import Sequence

from bertune.experiments.study_table import EndedStudy, KeptModel, SavedAverage, SeedResult, Spread
from bertune.reports.page import note, section, table
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.words import metric_interval, metric_text
from bertune.wording.excerpt import excerpt
from bertune.wording.markup import Html, element
from bertune.wording.metric_text import epoch_text, loss_text, metric_name


def seeds_section(numbers: RunMetrics) -> list[Html]:
    """Returns the table of the seeds; nothing for a single run."""
    seeds = numbers.seeds
    if seeds is None:
        return []
    summary, labels = seeds.summary, numbers.label_names
    names = list(summary.metrics)
    each = [_seed(result, names, summary.best) for result in seeds.results]
    spreads = [
        [
            metric_name(name, labels),
            metric_text(name, spread.mean),
            "" if spread.std is None else metric_text(name, spread.std),
            _interval(name, spread),
            metric_text(name, spread.minimum),
            metric_text(name, spread.maximum),
        ]
        for name, spread in summary.metrics.items()
    ]
    told = note(
        f"The model kept is {_kept(seeds.model)}, by {_chosen_by(seeds, labels)}; test was {seeds.test}. "
        "Chosen as the best of several, it scores a little too well on these rows: expect the mean. The interval of "
        "the mean is Student's t over the seeds; it says nothing about other rows."
    )
    return [
        section(
            "seeds",
            "Seeds",
            table(["metric", "mean", "std", "95 % interval of the mean", "lowest", "highest"], spreads),
            table(
                ["seed", "", *(metric_name(name, labels) for name in names), "loss", "epoch", "seconds"], each, words=2
            ),
            *_averages(seeds.averages, names, labels),
            told,
        )
    ]


def _interval(name: str, spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return "" if spread.std is None else "none: the seeds agree"
    return metric_interval(name, spread.low, spread.high)


def _seed(result: SeedResult, names: Sequence[str], best: int | None) -> list[object]:
    notes = ["best"] if result.seed == best else []
    notes += ["collapsed"] if result.collapsed else []
    if result.status != "finished":
        notes.append(f"{result.status}: {excerpt(str(result.reason), 120)}")
        return [result.seed, ", ".join(notes), *([""] * (len(names) + 2)), f"{result.seconds:.0f}"]
    values = [metric_text(name, result.metrics[name]) for name in names]
    bad = element("span", ", ".join(notes), class_="worse" if result.collapsed else "better")
    return [
        result.seed,
        bad,
        *values,
        "" if result.loss is None else loss_text(result.loss),
        "" if result.best_epoch is None else epoch_text(result.best_epoch),
        f"{result.seconds:.0f}",
    ]


def _averages(averages: Sequence[SavedAverage], names: Sequence[str], labels: Sequence[str]) -> list[Html]:
    """The averages of weights that were tried, as far as they say what they are."""
    rows = [
        [average.recipe, ", ".join(map(str, average.seeds)), *_values(average, names)]
        for average in averages
        if average.recipe is not None and average.seeds is not None
    ]
    if not rows:
        return []
    header = ["average", "of seeds", *(metric_name(name, labels) for name in names)]
    return [element("h3", "Averages of weights"), table(header, rows, words=2)]


def _values(average: SavedAverage, names: Sequence[str]) -> list[str]:
    metrics = average.metrics or {}
    return [metric_text(name, metrics[name]) if name in metrics else "" for name in names]


def _chosen_by(seeds: EndedStudy, labels: Sequence[str]) -> str:
    rows, _, metric = seeds.chosen_by.partition(" ")
    return f"{rows} {metric_name(metric, labels)}"


def _kept(model: KeptModel) -> str:
    numbers = ", ".join(map(str, model.seeds))
    return f"that of seed {numbers}" if len(model.seeds) == 1 else f"the average of the seeds {numbers}"
