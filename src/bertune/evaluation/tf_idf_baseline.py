"""A baseline for a fine-tuned model: a regression on weighted counts of pieces, which knows no encoder at all."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.evaluation.regression_baseline import BaselineRows, RegressionBaseline
from bertune.evaluation.score_parts import Scoring
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PENALTIES: Final = (1e-5, 1e-4, 1e-3, 1e-2)
"""Of the squared weights beside the mean loss; one is chosen by cross-validation on the training rows."""
MOST_TRAINED: Final = 5000
MOST_SCORED: Final = 5000

# The time of a fit grows with both, up to a second or two here.
_MOST_TOKENS: Final = 150_000
_FEWEST_ROWS_OF_TERM: Final = 2
# A pair of pieces is one number: the first above these bits, plus one, so that no pair is the number of a piece.
_BITS_OF_PIECE: Final = 24


@dataclass(frozen=True, eq=False)
class TermWeights:
    """Terms, which are pieces and pairs of pieces in a row, and what each is worth: scikit-learn's TF-IDF.

    A term weighs (1 + ln count) x (ln((1 + rows) / (1 + rows with the term)) + 1), and a row has length 1.

    Args:
        terms: (terms,) in order; those that at least two training rows have.
        weights: (terms,) of each, the second factor.
    """

    terms: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, encoded: EncodedExamples) -> Self:
        """Finds the terms of training rows."""
        terms, places = np.unique(_terms(encoded)[1], return_inverse=True)
        pairs = np.unique(_terms(encoded)[0] * len(terms) + places)
        rows_with = np.bincount(pairs % len(terms), minlength=len(terms))
        kept = rows_with >= _FEWEST_ROWS_OF_TERM
        return cls(terms[kept], np.log((1 + len(encoded)) / (1 + rows_with[kept])) + 1)

    def features(self, encoded: EncodedExamples) -> "csr_array":
        """Returns (rows, terms), sparse; terms that no training row had are left out."""
        from scipy.sparse import csr_array  # takes a tenth of a second

        rows, given = _terms(encoded)
        places = np.searchsorted(self.terms, given)
        places[places == len(self.terms)] = 0
        known = self.terms[places] == given if len(self.terms) else np.zeros(len(given), bool)
        pairs, counts = np.unique(rows[known] * len(self.terms) + places[known], return_counts=True)
        row_of, place_of = np.divmod(pairs, max(len(self.terms), 1))
        values = (1 + np.log(counts)) * self.weights[place_of]
        lengths = np.sqrt(np.bincount(row_of, values**2, minlength=len(encoded)))
        starts = offsets_of(np.bincount(row_of, minlength=len(encoded)))
        return csr_array((values / lengths[row_of], place_of, starts), shape=(len(encoded), len(self.terms)))


def tf_idf_baseline(
    train: Dataset, validation: Dataset, scoring: Scoring, *, target_range: tuple[float, float] | None = None
) -> RegressionBaseline | None:
    """Fits an L2-regularized regression on TF-IDF of pieces and of pairs of pieces in a row, and scores it.

    The two texts of a pair are one bag. It is fitted on up to 5,000 training rows, fewer of long texts, and scored on
    up to 5,000 validation rows; they are evenly spaced, and nothing is drawn.

    Args:
        train: with targets.
        validation: with targets.
        scoring: kind, metrics and names of the labels.
        target_range: of a regression: answers are clipped to it.

    Returns:
        The answers, or None where there is nothing to fit: rows of one target only, fewer than 10 of them, or no term
        that two rows have.
    """
    tokens = max(1.0, len(train.encoded.token_ids) / max(len(train), 1))
    counts = (min(MOST_TRAINED, int(_MOST_TOKENS / tokens) + 1), MOST_SCORED)
    rows = BaselineRows.spaced(train, validation, counts, scoring.kind)
    if rows is None:
        return None
    fitted = train.encoded.take(rows.fitted)
    known = TermWeights.of(fitted)
    if not len(known.terms):
        return None
    features = (known.features(fitted), known.features(validation.encoded.take(rows.scored)))
    return RegressionBaseline.fitted("TF-IDF", features, rows, scoring, penalties=PENALTIES, target_range=target_range)


def _terms(encoded: EncodedExamples) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Returns the row and the number of each piece and each pair of pieces; of several windows all are read."""
    row_of = np.repeat(np.arange(len(encoded)), encoded.example_lengths)
    pieces = encoded.token_ids.astype(np.int64)
    is_pair = row_of[1:] == row_of[:-1]
    pairs = ((pieces[:-1] + 1) << _BITS_OF_PIECE) + pieces[1:]
    return np.concatenate([row_of, row_of[1:][is_pair]]), np.concatenate([pieces, pairs[is_pair]])
