"""The page at `/`, on which models are tried: its files, and the calls that it makes."""

import asyncio
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation.predictions import Prediction
from bertune.serving.nearest_rows import NearestRows
from bertune.serving.page_calls import HEADERS, Endpoint, json_response, page_route, require_type, text_in
from bertune.serving.page_model import PageLimits, PageModel
from bertune.serving.page_reasons import reasons_for
from bertune.serving.page_tables import TableCalls, TableOptions
from bertune.serving.refused_request import RefusedError
from bertune.serving.request_body import parse_body, read_body
from bertune.serving.serving_limits import ServingLimits
from bertune.system.json_file import JsonObject

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INDEX: Final = "index.html"
_DEFAULT_THRESHOLD: Final = 0.5


def page_routes(
    models: Mapping[str, PageModel], *, show_rows: bool = True, limits: PageLimits | None = None
) -> list[BaseRoute]:
    """Returns the page at `/`, its files and its calls under `/page/`.

    Args:
        models: by the names under which they are served.
        show_rows: whether rows of the data are shown: validation rows as examples to pick, and the training rows
            nearest to a text. Whoever opens the page can read them.
        limits: of what it takes.
    """
    page = _Page(models, show_rows=show_rows, limits=limits or PageLimits())
    files = [page_route(path, _file(content, kind)) for path, (content, kind) in page_files().items()]
    calls = [
        page_route("/page/models", page.models),
        page_route("/page/answer", page.answer, ["POST"]),
        page_route("/page/explain", page.explain, ["POST"]),
        page_route("/page/nearest", page.nearest, ["POST"]),
        page_route("/page/table", page.table, ["POST"]),
    ]
    return [*files, *calls]


def page_files() -> dict[str, tuple[bytes, str]]:
    """Returns content and type of the page's files by their paths; they hold nothing of models or data."""
    folder = resources.files("bertune.serving") / "page"
    files = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: file.name)
    return {
        "/" if file.name == _INDEX else f"/page/{file.name}": (file.read_bytes(), _TYPES[Path(file.name).suffix])
        for file in files
    }


def _file(content: bytes, kind: str) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        # Asked for again each time, so that page and server are of one version.
        return Response(content, headers={**HEADERS, "Cache-Control": "no-cache"}, media_type=kind)

    return endpoint


class _Page:
    """The calls of the page; see `page_routes`."""

    def __init__(self, models: Mapping[str, PageModel], *, show_rows: bool, limits: PageLimits) -> None:
        self._models = models
        self._limits = limits
        self._shows_rows = show_rows
        self._nearest = {name: NearestRows(model) for name, model in models.items()} if show_rows else {}
        self._examples: dict[str, list[JsonObject]] = {}
        self._tables = TableCalls(limits)

    async def models(self, _: Request) -> Response:
        """Says what is served; begins to prepare the nearest rows, since there is a page to show them on."""
        entries = []
        for name, model in self._models.items():
            if name not in self._examples:
                self._examples[name] = await asyncio.to_thread(self._examples_of, model)
            if name in self._nearest:
                self._nearest[name].start()
            entries.append(_described(name, model) | {"examples": self._examples[name]} | self._state_of(name))
        limits = {"table_bytes": self._limits.table_bytes}
        return json_response({"models": entries, "limits": limits})

    async def answer(self, request: Request) -> Response:
        """Answers one text, or a pair."""
        model, examples = await self._asked(request)
        begun = time.perf_counter()
        predictions = await model.predict(examples)
        seconds = time.perf_counter() - begun
        is_cut = predictions.long_texts.over_length > 0
        account = model.signature.long_text_account() if is_cut else None
        return json_response(
            answer_of(predictions[0], model.signature)
            | {"seconds": seconds, "computed_by": predictions.computed_by or model.computed_by, "cut": account}
        )

    async def explain(self, request: Request) -> Response:
        """Says which words mattered."""
        model, examples = await self._asked(request)
        return json_response(await reasons_for(model, examples))

    async def nearest(self, request: Request) -> Response:
        """Gives the nearest training rows, or says how far they are."""
        model, examples = await self._asked(request)
        nearest = self._nearest.get(model.name)
        if nearest is not None:
            nearest.start()  # of several processes this may be another than the one that showed the page
        rows = [] if nearest is None else await nearest.near(examples)
        return json_response({"rows": rows} | self._state_of(model.name))

    async def table(self, request: Request) -> Response:
        """Gives a table back with predictions."""
        model = self._model(request.query_params.get("model"))
        options = TableOptions.of(request)
        table = await self._tables.read(request, model.signature, options)
        return StreamingResponse(
            self._tables.predicted(model, table, options),
            headers={**HEADERS, "Cache-Control": "no-store"},
            media_type="application/x-ndjson",
        )

    def _examples_of(self, model: PageModel) -> list[JsonObject]:
        if model.run is None or not self._shows_rows:
            return []
        from bertune.serving.page_examples import example_rows

        return example_rows(model.run)

    def _state_of(self, name: str) -> JsonObject:
        nearest = self._nearest.get(name)
        if nearest is None:
            return {"nearest": "none"}
        return {"nearest": nearest.state, "share_done": nearest.share_done}

    def _model(self, name: Any) -> PageModel:
        model = self._models.get(name) if isinstance(name, str) else None
        if model is None:
            raise RefusedError("not_found", "This server has no model of that name.")
        return model

    async def _asked(self, request: Request) -> tuple[PageModel, Examples]:
        require_type(request, "application/json")
        body = await read_body(request, ServingLimits(max_body_bytes=self._limits.body_bytes))
        values = await parse_body(body)
        model, most = self._model(values.get("model")), self._limits.text_characters
        text_a = text_in(values, "text_a", most_characters=most)
        text_b = text_in(values, "text_b", most_characters=most)
        if not (text_a or "").strip() or (model.signature.is_pair and not (text_b or "").strip()):
            told = "Type both texts first." if model.signature.is_pair else "Type a text first."
            raise RefusedError("invalid", told)
        assert text_a is not None
        seconds = None if text_b is None else [text_b]
        model.signature.check_texts(given_pair=seconds is not None, where="the page", pair_hint="type both texts")
        return model, Examples.from_lists([text_a], seconds, name="the page")


def answer_of(prediction: Prediction, signature: ModelSignature) -> JsonObject:
    """Returns an answer as the page shows it: each label with its probability, or the value and its range."""
    if prediction.value is not None:
        return {"kind": str(signature.kind), "value": prediction.value, "range": signature.target_range}
    given = (prediction.label,) if prediction.labels is None else prediction.labels
    thresholds = _thresholds(signature)
    labels = [
        {"label": label, "probability": share, "given": label in given, "threshold": thresholds.get(label)}
        for label, share in prediction.probabilities.items()
    ]
    return {"kind": str(signature.kind), "labels": labels}


def _thresholds(signature: ModelSignature) -> dict[str, float]:
    """Returns from which probability on labels are given, where that is not simply the most probable one."""
    if signature.kind.has_label_sets:
        each = signature.thresholds or (_DEFAULT_THRESHOLD,) * len(signature.labels)
        return dict(zip(signature.labels, each, strict=True))
    return {signature.labels[1]: signature.thresholds[0]} if signature.thresholds else {}


def _described(name: str, model: PageModel) -> JsonObject:
    signature = model.signature
    return {
        "name": name,
        "kind": str(signature.kind),
        "labels": list(signature.labels),
        "is_pair": signature.is_pair,
        "text_a": str(signature.text_a),
        "text_b": None if signature.text_b is None else str(signature.text_b),
        "computed_by": model.computed_by,
    }
