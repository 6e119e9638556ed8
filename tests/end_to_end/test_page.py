"""The page that models are tried on, looked at in a real browser, and by its keyboard alone."""

import asyncio
import csv
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.chromium import Chromium
from tests.end_to_end.page_server import ServerRefusalError, page_served
from tests.end_to_end.serving_process import serving
from tests.end_to_end.world import Run
from tests.unit.serving.page_stand_in import StandIn
from tests.unit.serving.small_models import PAIR, SEVERAL, VALUE, small_model

from bertune.checkpoints.model_folder import load
from bertune.serving.nearest_rows import NearestRows
from bertune.serving.training_features import training_rows

HOSTILE = "<img src=x onerror=\"document.title='ran'\"><script>document.title='ran'</script> \u05d0\u05d1 good"
# Texts against what is behind them, by the formula of WCAG 2; what is too faint to read at 4.5 to 1.
FAINT = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const [r, g, b, a = 1] = top;
    return [r, g, b].map((value, at) => a * value + (1 - a) * below[at]);
  };
  const behind = (place) => {
    const layers = [];
    for (let each = place; each; each = each.parentElement) {
      layers.push(numbers(getComputedStyle(each).backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const place = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !place.getClientRects().length || place.closest("option, noscript")) continue;
    const ground = behind(place);
    const ink = over(numbers(getComputedStyle(place).color), ground);
    const [dark, bright] = [light(ink), light(ground)].sort((one, other) => one - other);
    if ((bright + 0.05) / (dark + 0.05) < 4.5) found.push(`${place.tagName} ${walk.currentNode.data.slice(0, 40)}`);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def models(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StandIn]]:
    folder = tmp_path_factory.mktemp("models")
    made = {"mood": StandIn("mood", load(trained / "model"), trained)}
    for name, signature in {"pair": PAIR, "several": SEVERAL, "value": VALUE}.items():
        made[name] = StandIn(name, small_model(folder / name, signature))
    yield made
    for each in made.values():
        each.close()


@pytest.fixture(scope="module")
def address(models: dict[str, StandIn]) -> Iterator[str]:
    with page_served(models) as address:
        yield address


def opened(chromium: Chromium, address: str, *, width: int = 1280, dark: bool = False) -> Chromium:
    chromium.open(address, width=width, dark=dark)
    chromium.until("document.querySelector('#model')?.options.length > 0")
    return chromium


def choose_model(chromium: Chromium, name: str) -> None:
    chromium.value(
        f"(() => {{ const list = document.querySelector('#model'); list.value = '{name}';"
        "list.dispatchEvent(new Event('change')); })()"
    )


def type_into(chromium: Chromium, place: str, text: str) -> None:
    chromium.value(f"document.querySelector('{place}').focus()")
    chromium.value(f"document.querySelector('{place}').select()")
    chromium.write(text)


def ask(chromium: Chromium, first: str, second: str | None = None) -> None:
    type_into(chromium, "#text-a", first)
    if second is not None:
        type_into(chromium, "#text-b", second)
    chromium.press("Enter", control=True)
    chromium.until("!document.querySelector('#answer').ariaBusy && document.querySelector('#summary').textContent")


def words_in(chromium: Chromium, place: str) -> str:
    shown: str = chromium.value(f"document.querySelector('{place}').innerText")
    return shown


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["mood", "pair", "several", "value"])
def test_a_browser_shows_an_answer_whole_and_finds_nothing_to_complain_about(
    name: str, width: int, dark: bool, chromium: Chromium, address: str
) -> None:
    opened(chromium, address, width=width, dark=dark)
    choose_model(chromium, name)
    ask(chromium, f"{HOSTILE} the film was awful {'x' * 300}", "a good film" if name == "pair" else None)
    chromium.until("document.querySelector('#words-body .legend')")
    chromium.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert chromium.complaints == []
    assert {request.split("/page/")[0].rstrip("/") for request in chromium.requests} == {address.rstrip("/")}
    assert chromium.value("document.title") == "bertune: try a model"
    assert chromium.value("document.querySelectorAll('img, main script').length") == 0
    assert HOSTILE.split("\u05d0")[0] in chromium.value("document.querySelector('#words .text').textContent")
    assert chromium.value("document.documentElement.scrollWidth") <= width
    beyond = "[...document.querySelectorAll('body *')].filter(e => "
    assert chromium.value(f"{beyond} e.getBoundingClientRect().right > innerWidth + 1).length") == 0
    paper = chromium.value("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 60) == dark
    time.sleep(0.3)  # until bars have stopped growing
    assert chromium.value(FAINT) == []
    assert "ms" in words_in(chromium, "#took") or " s" in words_in(chromium, "#took")


def test_the_probability_is_that_of_the_command_line(chromium: Chromium, address: str, run: Run, trained: Path) -> None:
    opened(chromium, address)
    ask(chromium, "the film was a lovely story")
    row = next(
        csv.DictReader(run("predict", str(trained), "the film was a lovely story").stdout.splitlines(), delimiter="\t")
    )
    expected = f"{row['predicted_label']}, {100 * float(row['probability']):.1f} %"
    shown = words_in(chromium, "#summary")
    assert shown == expected or (float(row["probability"]) > 0.999 and "> 99.9 %" in shown)


def test_words_are_marked_with_their_sign_and_listed_by_weight(chromium: Chromium, address: str) -> None:
    opened(chromium, address)
    ask(chromium, "the plot was a lovely story")
    chromium.until("document.querySelector('#words-body .legend')")
    assert words_in(chromium, "#words-body .legend").split("\n")[0].strip() == "for up"
    assert chromium.value("document.querySelector('#words .text .word.for').textContent") == "lovely"
    listed = chromium.value("[...document.querySelectorAll('.weights li')].map((each) => each.textContent)")
    assert len(listed) == 6
    assert re.fullmatch(r"lovely \+\d+\.\d\d, for", listed[0])
    weights = [float(re.search(r"[+\u2212]([\d.]+)", each)[1]) for each in listed]
    assert weights == sorted(weights, reverse=True)


def test_the_page_can_be_used_by_the_keyboard_alone(chromium: Chromium, address: str) -> None:
    opened(chromium, address)
    chromium.value("document.activeElement.blur()")
    stops, outlines = [], []
    for _ in range(12):
        chromium.press("Tab")
        stops.append(chromium.value("document.activeElement.id || document.activeElement.className"))
        outlines.append(chromium.value("parseFloat(getComputedStyle(document.activeElement).outlineWidth)"))
    expected = ["skip", "model", "example", "text-a", "ask", "file", "pasted", "formula-safe", "predict"]
    assert stops[: len(expected)] == expected
    assert min(outlines[: len(expected)]) >= 2
    for _ in range(12):
        if chromium.value("document.activeElement.id") != "text-a":
            chromium.press("Tab", shift=True)
    assert chromium.value("document.activeElement.id") == "text-a"
    chromium.write("the film was lovely")
    chromium.press("Tab")
    chromium.press("Enter")
    chromium.until("document.querySelectorAll('.bars li').length === 2")
    assert words_in(chromium, "#summary").startswith("up, ")
    assert chromium.value("document.activeElement.id") == "ask"  # an answer takes no focus away
    chromium.until("document.querySelector('#words-body details')")
    chromium.press("Tab")
    assert chromium.value("document.activeElement.tagName") == "SUMMARY"
    chromium.press("Enter")
    assert chromium.value("document.querySelector('#words-body details').open")


def test_everything_that_can_be_used_has_a_name_and_what_changes_is_told(chromium: Chromium, address: str) -> None:
    opened(chromium, address)
    choose_model(chromium, "pair")
    chromium.value("document.querySelector('#columns').hidden = false")
    named = chromium.accessible()
    controls = {role for role, _ in named}
    assert {"combobox", "textbox", "button", "checkbox"} <= controls
    assert [
        role for role, name in named if not name and role in {"combobox", "textbox", "button", "checkbox", "link"}
    ] == []
    for place, live in {"summary": "polite", "nearest-body": "polite", "table-state": "polite"}.items():
        assert chromium.value(f"document.getElementById('{place}').ariaLive") == live
    for place in ("answer-problem", "table-problem", "page-problem"):
        assert chromium.value(f"document.getElementById('{place}').role") == "alert"
    assert chromium.value("document.documentElement.lang") == "en"


def test_a_blank_text_is_asked_for_where_the_focus_goes(chromium: Chromium, address: str) -> None:
    opened(chromium, address)
    choose_model(chromium, "pair")
    type_into(chromium, "#text-a", "good film")
    chromium.press("Enter", control=True)
    assert words_in(chromium, "#answer-problem") == "Type both texts first."
    assert chromium.value("document.activeElement.id") == "text-b"


def test_an_example_is_a_validation_row_and_is_answered_at_once(chromium: Chromium, address: str) -> None:
    opened(chromium, address)
    assert chromium.value("document.querySelector('#example').options.length") == 9
    chromium.value("document.querySelector('#example').focus()")
    chromium.press("ArrowDown")
    chromium.until("document.querySelectorAll('.bars li').length === 2")
    assert len(chromium.value("document.querySelector('#text-a').value").split()) == 5
    choose_model(chromium, "value")
    assert chromium.value("document.querySelector('#example-choice').hidden")
    assert words_in(chromium, "#summary") == "Type a text, or pick an example."


def test_the_nearest_training_rows_come_when_they_are_prepared(chromium: Chromium, address: str, tables: Path) -> None:
    with (tables / "train.csv").open(newline="") as stream:
        row = list(csv.DictReader(stream))[7]
    opened(chromium, address)
    ask(chromium, row["first"])
    chromium.until("document.querySelectorAll('#nearest .rows li').length === 3")
    first = words_in(chromium, "#nearest .rows li")
    assert row["first"] in first
    assert row["mood"] in first
    assert "similarity 1.000" in first


@pytest.mark.parametrize(
    ("status", "retry_after", "told"),
    [
        (429, 3, "The server is busy. Try again in 3 seconds."),
        (429, None, "The server is busy. Try again in a moment."),
        (503, None, "The server is stopping or starting. Try again in a moment."),
        (504, None, "The server took too long and gave up. Try again, or with a shorter text."),
        (413, None, "in the server's own words"),
        (500, None, "The server failed. What happened is in its log."),
    ],
)
def test_what_a_server_refuses_is_told_in_a_sentence(
    status: int, retry_after: int | None, told: str, chromium: Chromium, address: str, models: dict[str, StandIn]
) -> None:
    opened(chromium, address)
    models["mood"].fails_with = ServerRefusalError(status, retry_after)
    try:
        type_into(chromium, "#text-a", "good film")
        chromium.press("Enter", control=True)
        chromium.until("document.querySelector('#answer-problem').textContent")
    finally:
        models["mood"].fails_with = None
    assert words_in(chromium, "#answer-problem") == told
    ask(chromium, "good film")
    assert chromium.value("document.querySelector('#answer-problem').hidden")


def test_a_server_that_has_gone_is_told(chromium: Chromium, models: dict[str, StandIn]) -> None:
    with page_served({"value": models["value"]}) as address:
        opened(chromium, address)
    type_into(chromium, "#text-a", "good film")
    chromium.press("Enter", control=True)
    chromium.until("document.querySelector('#answer-problem').textContent")
    assert words_in(chromium, "#answer-problem") == "The server cannot be reached. Is it still running?"


def saved_table(chromium: Chromium, folder: Path) -> Path:
    """Saves the table that is ready, by the keyboard."""
    chromium.save_downloads_in(folder)
    chromium.until("!document.querySelector('#result').hidden")
    assert chromium.value("document.activeElement.id") == "download"
    chromium.press("Enter")
    path = folder / chromium.value("document.querySelector('#download').download")
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return path


def test_a_table_comes_back_as_the_command_line_writes_it(
    chromium: Chromium, address: str, tables: Path, run: Run, trained: Path, tmp_path: Path
) -> None:
    opened(chromium, address)
    chromium.choose_file("#file", tables / "test.csv")
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    saved = saved_table(chromium, tmp_path)
    assert saved.name == "test.predicted.csv"
    assert words_in(chromium, "#result-words") == "80 rows."
    out = tmp_path / "out.csv"
    wanted = ["--data", str(tables / "test.csv"), "--keep", "all", "--on-bad-row", "skip", "--out", str(out)]
    done = run("predict", str(trained), *wanted)
    assert done.returncode == 0, done.stderr
    rows, expected = (list(csv.reader(path.read_text().splitlines())) for path in (saved, out))
    assert [row[:-4] for row in rows] == [row[:-4] for row in expected]
    shares = [[[float(cell) for cell in row[-4:-1]] for row in table[1:]] for table in (rows, expected)]
    np.testing.assert_allclose(*shares, atol=1e-5)
    assert chromium.complaints == []


def test_pasted_rows_with_other_columns_ask_which_to_take(chromium: Chromium, address: str, tmp_path: Path) -> None:
    opened(chromium, address)
    choose_model(chromium, "pair")
    type_into(chromium, "#pasted", "id,left,right\n1,good film,<b>bad</b> film\n")
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    chromium.until("!document.querySelector('#columns').hidden")
    assert words_in(chromium, "#table-problem") == "Which columns hold the two texts?"
    assert chromium.value("document.activeElement.id") == "column-a"
    chromium.press("ArrowDown")
    chromium.press("Tab")
    chromium.press("ArrowDown")
    assert chromium.value("['a', 'b'].map((each) => document.querySelector(`#column-${each}`).value)") == [
        "left",
        "right",
    ]
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    (row,) = csv.DictReader(saved_table(chromium, tmp_path).read_text().splitlines())
    assert (row["left"], row["right"]) == ("good film", "<b>bad</b> film")
    assert row["probability_<b>odd</b>"]


def test_rows_without_names_can_be_predicted(chromium: Chromium, address: str, tmp_path: Path) -> None:
    opened(chromium, address)
    choose_model(chromium, "several")
    type_into(chromium, "#pasted", "good film\nbad film\n")
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    chromium.until("!document.querySelector('#columns').hidden")
    chromium.value("document.querySelector('#no-header').focus()")
    chromium.press(" ")
    chromium.until("document.querySelector('#column-a').innerText.includes('0: good film')")
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    rows = list(csv.DictReader(saved_table(chromium, tmp_path).read_text().splitlines()))
    assert [row["column_0"] for row in rows] == ["good film", "bad film"]


def test_a_file_that_is_no_table_is_told_and_the_page_goes_on(chromium: Chromium, address: str, tmp_path: Path) -> None:
    opened(chromium, address)
    book = tmp_path / "book.csv"
    book.write_bytes(b"first\n\xff\xd8\xff\xe0")
    chromium.choose_file("#file", book)
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    chromium.until("document.querySelector('#table-problem').textContent")
    assert words_in(chromium, "#table-problem").startswith("book.csv")
    assert chromium.value("document.querySelector('#progress-place').hidden")
    assert chromium.value("!document.querySelector('#predict').ariaDisabled")


def test_a_table_can_be_stopped(chromium: Chromium, address: str, models: dict[str, StandIn], tmp_path: Path) -> None:
    opened(chromium, address)
    (tmp_path / "long.csv").write_text("first\n" + "the film was good\n" * 40_000)
    chromium.choose_file("#file", tmp_path / "long.csv")
    chromium.value("document.querySelector('#predict').focus()")
    chromium.press("Enter")
    chromium.until("document.querySelector('#progress').value > 0")
    chromium.value("document.querySelector('#stop').focus()")
    chromium.press("Enter")
    chromium.until("document.querySelector('#stop').hidden")
    assert words_in(chromium, "#table-state") == "Stopped."
    assert chromium.value("document.activeElement.id") == "predict"
    time.sleep(0.5)
    asked = models["mood"].asked
    time.sleep(0.5)
    assert models["mood"].asked == asked


def test_a_server_with_a_key_and_no_rows_shows_the_page_to_whoever_has_it(chromium: Chromium, trained: Path) -> None:
    key = "a-key-of-enough-letters"
    with serving(f"mood={trained}", "--hide-rows", BERTUNE_SERVE_API_KEY=key) as server:
        assert server.client.get("/").status_code == 401
        opened(chromium, server.address.replace("://", f"://anyone:{key}@"))
        ask(chromium, "the plot was a lovely story")
        chromium.until("document.querySelector('#words-body .legend')")
        assert words_in(chromium, "#summary").startswith("up, ")
        assert "fp32" in words_in(chromium, "#took")
        assert chromium.value("document.querySelector('#example-choice').hidden")
        assert chromium.value("document.querySelector('#nearest').hidden")
        type_into(chromium, "#pasted", "first\ngood film\n")
        chromium.value("document.querySelector('#predict').focus()")
        chromium.press("Enter")
        chromium.until("!document.querySelector('#result').hidden")
        assert chromium.complaints == []
        metrics = server.client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).text
        assert '"/page/answer"' in metrics
        assert "lovely" not in "".join(server.lines)
        server.tell()
        assert server.ends() == 0


def test_no_row_is_shown_where_none_may_be(models: dict[str, StandIn]) -> None:
    with page_served({"mood": models["mood"]}, show_rows=False) as address:
        (told,) = httpx.get(f"{address}page/models").json()["models"]
        assert (told["examples"], told["nearest"]) == ([], "none")
        nearest = httpx.post(f"{address}page/nearest", json={"model": "mood", "text_a": "good film"}).json()
        assert nearest == {"rows": [], "nearest": "none"}


def test_rows_that_are_no_longer_those_of_training_are_not_shown(trained: Path, tmp_path: Path) -> None:
    assert training_rows(trained, 320) is not None
    assert training_rows(trained, 319) is None
    assert training_rows(tmp_path, 320) is None
    moved = tmp_path / "run"
    shutil.copytree(trained, moved)
    settings = (moved / "run.toml").read_text()
    for data in ("hf://datasets/nobody/nothing", "nowhere.csv"):
        (moved / "run.toml").write_text(re.sub(r'(?m)^data = ".*"$', f'data = "{data}"', settings))
        assert training_rows(moved, 320) is None


def test_of_many_training_rows_some_are_compared_with(models: dict[str, StandIn]) -> None:
    async def prepared() -> Any:
        nearest = NearestRows(models["mood"], most_rows=40)
        nearest.start()
        while nearest.state == "preparing":
            await asyncio.sleep(0.01)
        return nearest

    nearest = asyncio.run(prepared())
    assert nearest.state == "ready"
    assert len(nearest._prepared.rows) == 40
