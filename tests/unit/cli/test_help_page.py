"""The help of every verb: one screen, an example that can be typed, no word of Python."""

import contextlib
import io
import re

import pytest

from bertune.cli.app import _USAGES, _VERBS, main, make_app
from bertune.cli.help_page import EXAMPLES, GROUPS, USUAL, first_clause
from bertune.cli.unknown_options import flags_of, unknown_option
from bertune.wording.aligned import cells

_EVERYWHERE = {"--help", "--help-all", "--config", "--version"}


def page_of(verb: str, flag: str, monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert main([verb, flag]) == 0
    return shown.getvalue().splitlines()


@pytest.mark.parametrize("verb", _VERBS)
def test_help_is_one_page_with_an_example(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(verb, "--help", monkeypatch)
    assert len(page) <= 60
    assert max(map(cells, page)) <= 80
    assert page[0] == f"Usage: bertune {verb} {_USAGES[verb]}"
    text = " ".join(line.strip() for line in page)
    assert f"Example {EXAMPLES[verb]} " in text
    assert "--config FILE" in text
    assert f"bertune {verb} --help-all" in text


@pytest.mark.parametrize("verb", _VERBS)
def test_help_has_no_word_of_python(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(verb, "--help-all", monkeypatch)
    assert max(map(cells, page)) <= 80
    text = "\n".join(page)
    assert not re.search(r"\bNone\b|\bLITERAL\b|\bFalse\b|\(\)|`|\b(batch|learning|text)_\w+", text)


@pytest.mark.parametrize("verb", ["evaluate", "predict", "compare", "calibrate", "export"])
def test_every_verb_says_of_its_own_data_what_is_read_without(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(" ".join(page_of(verb, "--help-all", monkeypatch)).split())
    split = "test" if verb in ("export", "predict") else "validation"
    assert f"--split which split of a folder, by default {split}" in text


@pytest.mark.parametrize("verb", _VERBS)
def test_examples_can_be_typed(verb: str) -> None:
    words = EXAMPLES[verb].split()
    assert words[:2] == ["bertune", verb]
    assert unknown_option(make_app(), words[1:]) is None
    # Binds every argument: raises where one is missing or of another type.
    # What the run of a teacher says of its data need not be typed again.
    below = {"distill": {"data": "d", "text-a": "t", "label": "l"}}
    make_app(below=below).parse_args(words[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("verb", _VERBS)
def test_everything_is_on_the_long_page(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (page_of(verb, flag, monkeypatch) for flag in ("--help", "--help-all"))
    flags = {line.split()[0] for line in long if re.match(r"  \S", line)}
    # What is named by its place stands without a flag.
    places = {f"--{word.lower()}" for word in flags if word.isupper()}
    assert flags_of(make_app(), verb) - _EVERYWHERE - places <= flags
    shown = {line.split()[0] for line in short if re.match(r"  \S", line)}
    hidden = next((int(line.split()[0]) for line in short if " more options" in line), 0)
    assert hidden == len(flags - shown)


def test_the_example_of_a_variable_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in _VERBS:
        (line,) = (line for line in page_of(verb, "--help", monkeypatch) if "each option is a variable" in line)
        flag = line.split()[-1].removeprefix(f"BERTUNE_{verb.upper()}_").replace("_", "-").lower()
        assert f"--{flag}" in flags_of(make_app(), verb)


def test_groups_name_each_flag_once_and_flags_that_are() -> None:
    grouped = [flag for flags in GROUPS.values() for flag in flags]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) >= USUAL


def test_a_flag_of_no_group_comes_under_a_heading_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GROUPS, "Output", tuple(flag for flag in GROUPS["Output"] if flag != "--html"))
    page = page_of("compare", "--help", monkeypatch)
    place = page.index("Further options")
    assert page[place + 1].startswith("  --html")
    assert len(page) <= 60


def test_a_narrow_terminal_gets_a_narrow_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(map(cells, page_of("predict", "--help-all", monkeypatch, columns=60))) <= 60


def test_the_page_of_all_verbs_has_them_in_the_order_of_a_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    page = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in page if re.match(r"  \S", line)]
    assert named[: len(_VERBS)] == list(_VERBS)
    assert max(map(cells, page)) <= 80


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("passes over the data.", "passes over the data"),
        ("a table (CSV; also TSV), or a folder; more", "a table (CSV; also TSV), or a folder"),
        ("from 0.5 on; the rest", "from 0.5 on"),
    ],
)
def test_a_clause_ends_outside_of_parentheses_and_numbers(text: str, clause: str) -> None:
    assert first_clause(text) == clause
