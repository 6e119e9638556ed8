"""Out-of-fold answers of a cross-validated run: every row's, and the rows that these find most doubtful."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation import answers
from bertune.evaluation.answers import kept_of
from bertune.evaluation.label_quality import label_quality, neighbour_shares
from bertune.evaluation.mean_features import mean_features
from bertune.nn.precision import choose_precision
from bertune.training.prepare import PreparedRun
from bertune.training.run_rows import MOST_DOUBTFUL_ROWS, Describe, labelled_row, write_lines
from bertune.training.saved_run import AnsweredRow, DoubtfulRow

OUT_OF_FOLD: Final = "out_of_fold.jsonl"


@dataclass(frozen=True, kw_only=True)
class OutOfFoldRow(AnsweredRow):
    """A line of `out_of_fold.jsonl`: a training row, answered by a model that did not learn from it.

    Args:
        row: its number among the training rows, from 0.
        fold: which fold it is in, from 1.
        probabilities: of the labels, in the order of the logits, by the temperature of the model that is kept; empty
            for values.
    """

    row: int
    fold: int
    probabilities: tuple[float, ...] = ()


def features_of(run: PreparedRun) -> NDArray[np.float32] | None:
    """Returns what the encoder makes of the training rows before it is trained; None where neighbours say nothing.

    Args:
        run: as it was prepared. Neighbours are those of rows with one label each.
    """
    if not run.signature.kind.has_one_label:
        return None
    precision = choose_precision(run.config.precision, run.classifier.device)
    return mean_features(run.classifier.encoder, run.train.encoded, precision=precision)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Answers to all training rows.

    Args:
        data: the rows, with targets.
        describe: of them.
        folds: (rows,) of each row, from 1.
        logits: (rows, outputs).
        signature: of the model that is kept, with its temperature and thresholds.
        features: (rows, size) of the encoder before training, see `features_of`; None leaves neighbours out.
    """

    data: Dataset
    describe: Describe
    folds: NDArray[np.int64]
    logits: NDArray[np.float32]
    signature: ModelSignature
    features: NDArray[np.float32] | None = None

    def write_rows(self, folder: Path) -> None:
        """Writes `out_of_fold.jsonl`, every row in the order of the table."""
        signature, shares = self.signature, np.empty((len(self.data), 0))
        if signature.kind.has_labels:
            shares = answers.probabilities(self.logits, signature)
        write_lines(
            folder / OUT_OF_FOLD,
            (
                OutOfFoldRow(
                    **vars(labelled_row(row, self.describe, self.data, signature)),
                    # Nine digits hold every float32 to the bit.
                    logits=tuple(float(f"{value:.9g}") for value in self.logits[row].tolist()),
                    row=row,
                    fold=int(self.folds[row]),
                    probabilities=tuple(float(f"{value:.9g}") for value in shares[row].tolist()),
                )
                for row in range(len(self.data))
            ),
        )

    def write_doubtful(self, folder: Path) -> None:
        """Writes `doubtful.jsonl`, the rows whose label agrees least with what the others teach, with their texts."""
        quality, agreement = self._quality(), self._agreement()
        decided = answers.decisions(self.logits, self.signature)
        has_labels = self.signature.kind.has_labels
        write_lines(
            folder / "doubtful.jsonl",
            (
                DoubtfulRow(
                    **vars(labelled_row(row, self.describe, self.data, self.signature)),
                    probability=(float(f"{agreement[row]:.6g}"),) if has_labels else None,
                    absolute_error=None if has_labels else (float(f"{agreement[row]:.6g}"),),
                    answer=kept_of(decided[row], self.signature),
                )
                for row in np.argsort(quality, kind="stable")[:MOST_DOUBTFUL_ROWS].tolist()
            ),
        )

    def _quality(self) -> NDArray[Any]:
        """Lower where the target is more doubtful."""
        if not self.signature.kind.has_labels:
            return -self._agreement()
        if self.signature.kind.has_label_sets:
            return self._agreement()
        targets = self.data.targets
        assert targets is not None
        shares = answers.probabilities(self.logits, self.signature)
        if self.features is None:
            return label_quality(shares, targets)
        return label_quality(shares, targets, neighbour_shares(self.features, targets, shares.shape[1]))

    def _agreement(self) -> NDArray[Any]:
        """Probability of the target, for multi-label the mean of its labels', or the absolute error."""
        targets = self.data.targets
        assert targets is not None
        found: NDArray[Any]
        if not self.signature.kind.has_labels:
            found = np.abs(answers.values(self.logits, self.signature) - targets)
            return found
        shares = answers.probabilities(self.logits, self.signature)
        if targets.ndim == 2:
            found = np.where(targets == 1, shares, 1 - shares).mean(axis=1)
            return found
        found = shares[np.arange(len(targets)), targets]
        return found
