"""The proof of a refactor sees what it must see, and leaves out only times."""

from pathlib import Path

import pytest
from tests.refactor_proof.comparison import contents, differences, judge
from tests.refactor_proof.steps import STEPS


def sides(folder: Path, name: str, before: bytes, after: bytes) -> dict[str, list[str]]:
    for side, data in (("before", before), ("after", after)):
        (folder / side / name).parent.mkdir(parents=True)
        (folder / side / name).write_bytes(data)
    return differences(contents(folder / "before"), contents(folder / "after"))


def seconds_table(seed: int, seconds: int) -> bytes:
    row = f"<tr><td>{seed}</td><td>{seconds}</td></tr>"
    return f"<table><tr><th>seed</th><th>seconds</th></tr>{row}</table>".encode()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("model.safetensors", b"\x00\x01", b"\x00\x02"),
        ("metrics.jsonl", b'{"loss": 0.5, "seconds": 1.5}\n', b'{"loss": 0.6, "seconds": 1.5}\n'),
        ("report.html", b"<td>0.5</td>", b"<td>0.50</td>"),
        ("report.html", seconds_table(1, 9), seconds_table(2, 9)),
        ("train.err.txt", b"accuracy 50.0 %", b"accuracy 50.1 %"),
        ("run.toml", b"seed = 1", b"seed = 2"),
        ("records.tfrecord", b"a", b"ab"),
    ],
)
def test_a_difference_is_told(tmp_path: Path, name: str, before: bytes, after: bytes) -> None:
    assert list(sides(tmp_path, f"out/run/{name}", before, after)) == [f"out/run/{name}"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("metrics.jsonl", b'{"loss": 0.5, "seconds": 1.5}\n', b'{"loss": 0.5, "seconds": 0.25}\n'),
        ("train.err.txt", b"epoch 1/1  loss 0.69  1,222 examples/s", b"epoch 1/1  loss 0.69  22 examples/s"),
        ("train.out.txt", b"trained 24 steps in 2 s, 80 examples/s", b"trained 24 steps in 1.5 s, 85 examples/s"),
        ("report.html", b"made on 2026-11-28 23:59", b"made on 2026-11-29 00:01"),
        ("report.html", b"in 2 s, 1,200 examples a second", b"in 14 s, 80 examples a second"),
        ("report.html", seconds_table(9, 9), seconds_table(9, 12)),
        ("train.err.txt", b"a\nstep 9/20  loss 0.5  3 s left\nb", b"a\nb"),
    ],
)
def test_times_are_left_out(tmp_path: Path, name: str, before: bytes, after: bytes) -> None:
    assert sides(tmp_path, name, before, after) == {}


def test_a_file_of_one_side_alone_is_told(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "new").touch()
    assert differences({"old": b""}, contents(tmp_path / "b")) == {"new": ["only after"], "old": ["only before"]}


def test_the_wall_time_of_an_event_is_all_that_is_left_out(tmp_path: Path) -> None:
    def record(wall_time: bytes, rest: bytes) -> bytes:
        event = b"\x09" + wall_time + rest
        return len(event).to_bytes(8, "little") + b"crc." + event + b"crc."

    name = "tensorboard/events.out.tfevents"
    first, second = (record(time * 8, b"loss") * 2 for time in (b"a", b"b"))
    assert sides(tmp_path / "same", name, first, second) == {}
    assert list(sides(tmp_path / "other", name, first, record(b"a" * 8, b"loss") + record(b"a" * 8, b"los5"))) == [name]


def test_what_is_expected_has_a_pattern_and_each_pattern_meets_something() -> None:
    found = {"out/a/report.html": ["-x"], "out/a/scores.json": ["-y"]}
    unexpected, unmet = judge(found, {"out/*/report.html": "reworded", "*.onnx": "new"})
    assert (list(unexpected), unmet) == (["out/a/scores.json"], ["*.onnx"])


def test_each_step_has_a_name_of_its_own_and_no_long_path() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    assert all("/tmp" not in step.command and "{" not in step.command for step in STEPS)
