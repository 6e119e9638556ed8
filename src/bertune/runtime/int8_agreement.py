"""The rule by which an export in int8 is kept: it gives nearly all labels, and the metric, of the model in float32."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.errors import BertuneError
from bertune.evaluation.answers import decisions
from bertune.evaluation.metrics import compute_metrics
from bertune.wording.counts import share_of

LEAST_EQUAL: Final = 0.99
MOST_LOST: Final = 0.01


@dataclass(frozen=True)
class Int8Agreement:
    """What an export in int8 answers beside the model in float32, on labelled rows.

    Args:
        rows: validation rows.
        equal: share of them with the same label, or labels; of a regression, which has none, 1.
        metric: that chose the model's best epoch.
        fp32: its value by the model.
        int8: its value by the export.
        max_difference: largest difference of a logit.
        reduced_range: whether weights are held to 7 bits.
        instructions: of the processor that it was proved on, for products of 8-bit integers.
        bytes: of the file, and of the one in float32.
    """

    rows: int
    equal: float
    metric: str
    fp32: float
    int8: float
    max_difference: float
    reduced_range: bool
    instructions: str
    bytes: tuple[int, int]

    def summary(self) -> str:
        """Returns one line."""
        small, large = self.bytes
        return (
            f"int8: {self.equal:.1%} of {self.rows:,} labels as in fp32, {self.metric} {self.int8:.4f} and "
            f"{self.fp32:.4f}; {small / 1e6:.1f} MB instead of {large / 1e6:.1f}"
        )


@dataclass(frozen=True)
class Int8File:
    """How a file was quantized; see `Int8Agreement`."""

    reduced_range: bool
    instructions: str
    bytes: tuple[int, int]


@dataclass(frozen=True)
class Int8Difference:
    """How far answers in int8 are from the model's; see `Int8Agreement`."""

    equal: float
    metric: str
    fp32: float
    int8: float
    max_difference: float


def compare_int8(
    expected: NDArray[np.float32],
    answered: NDArray[np.float32],
    targets: NDArray[Any],
    signature: ModelSignature,
    file: Int8File,
) -> Int8Agreement:
    """Compares the logits of a model and of its export in int8 on labelled rows.

    Args:
        expected: (rows, outputs), the model's.
        answered: (rows, outputs), the export's, in the size of the model's own logits.
        targets: of the rows.
        signature: of the model.
        file: how it was quantized.

    Raises:
        BertuneError: fewer than 99 % of the labels are equal, or the metric is more than one point lower.
    """
    try:
        found = int8_difference(expected, answered, targets, signature)
    except BertuneError as error:
        raise BertuneError(f"int8 is not kept: {error.message}", hint="export without --int8") from error
    return Int8Agreement(
        rows=len(targets),
        reduced_range=file.reduced_range,
        instructions=file.instructions,
        bytes=file.bytes,
        **asdict(found),
    )


def int8_difference(
    expected: NDArray[np.float32],
    answered: NDArray[np.float32],
    targets: NDArray[Any],
    signature: ModelSignature,
    *,
    metric_counts: bool = True,
) -> Int8Difference:
    """Does what `compare_int8` does, of a file that may be anybody's.

    Args:
        expected: see `compare_int8`, as for the next three.
        answered: of the export.
        targets: of the rows.
        signature: of the model.
        metric_counts: whether the metric may not fall; on few rows chance alone moves it.

    Raises:
        BertuneError: see `compare_int8`.
    """
    if answered.shape != expected.shape:
        raise BertuneError(f"logits have the shape {answered.shape}, not {expected.shape}")
    if not np.isfinite(answered).all():
        raise BertuneError("logits are not finite")
    model, export = decisions(expected, signature), decisions(answered, signature)
    metric = signature.metrics[0]
    before, after = (compute_metrics([metric], given, targets)[metric] for given in (model, export))
    equal = 1.0
    if signature.kind.has_labels:
        equal = float(same_decisions(model, export).mean())
    if equal < LEAST_EQUAL:
        told = share_of(round(equal * len(targets)), len(targets))
        raise BertuneError(f"only {told} get the label of fp32, {LEAST_EQUAL:.0%} are asked")
    if metric_counts and not after >= before - MOST_LOST:
        raise BertuneError(f"{metric} is {after:.4f} instead of {before:.4f}, at most {MOST_LOST:g} may be lost")
    largest = float(np.abs(answered.astype(np.float64) - expected).max(initial=0.0))
    return Int8Difference(equal, metric, before, after, largest)


def same_decisions(model: NDArray[Any], export: NDArray[Any]) -> NDArray[np.bool_]:
    """Tells of each row whether two decisions are one; of several labels all must be equal."""
    same = np.asarray(model == export)
    return np.asarray(same.all(axis=1)) if same.ndim == 2 else same
