"""The training rows that a model takes for most like a text: the nearest by the mean of the encoder's last layer."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from bertune.data.examples import Examples
from bertune.serving.page_model import PageModel
from bertune.system.json_file import JsonObject

State = Literal["none", "preparing", "ready"]

MOST_ROWS: Final = 20_000
"""Training rows that are compared with; of more, so many evenly over the file."""
# Few enough for a question to wait only shortly for them.
_ROWS_AT_ONCE: Final = 8
_NEAREST: Final = 3
_LOG: Final = logging.getLogger(__name__)

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Training rows, and their features: (rows, hidden_size) of length 1."""

    rows: Examples
    features: Features


class NearestRows:
    """The training rows of one model, prepared in the background.

    Args:
        model: whose rows.
        most_rows: see `MOST_ROWS`.
    """

    def __init__(self, model: PageModel, *, most_rows: int = MOST_ROWS) -> None:
        self._model = model
        self._most_rows = most_rows
        self._prepared: _Prepared | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: State = "none" if model.run is None else "preparing"
        self.share_done = 0.0

    def start(self) -> None:
        """Begins to prepare, the first time that it is called; needs a running event loop."""
        if self._task is None and self.state == "preparing":
            self._task = asyncio.create_task(self._prepare())

    async def near(self, examples: Examples) -> list[JsonObject]:
        """Returns the rows nearest to the first example, with their cosine similarity; none before they are ready."""
        prepared = self._prepared
        if prepared is None:
            return []
        from bertune.serving.training_features import features_of

        (vector,) = await self._model.call(features_of, examples.select([0]))
        similarities = prepared.features @ vector
        order = np.argsort(-similarities, kind="stable")[:_NEAREST]
        return [
            {
                "text_a": prepared.rows.texts_a[row],
                "text_b": None if prepared.rows.texts_b is None else prepared.rows.texts_b[row],
                "label": _label_of(prepared.rows, row),
                "similarity": float(similarities[row]),
            }
            for row in order.tolist()
        ]

    async def _prepare(self) -> None:
        try:
            await self._compute()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever it is, answers go on without
            self.state = "none"
            _LOG.info("no nearest training rows of %s: %s", self._model.name, error)

    async def _compute(self) -> None:
        run = self._model.run
        assert run is not None
        # Loads torch, as a run is computed by.
        from bertune.serving.training_features import can_be_compared, features_of, training_rows

        rows = await asyncio.to_thread(training_rows, run, self._model.signature.train_rows)
        if rows is None or not await self._model.call(can_be_compared):
            self.state = "none"
            return
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), self._most_rows)).round().astype(np.int64))
        rows = rows.select(chosen.tolist())
        parts = []
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows.select(range(first, min(first + _ROWS_AT_ONCE, len(rows))))
            parts.append(await self._model.call(features_of, some))
            self.share_done = (first + len(some)) / len(rows)
        self._prepared = _Prepared(rows, np.concatenate(parts))
        self.state = "ready"


def _label_of(rows: Examples, row: int) -> str | list[str]:
    if rows.label_sets is not None:
        return list(rows.label_sets[row])
    return "" if rows.labels is None else rows.labels[row]
