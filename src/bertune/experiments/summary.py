"""What several seeds came to together: mean, spread and the interval of the mean."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtrit

from bertune.experiments.study_table import SavedSummary, SeedResult, Spread
from bertune.training.advice import Advice, advice_lines, advice_of_seeds
from bertune.wording.aligned import aligned
from bertune.wording.metric_text import epoch_text, is_percentage, loss_text, metric_interval, metric_name, metric_text

_DASH = "\N{EN DASH}"
_LONGEST_REASON = 100
_NO_INTERVAL = "none: the seeds agree"


@dataclass(frozen=True)
class Summary:
    """All seeds of a study.

    Args:
        results: one a seed, in their order.
        metrics: each metric's spread over the seeds that finished, collapsed ones too; empty where none did.
        best: the seed with the best first metric, where two are equal that with the lower loss; None where none
            finished.
        collapsed: the seeds that give every row the same answer.
        diverged: the seeds whose loss was not finite.
        advice: on all seeds: of each kind how many it is about, and which.
    """

    results: tuple[SeedResult, ...]
    metrics: dict[str, Spread]
    best: int | None
    collapsed: tuple[int, ...]
    diverged: tuple[int, ...]
    advice: tuple[Advice, ...] = ()

    def saved(self) -> SavedSummary:
        """Returns what `seeds.json` holds of it, beside the results."""
        return SavedSummary(self.metrics, self.best, self.collapsed, self.diverged, self.advice)

    def lines(self) -> list[str]:
        """Returns the table of the seeds and that of the metrics, for a terminal."""
        finished = sum(result.status == "finished" for result in self.results)
        count = f"{len(self.results)} seeds" if len(self.results) > 1 else "1 seed"
        rows = self._rows()
        text = advice_lines(self.advice)
        text += [""] if text else []
        text += [f"{count}, scores on the validation data:", "", *aligned(rows, texts=[len(rows[0]) - 1]), ""]
        if self.metrics:
            text += aligned(
                [("metric", "mean", "std", "95 % interval of the mean", "lowest", "highest"), *self._spreads()]
            )
        text += ["", f"collapsed: {', '.join(f'seed {seed}' for seed in self.collapsed) or 'none'}"]
        if self.diverged:
            text[-1] += f"; diverged: {', '.join(f'seed {seed}' for seed in self.diverged)}"
        if finished > 1:
            text.append(f"interval: Student's t over {finished} seeds; it says nothing about other rows")
        return text

    def _rows(self) -> list[tuple[str, ...]]:
        names = list(self.metrics)
        rows: list[tuple[str, ...]] = [("seed", "epoch", *map(metric_name, names), "loss", "seconds", "")]
        for result in self.results:
            if result.status == "diverged":
                dashes = [_DASH] * (len(names) + 2)
                note = f"diverged: {(result.reason or '')[:_LONGEST_REASON]}"
                rows.append((str(result.seed), *dashes, f"{result.seconds:.0f}", note))
                continue
            notes = ["best"] if result.seed == self.best else []
            notes += ["collapsed"] if result.collapsed else []
            values = [metric_text(name, result.metrics[name]) for name in names]
            row = (
                str(result.seed),
                epoch_text(result.best_epoch or 0),
                *values,
                loss_text(result.loss or 0.0),
                f"{result.seconds:.0f}",
            )
            rows.append((*row, ", ".join(notes)))
        return rows

    def _spreads(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for name, spread in self.metrics.items():
            interval = std = _DASH
            if spread.std is not None:
                interval, std = _NO_INTERVAL, metric_text(name, spread.std)
            if spread.low is not None and spread.high is not None:
                interval = metric_interval(name, spread.low, spread.high)
            edges = (metric_text(name, spread.minimum), metric_text(name, spread.maximum))
            rows.append((metric_name(name), metric_text(name, spread.mean), std, interval, *edges))
        return rows


def summarize(results: Sequence[SeedResult]) -> Summary:
    """Puts the results of seeds together.

    Args:
        results: in any order.
    """
    ordered = tuple(sorted(results, key=lambda result: result.seed))
    finished = [result for result in ordered if result.status == "finished"]
    names = finished[0].metrics if finished else {}
    best = max(finished, key=lambda result: (result.chosen_value, -(result.loss or 0.0), -result.seed), default=None)
    return Summary(
        results=ordered,
        metrics={name: _possible(name, spread_of([result.metrics[name] for result in finished])) for name in names},
        best=None if best is None else best.seed,
        collapsed=tuple(result.seed for result in finished if result.collapsed),
        diverged=tuple(result.seed for result in ordered if result.status == "diverged"),
        advice=advice_of_seeds([(result.seed, result.advice) for result in ordered]),
    )


def spread_of(values: Sequence[float]) -> Spread:
    """Returns mean, standard deviation, 95 % interval of the mean and range.

    Args:
        values: one a seed, at least one.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Spread(mean, None, None, None, min(values), max(values))
    std = statistics.stdev(values)
    if min(values) == max(values):
        return Spread(mean, std, None, None, min(values), max(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * std / math.sqrt(len(values))
    return Spread(mean, std, mean - half, mean + half, min(values), max(values))


def _possible(metric: str, spread: Spread) -> Spread:
    """Cuts the interval off where no value of the metric can be, as Student's t of few seeds does not know."""
    if spread.low is None or spread.high is None:
        return spread
    lowest = 0.0 if is_percentage(metric) else -1.0  # shares, and coefficients of correlation
    return replace(spread, low=max(spread.low, lowest), high=min(spread.high, 1.0))
