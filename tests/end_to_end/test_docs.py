"""What README and docs say: links lead somewhere, commands can be typed, those of guides are run as written."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tests.end_to_end.workshop import make_workshop, variables
from tests.end_to_end.world import Run

from bertune.cli.app import make_app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Every Markdown file; what else lies in the folder is not the repository's.
ALL_PAGES = sorted(
    page
    for pattern in (
        "*.md",
        ".github/**/*.md",
        "benchmarks/**/*.md",
        "docs/**/*.md",
        "examples/**/*.md",
        "tests/**/*.md",
    )
    for page in ROOT.glob(pattern)
)
# Commands of another time: those of a release, and those that made a result.
HISTORY = {ROOT / "CHANGELOG.md", *(ROOT / "benchmarks" / "results").glob("*.md")}
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
# Beginnings of commands that are not run here, and why.
ELSEWHERE = {
    "bertune train --task mrpc --data glue/MRPC --model gs://": "needs the network; test_model_address.py has a server",
    "bertune export runs/q exported/served --format saved_model": "needs TensorFlow; tests/parity/test_saved_model.py",
    "bertune export runs/q exported/texts --format saved_model": "as above; tests/parity/test_saved_model_of_texts.py",
    "bertune predict runs/mnli --data DIR --glue-submission": "DIR is the reader's; test_glue_by_name.py",
    "bertune serve": "does not end; test_serve.py",
    "bertune push runs/q me/questions --license": "needs a hub; test_push.py has a server",
    "bertune train --config runs/q/run.toml --relabel": "needs decisions; test_relabel.py",
    "bertune compare runs/q runs/relabelled": "needs decisions; test_relabel.py",
    "bertune distill runs/q --keep-layers 0,2,4": "needs six layers; test_distill.py",
    "bertune train --data votes.csv": "needs votes; test_distill.py",
    "bertune sweep": "trains six times; test_sweep.py",
    "bertune inspect avis.csv": "needs a file of Excel's; test_reading.py",
    "bertune inspect models/wrapped": "needs a wrapped checkpoint; unit/checkpoints/test_restore.py",
    "bertune evaluate models/three": "needs a folder of transformers; unit/checkpoints/test_transformers_classifier.py",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path) -> tuple[list[str], str]:
    """A page's blocks of code that are not of a language but a shell's, and the text around all blocks."""
    blocks, text = [], []
    for place, part in enumerate(re.split(r"^```", text_of(page), flags=re.MULTILINE)):
        if place % 2 == 0:
            text.append(part)
        elif part.partition("\n")[0] in ("", "sh", "bash", "console"):
            blocks.append(part)
    return blocks, " ".join(text)


def commands_of(page: Path) -> list[str]:
    """The commands in a page's blocks of code, in order, each on one line."""
    lines = [line for block in blocks_of(page)[0] for line in block.replace("\\\n", " ").splitlines()]
    typed = [line.removeprefix("$ ").strip() for line in lines]
    return [line for line in typed if re.match(r"bertune [a-z-]+ ", line) and "…" not in line]


def words_of(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", text_of(page))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_anchors_are_headings_of_their_page(page: Path) -> None:
    missing = []
    for link, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)]*)\)", text_of(page)):
        target = page.parent / link if link else page
        headings = re.findall(r"^#+ (.*)$", text_of(target), flags=re.MULTILINE)
        if anchor not in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}:
            missing.append(f"{link}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", [page for page in ALL_PAGES if page not in HISTORY], ids=name_of)
def test_verbs_and_flags_exist(page: Path) -> None:
    app = make_app()
    for command in re.findall(r"`(bertune [a-z][^`]*)`", blocks_of(page)[1]) + commands_of(page):
        verb, *rest = command.split()[1:]
        assert verb in app, f"no verb {verb}: {command}"
        known = {flag for argument in app[verb].assemble_argument_collection() for flag in argument.names}
        known |= {"--help", "--help-all", "--config"}
        flags = [word.split("=")[0] for word in rest if re.fullmatch(r"--[a-z][a-z-]*(=.*)?", word)]
        assert [flag for flag in flags if flag not in known] == [], command


def test_the_readme_stays_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


def test_targets_of_make_that_pages_name_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    named = {
        (name_of(page), target)
        for page in ALL_PAGES
        for target in re.findall(r"(?:^ *|`)make ([a-z][a-z-]*)", text_of(page), flags=re.MULTILINE)
    }
    assert {(page, target) for page, target in named if target not in targets} == set()
    assert ("README.md", "demo") in named


@pytest.fixture(scope="module")
def workshop(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workshop(tmp_path_factory.mktemp("workshop"), run)


@pytest.mark.parametrize("page", [page for page in GUIDES if commands_of(page)], ids=name_of)
def test_the_commands_of_a_guide_run(
    run: Run, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    here = tmp_path / "here"
    shutil.copytree(workshop, here)
    monkeypatch.chdir(here)
    for command in commands_of(page):
        if command.startswith(tuple(ELSEWHERE)):
            continue
        words = words_of(command)
        if "--out" in words:  # a guide makes the run that others have been given
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        done = run(*words, **variables(here, words))
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_what_is_run_elsewhere_is_still_there() -> None:
    commands = [command for page in GUIDES for command in commands_of(page)]
    assert [each for each in ELSEWHERE if not any(command.startswith(each) for command in commands)] == []


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)", text_of(index))}
    assert [name_of(page) for page in PAGES if page != index and page not in linked] == []
