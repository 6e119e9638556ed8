"""Temperature and thresholds for a model, from its logits on validation rows; and what they are worth elsewhere."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.arrays import FloatArray, require_finite_logits
from bertune.evaluation.calibration_error import (
    Reliability,
    calibration_error,
    label_calibration_errors,
    reliability_of,
)
from bertune.evaluation.saved_calibration import SavedCalibration, SavedQuality
from bertune.evaluation.temperature import fit_temperature, halves, log_loss, probabilities_at
from bertune.evaluation.thresholds import LabelThreshold, Thresholds, choose_thresholds
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.wording.metric_text import metric_name, metric_text, percent

# Fewer rows say nothing: half of them would fit, and 15 bins would hold less than one each.
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Quality:
    """How good probabilities are on some rows.

    Args:
        error: expected calibration error, 0 to 1.
        log_loss: mean, in nats.
        reliability: the bins of the diagram.
        label_errors: of each label, for multi-label.
    """

    error: float
    log_loss: float
    reliability: Reliability
    label_errors: tuple[float, ...]

    def saved(self, labels: tuple[str, ...]) -> SavedQuality:
        """Returns everything as files hold it."""
        return SavedQuality(
            calibration_error=self.error,
            log_loss=self.log_loss,
            label_calibration_errors=dict(zip(labels, self.label_errors, strict=True)) if self.label_errors else None,
            bins=self.reliability.saved(),
        )


@dataclass(frozen=True)
class Calibration:
    """What was fitted on validation rows, and what it is worth on rows it was not fitted on.

    Args:
        labels: names, in the order of the logits.
        rows: how many validation rows there were.
        temperature: to be stored with the model; fitted on all rows, 1.0 where it is not used.
        why_none: why the temperature is not used; empty where it is.
        says_nothing: whether it makes probabilities nearly equal, since they say nothing about the answers.
        before: the quality of the probabilities with temperature 1.
        after: that of each row's probabilities by a temperature fitted on the half of the rows without it; None where
            none could be fitted.
        thresholds: how they were chosen; None where that was not asked for.
    """

    labels: tuple[str, ...]
    rows: int
    temperature: float
    why_none: str
    before: Quality
    after: Quality | None
    thresholds: Thresholds | None
    says_nothing: bool = False

    @property
    def threshold_values(self) -> tuple[float, ...]:
        """What the signature stores."""
        return () if self.thresholds is None else self.thresholds.values

    def applied_to(self, signature: ModelSignature) -> ModelSignature:
        """Returns a signature with this temperature and these thresholds in the place of its own."""
        return replace(signature, temperature=self.temperature, thresholds=self.threshold_values)

    def saved(self) -> SavedCalibration:
        """Returns what `calibration.json` holds."""
        return SavedCalibration(
            rows=self.rows,
            temperature=self.temperature,
            why_none=self.why_none,
            says_nothing=self.says_nothing,
            before=self.before.saved(self.labels),
            after_cross_fitted=None if self.after is None else self.after.saved(self.labels),
            thresholds=None if self.thresholds is None else self.thresholds.saved(),
        )

    def to_dict(self) -> JsonObject:
        """Returns the same in types that JSON knows."""
        return to_json(self.saved())

    def lines(self) -> list[str]:
        """Returns sentences for a terminal."""
        before = f"expected calibration error {percent(self.before.error)}"
        if self.after is None or self.why_none:
            lines = [f"probabilities as they are, temperature 1: {self.why_none}; {before}"]
        else:
            lines = [
                f"temperature {self.temperature:.3g}, fitted on these {self.rows:,} rows; {before} without, "
                f"{percent(self.after.error)} with one fitted on the other half of the rows"
            ]
            if self.says_nothing:
                lines.append("the probabilities say nothing about the answers: the temperature makes them nearly equal")
        if self.thresholds is not None:
            lines += [_threshold_line(label, self.thresholds.metric) for label in self.thresholds.labels]
        return lines


def calibrate(
    logits: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    labels: tuple[str, ...],
    *,
    threshold_for: str | None = None,
    seed: int = 0,
) -> Calibration:
    """Fits a temperature and, if asked, chooses thresholds.

    The temperature is used where it lowers the log loss of rows it was not fitted on: each half of the rows is measured
    with the temperature of the other half.

    Args:
        logits: on validation rows, (rows, labels).
        targets: class ids, (rows,); for multi-label which labels each row has, (rows, labels).
        labels: names, in the order of the logits.
        threshold_for: the metric to choose thresholds for; None chooses none.
        seed: of the halvings.

    Raises:
        ConfigError: no rows, or thresholds for classes that are not two.
        DataError: logits that are not finite.

    Example:
        >>> logits = np.array([[4.0, -4.0], [-4.0, 4.0], [4.0, -4.0], [4.0, -4.0]] * 25)
        >>> found = bertune.calibrate(logits, np.array([0, 1, 0, 1] * 25), ("no", "yes"))
        >>> found.rows, found.temperature > 1  # a quarter of these very sure answers is wrong
        (100, True)
    """
    if not len(targets):
        raise ConfigError("no rows to calibrate on")
    require_finite_logits(logits)
    multi_label = targets.ndim == 2
    plain = probabilities_at(logits, 1.0, multi_label=multi_label)
    before = _quality(plain, log_loss(logits, targets), targets)
    fitted, after = fit_temperature(logits, targets), None
    temperature, why_none = fitted.value, fitted.why_none
    if len(targets) < FEWEST_ROWS:
        why_none = f"{len(targets)} rows are too few to fit one, {FEWEST_ROWS} are needed"
    if not why_none:
        after = held_out_quality(logits, targets, seed=seed)
        if after.log_loss >= before.log_loss:
            why_none = "one fitted on half of the rows does not improve the other half"
    if why_none:
        temperature = 1.0
    thresholds = None
    if threshold_for is not None and len(targets) >= FEWEST_ROWS:
        scaled = probabilities_at(logits, temperature, multi_label=multi_label)
        thresholds = choose_thresholds(scaled, targets, labels, metric=threshold_for, seed=seed)
    says_nothing = fitted.is_softest and not why_none
    return Calibration(labels, len(targets), temperature, why_none, before, after, thresholds, says_nothing)


def held_out_quality(logits: npt.NDArray[Any], targets: npt.NDArray[Any], *, seed: int) -> Quality:
    """Returns the quality of each row's probabilities by a temperature fitted on the half of the rows without it.

    Args:
        logits: (rows, labels).
        targets: class ids, (rows,); for multi-label which labels each row has, (rows, labels).
        seed: of the halving.
    """
    probabilities = np.empty(logits.shape)
    losses = 0.0
    for fitted, measured in halves(len(targets), seed=seed):
        temperature = fit_temperature(logits[fitted], targets[fitted]).value
        probabilities[measured] = probabilities_at(logits[measured], temperature, multi_label=targets.ndim == 2)
        losses += log_loss(logits[measured], targets[measured], temperature) * len(measured)
    return _quality(probabilities, losses / len(targets), targets)


def _quality(probabilities: FloatArray, loss: float, targets: npt.NDArray[Any]) -> Quality:
    by_label = tuple(label_calibration_errors(probabilities, targets)) if targets.ndim == 2 else ()
    return Quality(calibration_error(probabilities, targets), loss, reliability_of(probabilities, targets), by_label)


def _threshold_line(label: LabelThreshold, metric: str) -> str:
    told = (
        f"{metric_name(metric)} {metric_text(metric, label.default_score)} with 0.5, "
        f"{metric_text(metric, label.held_out_score)} with those chosen on other rows, "
        f"standard error of the difference {metric_text(metric, label.standard_error)}"
    )
    if label.is_kept:
        return (
            f"threshold of {label.label!r}: {label.chosen:.3f}, it is given from that probability on and not from 0.5 "
            f"({told}); scores on these rows flatter it"
        )
    return f"threshold of {label.label!r}: stays 0.5, no other surely helps ({told})"
