"""The report of a run, looked at in a real browser."""

import contextlib
import csv
import json
import random
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chromium import Chromium
from tests.damage import damaged
from tests.end_to_end.world import COLUMNS, TRAINING, Run, write_table
from tests.json_changes import changed

from bertune.errors import CheckpointError, DataError
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.run_report import report_page, write_report

SCRIPT = "<script>document.title='ran'</script>"
IMAGE = "<img src=x onerror=\"document.title='ran'\">"
STYLE = "</style></title><style>body{display:none}</style>"
TURNED = "\u202eright to left"
ATTACKS = (SCRIPT, IMAGE, STYLE, TURNED, "x" * 1_000_000, "]]>--><!--", "\u05d0\u05d1\u05d2")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def hostile(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on data whose texts, labels, columns and file names are attacks."""
    folder = tmp_path_factory.mktemp("hostile") / f"{IMAGE} 'data'"
    folder.mkdir()
    column, target = f"{SCRIPT}text", f"{IMAGE}label"
    labels = {"up": f"{STYLE}{SCRIPT}", "down": f"\"down\" 'quoted' {TURNED}"}
    for name, rows_in in (("train", 64), ("validation", 16)):
        write_table(folder / "plain.csv", rows_in, rows_in)
        with (folder / "plain.csv").open(newline="") as stream:
            rows = [[row["first"], labels[row["mood"]]] for row in csv.DictReader(stream)]
        (folder / "plain.csv").unlink()
        # Each with both labels, so that one of the two is an error, and is shown.
        rows += [[f"good film {attack}", label] for attack in ATTACKS for label in labels.values()]
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([[column, target], *rows])
    out = folder.parent / f"{IMAGE}run"
    columns = ["--text-a", column, "--label", target]
    done = run("train", "--data", str(folder), *columns, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def values(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a regression."""
    folder = tmp_path_factory.mktemp("values")
    for name in ("train", "validation"):
        rows = [f"{text}\t{value}" for text, value in (("good film", 4.5), ("bad film", 0.5), ("the plot", 2.25))] * 12
        (folder / f"{name}.tsv").write_text("text\tscore\n" + "\n".join(rows) + "\n")
    columns = ["--text-a", "text", "--label", "score", "--kind", "regression"]
    out = folder / "run"
    done = run("train", "--data", str(folder), *columns, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def unscored(run: Run, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without validation data."""
    out = tmp_path_factory.mktemp("unscored") / "run"
    data = ["--data", str(tables / "train.csv"), "--validation", "none", *COLUMNS, "--model", str(model)]
    done = run("train", *data, "--out", str(out), "--epochs", "1")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def several(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows have several labels or none."""
    folder = tmp_path_factory.mktemp("several")
    texts = (("good film", "kind"), ("bad film", "rude"), ("good bad film", "kind;rude"), ("the plot", ""))
    for name in ("train", "validation"):
        rows = [f"{text}\t{labels}" for text, labels in texts] * 9
        (folder / f"{name}.tsv").write_text("text\ttone\n" + "\n".join(rows) + "\n")
    columns = ["--text-a", "text", "--label", "tone", "--kind", "multi-label", "--label-separator", ";"]
    out = folder / "run"
    data = ["--data", str(folder), *columns, "--allow-no-label", "--model", str(model)]
    done = run("train", *data, "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def seeds(run: Run, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of seeds."""
    out = tmp_path_factory.mktemp("seeds") / "run"
    data = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out)]
    done = run("train", *data, "--epochs", "2", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    return out


KINDS = ["trained", "hostile", "values", "several", "seeds", "unscored"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_a_browser_shows_it_whole_and_finds_nothing_to_complain_about(
    kind: str, width: int, dark: bool, chromium: Chromium, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    page = folder / "report.html"
    chromium.open(page, width=width, dark=dark)
    assert chromium.complaints == []
    assert chromium.requests == [page.as_uri()]
    assert chromium.value("document.title") == f"bertune report: {folder.name}"
    assert chromium.value("innerWidth") == width
    assert chromium.value("document.documentElement.scrollWidth") <= width
    # Nothing reaches over the edge but what scrolls by itself.
    beyond = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg') && "
    assert chromium.value(f"{beyond} e.getBoundingClientRect().right > innerWidth + 1).length") == 0
    paper = chromium.value("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 60) == dark
    assert chromium.value("document.querySelectorAll('header').length") == 1
    assert chromium.value("getComputedStyle(document.body).display") == "block"


@pytest.mark.parametrize("kind", KINDS)
def test_no_letter_of_a_picture_is_too_small_to_read(
    kind: str, chromium: Chromium, request: pytest.FixtureRequest
) -> None:
    for width in (380, 1280):
        chromium.open(request.getfixturevalue(kind) / "report.html", width=width)
        smallest = chromium.value(
            "Math.min(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height))"
        )
        assert smallest is None or smallest > 10


def test_planted_markup_is_shown_as_text(hostile: Path, chromium: Chromium) -> None:
    chromium.open(hostile / "report.html", width=1280)
    assert chromium.value("document.querySelectorAll('script, img, iframe, object, link, base').length") == 0
    assert chromium.value("document.querySelectorAll('style').length") == 1
    words = chromium.value("document.body.textContent")
    for attack in (SCRIPT, IMAGE, STYLE, "]]>--><!--", "x" * 900, "\u05d0\u05d1\u05d2", "\ufffdright to left"):
        assert attack in words
    assert "\u202e" not in words
    assert "x" * 1_500 not in words
    assert "characters)" in words
    assert (hostile / "report.html").stat().st_size < 400_000


def test_even_a_script_that_got_in_would_not_run(trained: Path, tmp_path: Path, chromium: Chromium) -> None:
    page = tmp_path / "page.html"
    document = (trained / "report.html").read_text()
    page.write_text(document.replace("<main>", f"<main>{SCRIPT}{IMAGE}", 1))
    chromium.open(page, width=1280)
    assert chromium.value("document.querySelectorAll('script').length") == 1
    assert chromium.value("document.title") == f"bertune report: {trained.name}"
    assert any("Content Security Policy" in complaint for complaint in chromium.complaints)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_made_again_from_the_files_of_the_folder_alone(
    kind: str, run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made: Path = request.getfixturevalue(kind)
    copy = tmp_path / made.name
    shutil.copytree(made, copy)
    before = (copy / "report.html").read_bytes()
    for name in ("report.html", "metrics.json"):
        (copy / name).unlink()
    (copy / "model" / "model.safetensors").unlink()
    done = run("report", str(copy))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"report: {copy / 'report.html'}\n".replace("\u202e", "\ufffd")
    assert (copy / "report.html").read_bytes() == before
    numbers = json.loads((copy / "metrics.json").read_text())
    metrics = RunMetrics.from_json(numbers)
    assert metrics.to_json() == numbers
    assert report_page(metrics).encode() == before


def test_train_names_the_report(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), "--epochs", "1"]
    shown = run("train", *arguments, "--out", str(tmp_path / "a"))
    assert shown.stdout.splitlines()[-1] == f"report: {tmp_path / 'a' / 'report.html'}"
    told = json.loads(run("train", *arguments, "--out", str(tmp_path / "b"), "--json").stdout)
    assert told["report"] == str(tmp_path / "b" / "report.html")


def test_the_command_in_it_repeats_the_run(run: Run, trained: Path, tmp_path: Path) -> None:
    words = words_of(trained)
    words[words.index("--out") + 1] = str(tmp_path / "again")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again" / "model" / "model.safetensors"
    assert again.read_bytes() == (trained / "model" / "model.safetensors").read_bytes()


def test_a_shell_reads_the_command_as_it_is_meant(hostile: Path) -> None:
    settings = tomllib.loads((hostile / "run.toml").read_text())["train"]
    words = words_of(hostile)
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given == {f"--{name}": str(value) for name, value in settings.items() if value is not False}


def words_of(folder: Path) -> list[str]:
    """What a shell makes of the command in a report."""
    command = json.loads((folder / "metrics.json").read_text())["command"]
    shell = "bertune() { printf '%s\\0' \"$@\"; }\n" + command
    return subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def test_a_study_shows_every_seed_and_their_mean(seeds: Path, chromium: Chromium) -> None:
    chromium.open(seeds / "report.html", width=1280)
    numbers = json.loads((seeds / "metrics.json").read_text())
    assert [curve["name"] for curve in numbers["curves"]] == ["seed-42", "seed-43"]
    values = [result["metrics"]["accuracy"] for result in numbers["seeds"]["results"]]
    shown = chromium.value("document.querySelector('header').textContent")
    assert f"2 seeds: mean {50 * sum(values):.1f}" in shown
    assert chromium.value("document.querySelectorAll('#seeds tbody tr').length") >= 4


def test_a_folder_that_is_no_run_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("report", str(tmp_path))
    assert done.returncode == 2
    assert "run.toml" in done.stderr


RUN_FILES = [
    "run.toml",
    "metrics.jsonl",
    "data.json",
    "receipt.json",
    "scores.json",
    "evaluations.json",
    "calibration.json",
    "validation.jsonl",
    "doubtful.jsonl",
    "model/bertune.json",
]


def spoilt(path: Path, count: int) -> Iterator[bytes]:
    """A file of a run damaged so many times, then with other values in so many of its places."""
    content = path.read_bytes()
    yield from damaged(content, count, path.name)
    if path.suffix == ".toml":
        return
    first, rest = content.split(b"\n", 1) if path.suffix == ".jsonl" else (content, b"")
    others = list(changed(json.loads(first)))
    for values in random.Random(path.name).sample(others, min(count, len(others))):
        yield json.dumps(values).encode() + b"\n" + rest


@pytest.mark.parametrize("count", [5, pytest.param(600, marks=pytest.mark.slow)])
def test_whatever_a_file_of_a_run_holds_the_report_is_made_or_the_run_is_named(
    run: Run, trained: Path, tables: Path, tmp_path: Path, count: int
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    done = run("evaluate", str(copy), "--data", str(tables / "validation.csv"))
    assert done.returncode == 0, done.stderr
    sound = {name: (copy / name).read_bytes() for name in RUN_FILES if (copy / name).is_file()}
    assert {"metrics.jsonl", "scores.json", "evaluations.json", "validation.jsonl"} <= set(sound)
    made = 0
    for name, content in sound.items():
        for other in spoilt(copy / name, count):
            (copy / name).write_bytes(other)
            with contextlib.suppress(DataError, CheckpointError):
                write_report(copy)
                made += 1
        (copy / name).write_bytes(content)
    assert 0 < made < count * len(sound) * 2
    write_report(copy)


def test_a_damaged_file_is_named_with_its_line(run: Run, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    with (copy / "validation.jsonl").open("a") as stream:
        stream.write("{not json}\n")
    done = run("report", str(copy))
    assert done.returncode == 3
    assert "validation.jsonl:81" in done.stderr
