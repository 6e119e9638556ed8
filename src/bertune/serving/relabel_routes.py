"""The report of a run on a server, where one decides on the labels of its doubtful rows.

The report in the folder holds no script, and forbids them. The page that is served is that file with one script, and a
policy that allows it alone, by its digest: whatever else got into the file runs as little as it does there.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bertune.errors import BertuneError
from bertune.serving.doubtful_rows import RELABEL_FILE, DoubtfulRows, UndecidableError
from bertune.system.bounded_file import read_bounded
from bertune.system.json_file import parse_json

_REPORT: Final = "report.html"
_MAX_REPORT_BYTES: Final = 64_000_000
_MAX_BODY_BYTES: Final = 1_000_000
_FORBIDS_SCRIPTS: Final = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_STYLES: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_PAGES: Final = Path(__file__).parent / "relabel"


def relabel_routes(runs: Mapping[str, Path]) -> list[BaseRoute]:
    """Makes the routes.

    `GET /report/NAME` is the report, `GET /report/NAME/rows` its doubtful rows and what was decided on them as JSON.
    `POST /report/NAME/decisions` takes `{"decisions": [{"place": …, "decision": "accept" | "change" | "skip",
    "new_label": …}]}`, writes `relabel.csv` into the run folder, and returns it; `GET` returns it as it is.

    Args:
        runs: folders of runs by the names under which they are served.
    """

    def run_of(request: Request) -> Path:
        run = runs.get(request.path_params["name"])
        if run is None:
            raise HTTPException(404)
        return run

    def report(request: Request) -> Response:
        path = run_of(request) / _REPORT
        if path.is_symlink() or not path.is_file():
            return _refused(404, f"no {_REPORT} in this run: bertune report RUN writes it")
        try:
            text = read_bounded(path, _MAX_REPORT_BYTES).decode("utf-8")
        except (BertuneError, UnicodeDecodeError):
            return _refused(409, f"{_REPORT} of this run cannot be read: bertune report RUN writes it again")
        return _page(text)

    def rows(request: Request) -> Response:
        try:
            return JSONResponse(DoubtfulRows.of(run_of(request)).to_dict(), headers=_UNCACHED)
        except BertuneError as error:
            return _refused(409, _told(error))

    def decisions(request: Request) -> Response:
        path = run_of(request) / RELABEL_FILE
        if path.is_symlink() or not path.is_file():
            return _refused(404, "nothing was decided yet")
        return _table(path.read_bytes())

    async def decide(request: Request) -> Response:
        run = run_of(request)
        if not _is_own(request):
            return _refused(403, "pages of other sites may not decide here")
        try:
            given = parse_json(await _body(request))
        except ValueError as error:
            return _refused(400, f"the body is no JSON: {error}")
        if not isinstance(given, dict) or set(given) != {"decisions"} or not isinstance(given["decisions"], list):
            return _refused(422, 'the body is not {"decisions": […]}')
        try:
            kept = await run_in_threadpool(lambda: DoubtfulRows.of(run).keep(given["decisions"]))
        except UndecidableError as error:
            return _refused(422, str(error))
        except BertuneError as error:
            return _refused(409, _told(error))
        except OSError as error:
            return _refused(507, f"{RELABEL_FILE} cannot be written: {error.strerror}")
        return _table(kept.encode())

    return [
        Route("/report/{name}", report, methods=["GET"]),
        Route("/report/{name}/rows", rows, methods=["GET"]),
        Route("/report/{name}/decisions", decisions, methods=["GET"]),
        Route("/report/{name}/decisions", decide, methods=["POST"]),
    ]


_UNCACHED: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def _page(text: str) -> Response:
    """Puts the script into a report, and the policy that was in its head, made a little wider, into a header."""
    script, style = _part("relabel.js"), _part("relabel.css")
    text = _FORBIDS_SCRIPTS.sub("", text, count=1)
    text = text.replace(" and runs no script.", ".")
    head, end_of_head, rest = text.partition("</head>")
    body, end_of_body, after = rest.rpartition("</body>")
    styles = [_digest(each) for each in (*_STYLES.findall(head), style)]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(script)}",
            f"style-src {' '.join(styles)}",
            # Of the page's own bars and colours; such an attribute can load nothing.
            "style-src-attr 'unsafe-inline'",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    content = f"{head}<style>{style}</style>{end_of_head}{body}<script>{script}</script>{end_of_body}{after}"
    headers = {**_UNCACHED, "content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(content, media_type="text/html", headers=headers)


@cache
def _part(name: str) -> str:
    return (_PAGES / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _is_own(request: Request) -> bool:
    """Whether a request comes from a page of this server, or from no page at all.

    A page of another site could send a form, or a text, without being asked; JSON it could not.
    """
    headers = request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    return (
        (origin is None or urlsplit(origin).netloc == headers.get("host"))
        and site in ("same-origin", "none")
        and headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _MAX_BODY_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(body)


def _table(content: bytes) -> Response:
    headers = {**_UNCACHED, "content-disposition": f'attachment; filename="{RELABEL_FILE}"'}
    return Response(content, media_type="text/csv", headers=headers)


def _refused(status: int, message: str) -> Response:
    values: dict[str, Any] = {"error": message}
    return Response(json.dumps(values, allow_nan=False), status, media_type="application/json", headers=_UNCACHED)


def _told(error: BertuneError) -> str:
    return error.message if error.hint is None else f"{error.message} ({error.hint})"
