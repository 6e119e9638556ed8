"""From errors to better labels: planted wrong labels are found, decided on in the served report, trained without."""

import asyncio
import csv
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from tests.chromium import Chromium
from tests.end_to_end.world import COLUMNS, TRAINING, Run

from bertune.data.relabel_file import Relabel, digest_of, read_relabels, relabels_text
from bertune.serving.relabel_routes import relabel_routes
from bertune.system.toml_file import read_toml
from bertune.training.reading import read_training_data
from bertune.training.run_settings import RunSettings

WRONG = range(20, 200, 15)
OTHER = {"up": "down", "down": "up"}


@pytest.fixture(scope="module")
def mislabelled(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables as `tables`, with wrong labels in some lines of the training table."""
    folder = tmp_path_factory.mktemp("mislabelled")
    shutil.copy(tables / "validation.csv", folder)
    with (tables / "train.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    for line in WRONG:
        rows[line - 1][2] = OTHER[rows[line - 1][2]]
    with (folder / "train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder


def training(data: Path, model: Path, out: Path) -> list[str]:
    return ["train", "--data", str(data), *COLUMNS, "--model", str(model), "--out", str(out), *TRAINING]


@pytest.fixture(scope="module")
def before(run: Run, mislabelled: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "before"
    done = run(*training(mislabelled, model, out))
    assert done.returncode == 0, done.stderr
    return out


def asked(run: Path, method: str, path: str, **parameters: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=relabel_routes({"before": run})))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, f"/report/before{path}", **parameters)

    return asyncio.run(call())


def test_wrong_labels_are_found_decided_on_and_trained_without(
    run: Run, mislabelled: Path, model: Path, before: Path, tmp_path: Path
) -> None:
    rows = asked(before, "GET", "/rows").json()["rows"]
    wrong = {f"{mislabelled / 'train.csv'}:{line}" for line in WRONG}
    found = [row for row in rows if row["place"] in wrong]
    assert len(found) >= 10, "of twelve that were planted"
    first, *others = found
    decisions = [{"place": first["place"], "decision": "skip"}]
    decisions += [{"place": row["place"], "decision": "change", "new_label": OTHER[row["label"]]} for row in others]
    decisions += [{"place": row["place"], "decision": "accept"} for row in rows if row["place"] not in wrong]
    assert asked(before, "POST", "/decisions", json={"decisions": decisions}).status_code == 200
    table, after = before / "relabel.csv", tmp_path / "after"
    done = run(*training(mislabelled, model, after), "--relabel", str(table))
    assert done.returncode == 0, done.stderr
    right = len(rows) - len(found)
    assert f"{table}: {len(others)} labels changed, 1 row left out, {right} labels accepted as they are" in done.stderr
    assert f"left out by the decision in {table}:" in done.stderr
    assert read_toml(after / "run.toml")["train"]["relabel"] == str(table)
    doubtful = json.loads((after / "metrics.json").read_text())["doubtful"]["rows"]
    labels = {row["where"]: row["target"] for row in doubtful}
    assert first["place"] not in labels
    assert not [row["place"] for row in others if labels.get(row["place"]) == row["label"]]
    compared = run("compare", str(before), str(after), "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["rows"] == 80


def test_decisions_that_no_longer_fit_are_one_error_and_leave_nothing_behind(
    run: Run, mislabelled: Path, model: Path, before: Path, tables: Path, tmp_path: Path
) -> None:
    (row, *_) = asked(before, "GET", "/rows").json()["rows"]
    decision = {"place": row["place"], "decision": "change", "new_label": OTHER[row["label"]]}
    answer = asked(before, "POST", "/decisions", json={"decisions": [decision]})
    table = tmp_path / "relabel.csv"
    table.write_bytes(answer.content)
    out = tmp_path / "out"
    # The same decisions twice: the second finds the label that the first has given.
    done = run(*training(mislabelled, model, out), "--relabel", str(table), "--relabel", str(table))
    assert done.returncode == 3
    assert f"{table}:2: {row['place']} has the label" in done.stderr
    changed = Path(shutil.copytree(mislabelled, tmp_path / "changed"))
    lines = (changed / "train.csv").read_text().splitlines(keepends=True)
    (changed / "train.csv").write_text("".join([lines[0], lines[5], *lines[1:]]))
    done = run(*training(changed, model, out), "--relabel", str(table))
    assert done.returncode == 3
    assert "has other texts than when it was decided on" in done.stderr
    assert not out.exists()


def test_the_rows_held_back_for_validation_are_the_same_with_decisions(tmp_path: Path, mislabelled: Path) -> None:
    own = {"data": str(mislabelled / "train.csv"), "out": tmp_path, "text_a": "first", "label": "mood"}
    _, without, _ = read_training_data(RunSettings(**own))
    line = without["train"].lines[0]
    label = (without["train"].labels or [])[0]
    decided = Relabel(
        str(mislabelled / "train.csv"),
        line,
        digest_of(without["train"].texts_a[0], None),
        label,
        "change",
        OTHER[label],
    )
    (tmp_path / "relabel.csv").write_text(relabels_text([decided]))
    _, those, _ = read_training_data(RunSettings(**own, relabel=str(tmp_path / "relabel.csv")))
    assert those["validation"] == without["validation"]
    assert those["train"].texts_a == without["train"].texts_a
    assert (those["train"].labels or [])[0] == OTHER[label]


class Address:
    """A page of a server, where the browser takes the path of a file."""

    def __init__(self, address: str) -> None:
        self.address = address

    def absolute(self) -> "Address":
        return self

    def as_uri(self) -> str:
        return self.address


@contextmanager
def served(run: Path) -> Iterator[str]:
    app = Starlette(routes=relabel_routes({"before": run}))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    listening.close()


def waited_for(browser: Chromium, expression: str) -> Any:
    for _ in range(200):
        if value := browser.value(expression):
            return value
        time.sleep(0.05)
    raise AssertionError(f"{expression} stays {value!r}: {browser.complaints}")


def test_labels_are_decided_on_in_a_browser(before: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(before, tmp_path / "run"))
    (copy / "relabel.csv").unlink(missing_ok=True)
    with served(copy) as address, Chromium() as browser:
        browser.open(Address(f"{address}/report/before"), width=1280)  # type: ignore[arg-type]
        waited_for(browser, "document.querySelectorAll('.decision select').length === 25")
        choose = (
            (
                "(place, value) => {{ const s = document.querySelectorAll('.decision select')[place];"
                "s.value = value; s.dispatchEvent(new Event('input')); }}"
            )
            .replace("{{", "{")
            .replace("}}", "}")
        )
        label = browser.value("document.querySelector('#doubtful li b').textContent")
        browser.value(f"({choose})(0, 'change {OTHER[label]}')")
        browser.value(f"({choose})(1, 'skip')")
        browser.value(f"({choose})(2, 'accept')")
        assert "3 of 25 rows decided" in browser.value("document.querySelector('.decide').textContent")
        browser.value("document.querySelector('.decide button').click()")
        waited_for(browser, "document.querySelector('.decide').textContent.includes('saved')")
        assert browser.complaints == []
        assert {request.partition("/report")[0] for request in browser.requests} == {address}
        for width in (1280, 400):
            browser.open(Address(f"{address}/report/before"), width=width)  # type: ignore[arg-type]
            waited_for(browser, "document.querySelectorAll('.decision select')[1]?.value === 'skip'")
            assert browser.value("document.documentElement.scrollWidth <= innerWidth")
            browser.picture(tmp_path / f"report-{width}.png")
            assert browser.complaints == []
    kept = list(read_relabels(copy / "relabel.csv").values())
    assert [each.decision for each in kept] == ["change", "skip", "accept"]
    assert (kept[0].label, kept[0].new_label) == (label, OTHER[label])
