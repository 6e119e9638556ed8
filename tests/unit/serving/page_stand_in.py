"""A served model without a server: a predictor that one thread of its own asks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bertune.checkpoints.model_folder import LoadedModel
from bertune.data.examples import Examples
from bertune.evaluation.classifier_predictor import kept_ready
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.predictions import Predictions, predictions_by
from bertune.evaluation.predictor import Predictor


class StandIn:
    """What the page needs of a served model; see `bertune.serving.page_model.PageModel`.

    `asked` counts the calls. `fails_with` is raised by `predict`, in the place of a server's refusals.
    """

    def __init__(self, name: str, model: LoadedModel | Predictor, run: Path | None = None) -> None:
        self.name, self.run, self.signature = name, run, model.signature
        self.model = model
        self.computed_by, self.asked = "fp32, a stand-in", 0
        self.fails_with: Exception | None = None
        self._thread = ThreadPoolExecutor(1)
        self._ready = ExitStack()
        enter = kept_ready(model) if isinstance(model, LoadedModel) else None
        self._predictor = model if enter is None else self._thread.submit(self._ready.enter_context, enter).result()

    def close(self) -> None:
        self._thread.submit(self._ready.close).result()
        self._thread.shutdown()

    async def predict(self, examples: Examples) -> Predictions:
        if self.fails_with is not None:
            raise self.fails_with
        return await self.call(predictions_by, TextRows(examples))

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.asked += 1
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, self._predictor, *arguments)
