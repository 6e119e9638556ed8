"""Whether probabilities mean what they say: of the answers given with 0.8, are four of five right?

The expected calibration error (Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3) sorts
predictions into 15 bins of equal width, (0, 1/15] to (14/15, 1]; it is the mean distance between how sure the model is
in a bin and how often it is right there, weighted by the predictions in the bin.

- Classes: one prediction a row, its highest probability, right if that label is the true one. A decision threshold
  does not enter.
- Multi-label: one prediction for each row and label, the label's probability, right if the row has the label; the error
  is the mean of the labels' own errors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bertune.evaluation.arrays import FloatArray
from bertune.evaluation.saved_calibration import BINS, SavedBins


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal width over (0, 1].

    Args:
        counts: predictions in each bin.
        confidence: mean probability in each bin; 0.0 where it is empty.
        frequency: share that was right in each bin; 0.0 where it is empty.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    frequency: tuple[float, ...]

    @property
    def error(self) -> float:
        """The expected calibration error of these bins, 0 to 1."""
        counts = np.array(self.counts, dtype=np.float64)
        distance = np.abs(np.array(self.confidence) - np.array(self.frequency))
        return float((counts * distance).sum() / max(counts.sum(), 1.0))

    def saved(self) -> SavedBins:
        """Returns the bins as files hold them, with the edges between them."""
        edges = tuple(index / len(self.counts) for index in range(len(self.counts) + 1))
        return SavedBins(edges, self.counts, self.confidence, self.frequency)


def reliability(probabilities: npt.ArrayLike, came_true: npt.ArrayLike, *, bins: int = BINS) -> Reliability:
    """Sorts predictions into bins.

    Args:
        probabilities: how sure each prediction is, 0 to 1, (predictions,).
        came_true: whether it was right, (predictions,).
        bins: how many.
    """
    sure = np.asarray(probabilities, dtype=np.float64)
    right = np.asarray(came_true, dtype=np.float64)
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    filled = np.maximum(counts, 1)
    confidence = np.bincount(places, weights=sure, minlength=bins) / filled
    frequency = np.bincount(places, weights=right, minlength=bins) / filled
    return Reliability(tuple(counts.tolist()), tuple(confidence.tolist()), tuple(frequency.tolist()))


def reliability_of(probabilities: FloatArray, targets: npt.NDArray[Any]) -> Reliability:
    """Sorts a model's probabilities into bins; those of all labels together for multi-label.

    Args:
        probabilities: of every label, (rows, labels).
        targets: class ids, (rows,); for multi-label which labels each row has, (rows, labels).
    """
    if targets.ndim == 2:
        return reliability(probabilities.ravel(), targets.ravel() == 1)
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)


def calibration_error(probabilities: FloatArray, targets: npt.NDArray[Any]) -> float:
    """Returns the expected calibration error, 0 to 1; for arguments see `reliability_of`."""
    if targets.ndim == 2:
        return float(np.mean(label_calibration_errors(probabilities, targets)))
    return reliability_of(probabilities, targets).error


def label_calibration_errors(probabilities: FloatArray, targets: npt.NDArray[Any]) -> list[float]:
    """Returns each label's own expected calibration error, for multi-label; for arguments see `reliability_of`."""
    return [reliability(probabilities[:, n], targets[:, n] == 1).error for n in range(targets.shape[1])]
