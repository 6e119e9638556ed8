"""The OpenAPI document of a server, and the page that shows it without anything from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from importlib import metadata
from typing import Any, Final

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bertune.serving.protocol_routes import Protocol, json_response
from bertune.serving.refused_request import STATUS
from bertune.serving.route_descriptions import RouteDescription, described_routes
from bertune.serving.serving_state import ServingState
from bertune.serving.tei_protocol import tei_error

_SCHEMAS: Final = "#/components/schemas/{model}"
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
_STYLE: Final = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h3 { margin-bottom: 0; font-family: ui-monospace, monospace; font-size: 1rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid; border-radius: 0.25rem; }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"


def documentation_routes(state: ServingState) -> list[Route]:
    """Makes the routes of document and page."""
    protocol = Protocol(state, tei_error)
    routes = described_routes(state.model().signature)
    document = openapi_document(routes, list(state.models))
    page = _page(routes, list(state.models))

    async def openapi(_request: Request) -> Response:
        return json_response(document)

    async def docs(_request: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": _POLICY})

    return [protocol.route("/openapi.json", openapi), protocol.route("/docs", docs)]


def openapi_document(routes: Sequence[RouteDescription], models: Sequence[str]) -> dict[str, Any]:
    """Makes the document.

    Args:
        routes: of the server.
        models: their names.
    """
    bodies = list({route.body: None for route in routes if route.body is not None})
    _, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_SCHEMAS)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bertune serve", "version": metadata.version("bertune")},
        "paths": paths,
        "components": {"schemas": {**schemas["$defs"], "Error": _ERROR}},
    }


def _operation(route: RouteDescription, models: Sequence[str]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _SCHEMAS.format(model="Error")}}}
    statuses = sorted({status for kind, status in STATUS.items() if kind != "fault"})
    operation: dict[str, Any] = {
        "summary": route.summary,
        "tags": [route.tag],
        "operationId": f"{route.method.lower()}_" + re.sub(r"\W+", "_", route.path).strip("_"),
        "responses": {
            "200": {"description": "The answer."},
            **{str(status): {"description": "A refusal.", "content": error} for status in statuses},
        },
    }
    if "{name}" in route.path:
        name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": list(models)}}
        operation["parameters"] = [name]
    if route.body is not None:
        shape = {"schema": {"$ref": _SCHEMAS.format(model=route.body.__name__)}, "example": route.example}
        operation["requestBody"] = {"required": True, "content": {"application/json": shape}}
    return operation


def _page(routes: Sequence[RouteDescription], models: Sequence[str]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>bertune serve</title>',
        f"<style>{_STYLE}</style><h1>bertune serve</h1>",
        f"<p>Models: {escape(', '.join(models))}. For programs: <a href=openapi.json>openapi.json</a>.",
    ]
    tag = ""
    for route in routes:
        if route.tag != tag:
            tag = route.tag
            parts.append(f"<h2>{escape(tag)}</h2>")
        parts.append(f"<h3>{route.method} {escape(route.path)}</h3><p>{escape(route.summary)}")
        if route.body is not None:
            path = route.path.replace("{name}", models[0])
            body = json.dumps(route.example, ensure_ascii=False, allow_nan=False).replace("'", r"\u0027")
            parts.append(f"<pre>curl http://127.0.0.1:8000{escape(path)} -d '{escape(body)}'</pre>")
    return "".join(parts)
