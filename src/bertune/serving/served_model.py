"""A model by its name, that answers texts of many requests at once."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.errors import BertuneError
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.predictions import Predictions
from bertune.evaluation.predictor import Predictor
from bertune.serving.micro_batcher import MicroBatcher
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ModelMetrics
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer_protocol import Tokenizer

# Tokenized in less time than another thread takes to be asked.
_FEW_CHARACTERS: Final = 2000


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a model comes from.

    Args:
        name: by which it is asked for.
        folder: of the model or export.
        run: the folder of its run, where it is part of one.
        signature: of the model.
        tokenizer: of the model.
        opened: gets it ready, in the thread that computes.
        bounds: the lengths that are computed together; see `BatchQueue`.
    """

    name: str
    folder: Path
    run: Path | None
    signature: ModelSignature
    tokenizer: Tokenizer
    opened: Callable[[], AbstractContextManager[Predictor]]
    bounds: Sequence[int]


class ServedModel:
    """A model that is kept ready by a thread of its own.

    Args:
        source: of the model.
        limits: of queue and batches.
        metrics: told what is done.
    """

    def __init__(self, source: ModelSource, limits: ServingLimits, metrics: ModelMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._batcher = MicroBatcher(source.opened, source.bounds, limits, metrics)
        self.name = source.name
        self.folder = source.folder
        self.run = source.run
        self.signature = source.signature
        self.tokenizer = source.tokenizer
        self.computed_by = ""

    async def start(self) -> None:
        """Gets the model ready, and has it answer once: the first answer takes longest.

        Raises:
            BertuneError: the model cannot be read, or fails.
        """
        self.computed_by = (await self._batcher.start()).computed_by
        # One text, then as many tokens as fit into a batch, twice: they show how fast the model is.
        long_text = "warm up " * self.signature.max_length
        many = max(1, self._limits.max_batch_tokens // self.signature.max_length)
        for texts in (["warm up"], [long_text] * many, [long_text] * many):
            try:
                await self.predict(Examples.from_lists(texts, texts if self.signature.is_pair else None))
            except RefusedError as error:
                raise BertuneError(f"{self.folder}: {error.message}: it cannot be served") from error

    @property
    def is_alive(self) -> bool:
        """Whether its thread works."""
        return self._batcher.is_alive

    def stop(self) -> None:
        """Ends the thread, and waits for it some seconds."""
        self._batcher.stop()

    def check_room(self) -> None:
        """Refuses, before a request is read, what the queue has no room for; see `MicroBatcher.check_room`."""
        self._batcher.check_room()

    async def predict(self, examples: Examples) -> Predictions:
        """Predicts texts, together with those of other requests.

        Args:
            examples: at least one.

        Raises:
            RefusedError: single texts for a model of pairs or the other way round, no room in the queue, or the
                model fails on one of them.
        """
        begun = time.perf_counter()
        characters = sum(map(len, examples.texts_a)) + sum(map(len, examples.texts_b or ()))
        if characters <= _FEW_CHARACTERS:
            encoded = self._encoded(examples)
        else:
            encoded = await asyncio.to_thread(self._encoded, examples)
        self._metrics.tokenization.observe(time.perf_counter() - begun)
        self._metrics.input_tokens.observe(len(encoded.token_ids))
        logits = await self._batcher.logits(encoded)
        return Predictions(
            logits,
            self.signature,
            TextRows(examples).long_texts_of(encoded, self.signature.long_text),
            self.computed_by,
        )

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls ``function(predictor, *arguments)`` in the model's own thread, behind the requests that wait.

        Raises:
            RefusedError: too many such calls wait.
        """
        return await self._batcher.call(lambda predictor: function(predictor, *arguments))

    def _encoded(self, examples: Examples) -> EncodedExamples:
        try:
            return TextRows(examples).encoded_for(self)
        except BertuneError as error:
            raise RefusedError("invalid", error.message) from error
