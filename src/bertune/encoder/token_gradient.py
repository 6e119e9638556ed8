"""The gradient of the token table, only for the rows that a step touched."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class TokenGradient:
    """The gradient of the token table, only for the rows that a step touched.

    Args:
        rows: (vocab_size,) where each row's gradient lies in `values`, -1 for rows that were not touched.
        touched: the touched rows, in the order of their gradients.
        values: (at least len(touched), hidden_size).
    """

    rows: NDArray[np.int32]
    values: Tensor
    touched: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def clear(self) -> None:
        """Forgets the step's rows."""
        self.rows[self.touched] = -1
        self.touched = np.empty(0, np.int64)

    def places_of(self, token_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Gives each token the place of its row's gradient; new places hold zeros."""
        unique = np.unique(token_ids)
        new = unique[self.rows[unique] < 0]
        start, stop = len(self.touched), len(self.touched) + len(new)
        if stop > len(self.values):
            grown = self.values.new_empty(2 * stop, self.values.shape[1])
            grown[:start] = self.values[:start]
            self.values = grown
        self.values[start:stop] = 0
        self.rows[new] = np.arange(start, stop)
        self.touched = np.concatenate([self.touched, new])
        places: NDArray[np.int32] = self.rows[token_ids]
        return places
