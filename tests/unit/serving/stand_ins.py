"""A model whose answers follow from its tokens alone, and a server of it inside the test's process."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import StringIO
from pathlib import Path

import httpx
import numpy as np

from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.serving.application import ServingSettings, application
from bertune.serving.event_log import EventLog
from bertune.serving.served_model import ModelSource, ServedModel
from bertune.serving.serving_limits import ServingLimits
from bertune.serving.serving_metrics import ModelMetrics, ServingMetrics
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer import BertTokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "poison", "endless", "warm", "up")
SINGLE = ModelSignature(labels=("bad", "good"), is_pair=False, max_length=64, text_a="text", text_b=None)
PAIRS = ModelSignature(labels=("other", "same"), is_pair=True, max_length=64, text_a="first", text_b="second")
SEVERAL = ModelSignature(
    labels=("a", "b", "c"), is_pair=False, max_length=64, kind=TaskKind.MULTI_LABEL, text_a="text", text_b=None
)
VALUES = ModelSignature(
    labels=(), is_pair=False, max_length=64, kind=TaskKind.REGRESSION, metrics=("pearson",), text_a="text", text_b=None
)
USUAL = ServingLimits()


def tokenizer_in(folder: Path) -> BertTokenizer:
    path = folder / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return BertTokenizer(path)


class TokenSums:
    """A predictor that counts; it fails on `poison`, and gives infinite numbers for `endless`."""

    computed_by = "fp32, sums"

    def __init__(self, tokenizer: BertTokenizer, signature: ModelSignature, *, seconds: float = 0.0) -> None:
        self.tokenizer = tokenizer
        self.signature = signature
        self.seconds = seconds
        self.batches: list[list[int]] = []

    def logits(self, encoded: EncodedExamples, *, on_batch=None) -> np.ndarray:
        self.batches.append(encoded.lengths.tolist())
        time.sleep(self.seconds)
        rows = np.split(encoded.token_ids.astype(np.int64), encoded.offsets[1:-1])
        if any(WORDS.index("poison") in row for row in rows):
            raise ArithmeticError("poisoned")
        return np.stack([self.answer(row) for row in rows]).astype(np.float32)

    def answer(self, ids: np.ndarray) -> np.ndarray:
        if WORDS.index("endless") in ids:
            return np.full(self.signature.num_outputs, np.inf)
        return np.sin(np.arange(1, self.signature.num_outputs + 1) * ids.sum()) * 3


def source_of(predictor: TokenSums, folder: Path, name: str = "mood") -> ModelSource:
    @contextmanager
    def opened() -> Iterator[TokenSums]:
        yield predictor

    return ModelSource(
        name=name,
        folder=folder,
        run=None,
        signature=predictor.signature,
        tokenizer=predictor.tokenizer,
        opened=opened,
        bounds=(16, 32),
    )


class Served:
    """A server in this process.

    Args:
        client: that asks it.
        predictor: behind the first model.
        state: of the application.
        log: what it has logged.
    """

    def __init__(self, client: httpx.AsyncClient, predictor: TokenSums, app, log: StringIO) -> None:
        self.client = client
        self.predictor = predictor
        self.state = app.state.serving
        self.app = app
        self._log = log

    def logged(self) -> str:
        self.state.log.close()
        return self._log.getvalue()


@asynccontextmanager
async def served(
    folder: Path,
    *signatures: ModelSignature,
    limits: ServingLimits = USUAL,
    seconds: float = 0.0,
    api_key: bytes | None = None,
) -> AsyncIterator[Served]:
    tokenizer = tokenizer_in(folder)
    log, metrics = StringIO(), ServingMetrics()
    settings = ServingSettings(limits=limits, metrics=metrics, log=EventLog(log, as_json=True), api_key=api_key)
    predictors = [TokenSums(tokenizer, signature, seconds=seconds) for signature in signatures or (SINGLE,)]
    sources = [source_of(predictor, folder, f"mood{place or ''}") for place, predictor in enumerate(predictors)]
    models = {source.name: ServedModel(source, limits, ModelMetrics(metrics, source.name)) for source in sources}
    for model in models.values():
        await model.start()
    predictors[0].batches.clear()
    app = application(models, settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield Served(client, predictors[0], app, log)
    for model in models.values():
        model.stop()


def in_loop(coroutine, *, seconds: float = 60):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))
