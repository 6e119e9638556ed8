"""A column of numbers that grows row by row, without a second copy of it at any time."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 1 << 14
_GROWTH: Final = 1.125


class GrowingArray:
    """Numbers in their order, in one piece of memory that is at most an eighth too large.

    Chunks that are kept and put together at the end need twice as much: small pieces of memory that are given back
    stay with the process.
    """

    def __init__(self) -> None:
        self._array: NDArray[Any] | None = None
        self._length = 0
        self._is_seen = False

    def add(self, values: NDArray[Any]) -> None:
        """Appends numbers; of another type, all become of one that holds both."""
        if self._array is None:
            self._array = np.empty(max(len(values), _LEAST), values.dtype)
        kind = np.result_type(self._array, values)
        needed = self._length + len(values)
        if kind != self._array.dtype or self._is_seen:
            # Who has seen the numbers keeps them.
            self._array, self._is_seen = self._array[: self._length].astype(kind), False
        if needed > len(self._array):
            self._array.resize(max(needed, int(len(self._array) * _GROWTH)), refcheck=False)
        self._array[self._length : needed] = values
        self._length = needed

    def values(self, dtype: Any) -> NDArray[Any]:
        """Gives all numbers so far, not to be changed; empty of a type where there is none."""
        if self._array is None:
            return np.empty(0, dtype)
        self._is_seen = True
        return self._array[: self._length]

    def __len__(self) -> int:
        return self._length
