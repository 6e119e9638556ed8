"""The gradient of the token table, only for the rows that a step touched."""

import ctypes

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.kernels.interface import pointer


class TokenGradient:
    """The gradient of the token table, only for the rows that a step touched.

    Args:
        table_size: rows of the table.
        hidden_size: their width.

    Attributes:
        slots: (table_size,) int32, where the gradient of each row lies in `values`, -1 for none.
    """

    def __init__(self, table_size: int, hidden_size: int) -> None:
        self.slots = np.full(table_size, -1, np.int32)
        self._row_of_slot = np.empty(table_size, np.int32)
        self._used = 0
        self._values = torch.empty(1024, hidden_size)

    @property
    def touched(self) -> NDArray[np.int32]:
        """The touched rows, in the order of their gradients."""
        return self._row_of_slot[: self._used]

    @property
    def values(self) -> Tensor:
        """(len(touched), hidden_size) float32."""
        return self._values[: self._used]

    def clear(self, rows: NDArray[np.int32] | None = None) -> None:
        """Forgets the step's rows.

        Args:
            rows: of the step that comes, each once; their gradients lie in this order, zeros at first. None leaves it
                to the tokens that come.
        """
        self.slots[self.touched] = -1
        self._used = 0
        if rows is not None:
            self._used = len(rows)
            self.slots[rows] = np.arange(len(rows), dtype=np.int32)
            self._row_of_slot[: len(rows)] = rows
            if len(rows) > len(self._values):
                self._values = self._values.new_empty(2 * len(rows), self._values.shape[1])
            self.values.zero_()

    def give_places(self, kernels: ctypes.CDLL, token_ids: Tensor, tokens: int, places: Tensor) -> None:
        """Gives each token the place of its row's gradient; new places hold zeros.

        Args:
            kernels: compiled.
            token_ids: (at least `tokens`,) int32, each a row of the table.
            tokens: how many.
            places: (at least `tokens`,) int32, which is filled.
        """
        before = self._used
        rows, order = self.slots.ctypes.data, self._row_of_slot.ctypes.data
        self._used = kernels.give_places(pointer(token_ids), tokens, rows, order, before, pointer(places))
        if self._used > len(self._values):
            grown = self._values.new_empty(2 * self._used, self._values.shape[1])
            grown[:before] = self._values[:before]
            self._values = grown
        self._values[before : self._used] = 0
