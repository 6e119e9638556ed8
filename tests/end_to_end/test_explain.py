"""`bertune predict --explain` through the real command line."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import BAD, GOOD, Run


@pytest.mark.parametrize("method", [[], ["--explain-by", "occlusion"]])
def test_the_word_that_tells_the_label_is_named_first(run: Run, trained: Path, method: list[str]) -> None:
    texts = "the film was lovely and a story\nthe music was very Awful\n"
    done = run("predict", str(trained), "--explain", *method, stdin=texts)
    assert done.returncode == 0, done.stderr
    heads = [line for line in done.stdout.splitlines() if line[0].isdigit()]
    assert [head.split()[:2] for head in heads] == [["1.", "up"], ["2.", "down"]]
    assert "lovely[+++]" in done.stdout
    assert "Awful[+++]" in done.stdout  # as the text has it
    assert "\x1b" not in done.stdout


def test_a_terminal_with_colours_gets_colours_and_no_signs(run: Run, trained: Path) -> None:
    world = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": ""}
    text = "the film was lovely and a \x1b[2Jstory\n"
    done = run("predict", str(trained), "--explain", "--quiet", stdin=text, **world)
    assert done.returncode == 0, done.stderr
    assert "\x1b[1;30;46mlovely\x1b[0m" in done.stdout
    assert "[+++]" not in done.stdout
    assert "\x1b[2J" not in done.stdout  # what steers the terminal does not pass
    plain = run("predict", str(trained), "--explain", "--quiet", stdin=text, **world | {"NO_COLOR": "1"})
    assert "\x1b" not in plain.stdout
    assert "lovely[+++]" in plain.stdout


def test_json_has_every_word_with_its_place_and_the_answers_of_predict(run: Run, trained: Path, tables: Path) -> None:
    data = ("--data", str(tables / "test.csv"), "--json", "--quiet")
    done = run("predict", str(trained), *data, "--explain", "--limit", "12")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    plain = [json.loads(line) for line in run("predict", str(trained), *data).stdout.splitlines()]
    assert len(rows) == 12
    for row, same in zip(rows, plain[:12], strict=True):
        explanation = row.pop("explanation")
        rounded = {"probability": None, "probabilities": None}
        assert {**row, **rounded} == {**same, **rounded}
        assert row["probabilities"] == pytest.approx(same["probabilities"], abs=1e-6)  # other batches, other rounding
        (reason,) = explanation["reasons"]
        assert [row["first"][word["start"] : word["end"]] for word in reason["words"]] == row["first"].split()
        best = max(reason["words"], key=lambda word: word["attribution"])
        assert best["word"] in (GOOD if row["predicted_label"] == "up" else BAD)
        assert explanation["unread"] == [0]


def test_what_cannot_be_explained_is_refused_in_a_sentence(run: Run, trained: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.csv"
    many.write_text("first\n" + "the film was good\n" * 1001)
    for arguments, said in (
        (["--data", str(many), "--explain"], "error: 1,001 rows are many to explain"),
        (["--data", str(many), "--explain", "--limit", "0"], "error: --limit must be at least 1, not 0"),
        (["--explain-by", "occlusion"], "error: without --explain nothing is explained, so --explain-by has no effect"),
        (["--limit", "3"], "error: without --explain nothing is explained, so --limit has no effect"),
        (["--explain", "--explain-by", "lime"], "error: --explain-by: 'lime' is not one of"),
        (["--explain", "--precision", "bf16"], "so --precision has no effect"),
    ):
        done = run("predict", str(trained), *arguments, "--quiet", stdin="the film was good\n")
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stdout == ""


def test_records_without_texts_are_not_explained(
    run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    from tests.end_to_end.world import COLUMNS

    out = tmp_path / "records"
    source = ("--data", str(tables / "test.csv"), *COLUMNS, "--model", str(model), "--max-length", "32")
    done = run("encode", *source, "--out", str(out))
    assert done.returncode == 0, done.stderr
    done = run("predict", str(trained), "--data", str(out), "--explain", "--quiet")
    assert done.returncode == 2
    assert "holds no texts whose words could be explained" in done.stderr
