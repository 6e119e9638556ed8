"""The proof that an export is the model: equal answers to the same rows."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bertune.data.task_kind import TaskKind
from bertune.errors import BertuneError
from bertune.exports.int8_agreement import Int8Agreement
from bertune.models.classifier import Classifier
from bertune.runtime.export_files import FORMAT_VERSION
from bertune.system.json_file import JsonObject

# Values of a regression may be of any size, and fp32 has seven digits: large ones may differ by this share.
_RELATIVE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """Result of an export's proof; it is kept in the export's folder as `agreement.json`.

    Args:
        format: of the export.
        rows: that model and export answered.
        text_rows: how many of them were texts; the others were random ids and rows at the limits.
        max_difference: largest difference of a logit, before it is divided by a temperature.
        tolerance: the largest that was allowed.
        tied_rows: rows where another label came first, among labels that the model itself has within twice the
            tolerance of each other; 0 for regression.
        weights_digest: SHA-256 of the model's weights, see `weights_digest`.
        tokenizer_digest: SHA-256 of its vocabulary and flags.
        versions: of the packages that answered.
        probabilities: which ones the logits give: whether a temperature is folded into them.
        warnings: what a user of this export has to know.
        files: SHA-256 of every other file of the export, by its path in the folder.
        int8: what the export in int8 answers, which was made of the one that was proved; None for one in float32.
    """

    format: str
    rows: int
    text_rows: int
    max_difference: float
    tolerance: float
    tied_rows: int
    weights_digest: str
    tokenizer_digest: str
    versions: dict[str, str]
    probabilities: str = ""
    warnings: tuple[str, ...] = ()
    files: dict[str, str] | None = None
    int8: Int8Agreement | None = None

    def to_dict(self) -> JsonObject:
        """Returns what is written to `agreement.json`."""
        values = {"format_version": FORMAT_VERSION, **asdict(self)}
        if self.int8 is None:
            del values["int8"]
        return values

    def summary(self) -> str:
        """Returns one line, for instance `equal on 1,047 rows, 912 of them texts: logits to the last bit`."""
        tied = f", {self.tied_rows} of them ties" if self.tied_rows else ""
        logits = (
            f"logits differ by at most {self.max_difference:.1e}, {self.tolerance:.0e} are allowed"
            if self.max_difference
            else "logits to the last bit"
        )
        return f"equal on {self.rows:,} rows, {self.text_rows:,} of them texts{tied}: {logits}"


@dataclass(frozen=True)
class Difference:
    """Measures how far an export's predictions are from the model's.

    Args:
        largest: difference of a logit.
        tied_rows: see `Agreement`.
    """

    largest: float
    tied_rows: int


def compare(
    expected: NDArray[np.float32], answered: NDArray[np.float32], *, tolerance: float, kind: TaskKind
) -> Difference:
    """Compares the logits of a model and of its export.

    Every logit must lie within the tolerance, and every predicted label must be the model's. A row whose best labels
    lie within twice the tolerance of each other in the model itself is a tie: the tolerance alone can turn it, so any
    of those labels will do there, and the row is counted. The value of a regression may differ by 1e-5 of its size
    where that is more than the tolerance.

    Args:
        expected: (rows, outputs), the model's.
        answered: (rows, outputs), the export's.
        tolerance: largest difference of a logit.
        kind: of the task; a regression has no labels.

    Raises:
        BertuneError: they are not equal; says how far off, and in which row.
    """
    if answered.shape != expected.shape:
        raise _disagreement(f"it answers with an array of shape {answered.shape}, not {expected.shape}")
    differences = np.abs(answered.astype(np.float64) - expected)
    allowed = np.full(differences.shape, tolerance)
    if not kind.has_labels:
        allowed = np.maximum(allowed, _RELATIVE_TOLERANCE * np.abs(expected))
    # Written so that a difference that is not a number counts as too large.
    wrong = ~(differences <= allowed)
    if wrong.any():
        row, output = np.unravel_index(
            int(np.argmax(np.where(wrong, np.nan_to_num(differences, nan=np.inf), -1))), wrong.shape
        )
        raise _disagreement(
            f"logits differ by up to {differences[row, output]:.3g}, at most {tolerance:.0e} is allowed "
            f"({int(wrong.any(axis=1).sum()):,} of {len(expected):,} rows; row {row}: "
            f"{answered[row, output]:.6g} instead of {expected[row, output]:.6g})"
        )
    if kind.has_label_sets:
        # A label that one gives and the other does not lies within the tolerance of its threshold: a tie.
        tied = int(((expected >= 0) != (answered >= 0)).any(axis=1).sum())
    else:
        tied = _tied_rows(expected, answered, tolerance) if kind.has_labels else 0
    return Difference(float(differences.max(initial=0.0)), tied)


def _tied_rows(expected: NDArray[np.float32], answered: NDArray[np.float32], tolerance: float) -> int:
    """Counts the rows where another label is predicted.

    Raises:
        BertuneError: one of them is no tie.
    """
    best, given = expected.argmax(axis=1), answered.argmax(axis=1)
    (other,) = np.nonzero(best != given)
    behind = expected[other, best[other]].astype(np.float64) - expected[other, given[other]]
    if (behind > 2 * tolerance).any():
        row = other[int(behind.argmax())]
        raise _disagreement(f"it predicts label {given[row]} instead of {best[row]} in row {row}")
    return len(other)


def _disagreement(what: str) -> BertuneError:
    return BertuneError(
        f"the export does not equal the model: {what}",
        hint="nothing was kept; the fault is in bertune or in the runtime's version: please report it",
    )


def weights_digest(classifier: Classifier) -> str:
    """Returns the SHA-256, hexadecimal, of all weights: of each, by name, the name, the shape and the fp32 bytes.

    It does not depend on the file that they came from.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(classifier.named_parameters()):
        numbers = parameter.detach().float().cpu().contiguous().numpy()
        digest.update(f"{name} {numbers.shape}\n".encode())
        digest.update(numbers.data)
    return digest.hexdigest()
