"""The report of a run on a server: what its page may do, and how decisions on labels are kept."""

import asyncio
import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from bertune.data.relabel_file import Relabel, digest_of, read_relabels, relabels_text
from bertune.reports.page import page
from bertune.reports.rows_section import doubtful_rows
from bertune.reports.run_metrics import DoubtfulNumbers, DoubtfulRowMean
from bertune.serving.relabel_routes import relabel_routes
from bertune.system.folder_lock import only_run_in

TEXTS = ["good film", "a bad plot", "nice <b>music</b>"]
PLACES = [f"data/train.csv:{line}" for line in (7, 3, 12)]
Ask = Callable[..., httpx.Response]


def write_run(folder: Path, *, kind: str = "classification", targets: list[Any] | None = None) -> Path:
    folder.mkdir()
    given = targets or ["down", "up", "down"]
    rows = tuple(
        DoubtfulRowMean(where=where, text_a=text, target=target, probability=(0.1, 0.2), mean=0.15)
        for where, text, target in zip(PLACES, TEXTS, given, strict=True)
    )
    numbers = DoubtfulNumbers(measure="probability", epochs=2, rows=rows)
    (folder / "report.html").write_text(page("bertune report: run", *doubtful_rows(numbers)))
    values = {
        "model": {"kind": kind, "labels": [] if kind == "regression" else ["down", "up"]},
        "settings": {"data": "data"},
        "doubtful": {"rows": [{"where": row.where, "text_a": row.text_a, "target": row.target} for row in rows]},
    }
    (folder / "metrics.json").write_text(json.dumps(values))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def ask(run: Path, tmp_path: Path) -> Ask:
    """Asks the routes as a page of the same server would."""
    app = Starlette(routes=relabel_routes({"run": run, "other": tmp_path / "other"}))

    def asked(method: str, path: str, **parameters: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as client:
                return await client.request(method, path, **parameters)

        return asyncio.run(call())

    return asked


def decide(ask: Ask, *decisions: Any, **headers: str) -> httpx.Response:
    return ask("POST", "/report/run/decisions", json={"decisions": list(decisions)}, headers=headers)


def digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_the_page_runs_one_script_that_its_policy_knows_by_digest(ask: Ask, run: Path) -> None:
    before = (run / "report.html").read_text()
    answer = ask("GET", "/report/run")
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert policy["script-src"] == digest(script)
    assert policy["style-src"].split() == [
        digest(each) for each in re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    ]
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "http-equiv" not in answer.text
    assert "<script" not in before
    assert "nice &lt;b&gt;music" in answer.text
    assert (run / "report.html").read_text() == before


def test_rows_are_told_with_what_was_decided_on_them(ask: Ask, run: Path) -> None:
    told = ask("GET", "/report/run/rows").json()
    assert (told["kind"], told["labels"], told["applied"]) == ("classification", ["down", "up"], None)
    assert [(row["place"], row["label"], row["decision"]) for row in told["rows"]] == [
        (PLACES[0], "down", None),
        (PLACES[1], "up", None),
        (PLACES[2], "down", None),
    ]
    assert ask("GET", "/report/run/decisions").status_code == 404
    answer = decide(
        ask,
        {"place": PLACES[2], "decision": "skip"},
        {"place": PLACES[0], "decision": "change", "new_label": "up"},
        {"place": PLACES[1], "decision": "accept"},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.content == (run / "relabel.csv").read_bytes() == ask("GET", "/report/run/decisions").content
    kept = list(read_relabels(run / "relabel.csv").values())
    assert [(each.line, each.label, each.decision, each.new_label) for each in kept] == [
        (7, "down", "change", "up"),
        (3, "up", "accept", ""),
        (12, "down", "skip", ""),
    ]
    assert [each.texts for each in kept] == [digest_of(text, None) for text in TEXTS]
    told = ask("GET", "/report/run/rows").json()
    assert [(row["decision"], row["new_label"]) for row in told["rows"]] == [
        ("change", "up"),
        ("accept", ""),
        ("skip", ""),
    ]


def test_decisions_are_replaced_and_those_on_other_rows_stay(ask: Ask, run: Path) -> None:
    decide(ask, {"place": PLACES[0], "decision": "skip"}, {"place": PLACES[1], "decision": "skip"})
    path = run / "relabel.csv"
    path.write_text(path.read_text() + "data/train.csv,99,sha256:0,up,skip,\n")
    decide(ask, {"place": PLACES[1], "decision": "accept"})
    assert [(each.line, each.decision) for each in read_relabels(path).values()] == [(99, "skip"), (3, "accept")]
    path.write_text("mine\n")
    answer = decide(ask, {"place": PLACES[1], "decision": "accept"})
    assert answer.status_code == 409
    assert "the columns are 'mine'" in answer.json()["error"]
    assert path.read_text() == "mine\n", "what cannot be read is not replaced"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere"},
        {"Origin": "null"},
        {"Origin": "http://here:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
    ids=str,
)
def test_pages_of_other_sites_decide_nothing(ask: Ask, run: Path, headers: dict[str, str]) -> None:
    decision = {"place": PLACES[0], "decision": "skip"}
    assert decide(ask, decision, **headers).status_code == 403
    assert not (run / "relabel.csv").exists()
    own = {"Origin": "http://here:8000", "Sec-Fetch-Site": "same-origin"}
    assert decide(ask, decision, **own).status_code == 200


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        ([{"place": "data/train.csv:8", "decision": "skip"}], "no such row"),
        ([{"place": PLACES[0], "decision": "skip"}, {"place": PLACES[0], "decision": "accept"}], "decided on twice"),
        ([{"place": PLACES[0], "decision": "perhaps"}], "accept, change with a new label, or skip"),
        ([{"place": PLACES[0], "decision": "skip", "new_label": "up"}], "accept, change with a new label, or skip"),
        ([{"place": PLACES[0], "decision": "change"}], "no such label"),
        ([{"place": PLACES[0], "decision": "change", "new_label": "left"}], "no such label"),
        ([{"place": PLACES[0], "decision": "change", "new_label": ["up"]}], "no such label"),
        ([{"place": PLACES[0], "decision": "skip", "file": "/etc/passwd"}], "not an object with"),
        (["skip"], "not an object with"),
    ],
)
def test_what_is_no_decision_on_a_row_is_refused_and_nothing_written(
    ask: Ask, run: Path, decisions: list[Any], said: str
) -> None:
    answer = decide(ask, *decisions)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert not (run / "relabel.csv").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[1", 400), (b"[]", 422), (b'{"decisions": 3}', 422), (b"{}", 422), (b" " * 1_000_001, 413)],
)
def test_a_body_that_is_no_list_of_decisions_is_refused(ask: Ask, run: Path, body: bytes, status: int) -> None:
    answer = ask("POST", "/report/run/decisions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert not (run / "relabel.csv").exists()


def test_nothing_outside_of_a_run_is_read_or_written(ask: Ask, run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("mine\n")
    (run / "relabel.csv").symlink_to(outside)
    assert ask("GET", "/report/run/decisions").status_code == 404
    assert decide(ask, {"place": PLACES[0], "decision": "skip"}).status_code == 409
    assert outside.read_text() == "mine\n"
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(outside)
    assert ask("GET", "/report/run").status_code == 404
    assert ask("GET", "/report/..%2Foutside.csv").status_code == 404
    assert ask("GET", "/report/nowhere").status_code == ask("GET", "/report/nowhere/rows").status_code == 404
    assert ask("GET", "/report/other").status_code == 404
    assert ask("GET", "/report/other/rows").status_code == 409


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"doubtful": 3}', '{"doubtful": {"rows": [{"where": "x"}]}}'])
def test_numbers_that_are_damaged_are_one_sentence(ask: Ask, run: Path, text: str) -> None:
    (run / "metrics.json").write_text(text)
    answer = ask("GET", "/report/run/rows")
    assert answer.status_code == 409
    assert "metrics.json" in answer.json()["error"]


def test_values_and_several_labels_are_decided_on_too(tmp_path: Path) -> None:
    from bertune.serving.doubtful_rows import DoubtfulRows, UndecidableError

    values = DoubtfulRows.of(write_run(tmp_path / "values", kind="regression", targets=[1.5, 2.0, 3.25]))
    assert [row["label"] for row in values.to_dict()["rows"]] == ["1.5", "2.0", "3.25"]
    assert "change,0.5" in values.keep([{"place": PLACES[0], "decision": "change", "new_label": "0.5"}])
    several = DoubtfulRows.of(write_run(tmp_path / "several", kind="multi-label", targets=[["up"], [], ["up", "down"]]))
    assert [json.loads(row["label"]) for row in several.to_dict()["rows"]] == [["up"], [], ["down", "up"]]
    several.keep([{"place": PLACES[1], "decision": "change", "new_label": ["up", "down"]}])
    assert several.to_dict()["rows"][1]["new_label"] == '["down", "up"]'
    for rows, wrong in ((values, "much"), (values, "inf"), (several, "up"), (several, ["left"])):
        with pytest.raises(UndecidableError, match="no such label"):
            rows.keep([{"place": PLACES[0], "decision": "change", "new_label": wrong}])


def test_decisions_that_another_process_writes_meanwhile_stay(ask: Ask, run: Path) -> None:
    made = threading.Thread(target=lambda: decide(ask, {"place": PLACES[0], "decision": "skip"}))
    elsewhere = Relabel("data/other.csv", 5, digest_of("text", None), "up", "accept")
    with only_run_in(run / "relabel.csv"):
        made.start()
        made.join(0.2)
        assert made.is_alive()
        assert not (run / "relabel.csv").exists()
        (run / "relabel.csv").write_text(relabels_text([elsewhere]))
    made.join(30)
    assert [(each.file, each.decision) for each in read_relabels(run / "relabel.csv").values()] == [
        ("data/other.csv", "accept"),
        ("data/train.csv", "skip"),
    ]
    assert {path.name for path in run.iterdir()} == {"metrics.json", "report.html", "relabel.csv"}
