"""What the page needs of a served model, and what it lets people send."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.predictions import Predictions


class PageModel(Protocol):
    """A model that is served."""

    @property
    def name(self) -> str:
        """How it is called."""

    @property
    def signature(self) -> ModelSignature:
        """Its labels, texts and lengths."""

    @property
    def run(self) -> Path | None:
        """The folder of the run that it is of, if that is there."""

    @property
    def computed_by(self) -> str:
        """In which precision, and by what, for people to read."""

    async def predict(self, examples: Examples) -> Predictions:
        """Answers texts, together with those of others who ask now."""

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs `function(predictor, *arguments)` where the model computes, when nobody waits for an answer."""


@dataclass(frozen=True, kw_only=True)
class PageLimits:
    """The most that the page takes at a time.

    Args:
        body_bytes: of a call but that of a table.
        text_characters: of a text.
        table_bytes: of a table.
        table_rows: of a table.
        tables: that are predicted at the same time.
    """

    body_bytes: int = 1 << 20
    text_characters: int = 100_000
    table_bytes: int = 10 << 20
    table_rows: int = 50_000
    tables: int = 2
