"""A calibration as files hold it: `Calibration.to_dict` writes what is read here."""

from dataclasses import dataclass, field
from typing import Final

from bertune.system.hinted_values import LEFT_OUT

BINS: Final = 15


@dataclass(frozen=True)
class SavedBins:
    """A reliability diagram: predictions in bins of equal width.

    Args:
        edges: of the bins, one more than there are bins.
        counts: predictions in each bin.
        confidence: mean probability in each bin; of no meaning where it is empty.
        frequency: share that was right in each bin; of no meaning where it is empty.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    frequency: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class SavedQuality:
    """How good probabilities are on some rows.

    Args:
        calibration_error: expected calibration error, 0 to 1.
        log_loss: mean, in nats.
        label_calibration_errors: of each label by name; None but for multi-label.
        bins: of the diagram.
    """

    calibration_error: float
    log_loss: float
    label_calibration_errors: dict[str, float] | None = field(default=None, metadata=LEFT_OUT)
    bins: SavedBins


@dataclass(frozen=True)
class SavedThreshold:
    """What became of one label's threshold; see `LabelThreshold`.

    Args:
        label: its name.
        chosen: the threshold that is best on all rows.
        default_score: the metric with 0.5.
        held_out_score: the metric with thresholds chosen on other rows.
        standard_error: of the difference between the two.
        kept: whether the model has it; otherwise 0.5 stays.
    """

    label: str
    chosen: float
    default_score: float
    held_out_score: float
    standard_error: float
    kept: bool


@dataclass(frozen=True)
class SavedThresholds:
    """The thresholds of a model, and why they are what they are.

    Args:
        metric: what they were chosen for.
        values: what the model has: a number a label, or nothing where all stay at 0.5.
        halvings: how often the rows were halved to see what a choice is worth.
        labels: what became of each.
    """

    metric: str
    values: tuple[float, ...]
    halvings: int
    labels: tuple[SavedThreshold, ...]


@dataclass(frozen=True, kw_only=True)
class SavedCalibration:
    """What `calibration.json` holds; see `Calibration`.

    Args:
        rows: that were fitted on.
        bins: of the diagrams, how many.
        temperature: that the model has.
        why_none: why no temperature is used; empty where one is.
        says_nothing: whether it makes probabilities nearly equal.
        before: with temperature 1.
        after_cross_fitted: each row by a temperature of other rows; None where none could be fitted.
        thresholds: None where none were chosen.
        model: digest of the model that it is of; None in files of older runs, which do not say.
    """

    rows: int
    bins: int = BINS
    temperature: float
    why_none: str
    says_nothing: bool = False
    before: SavedQuality
    after_cross_fitted: SavedQuality | None
    thresholds: SavedThresholds | None
    model: str | None = field(default=None, metadata=LEFT_OUT)
