"""Progress of re-encoding off a terminal: plain lines with rows a second and time left."""

import itertools
import time

import pytest

from bertune.cli.progress import EncodingProgress
from bertune.shards.reencode import ReencodeProgress


def test_a_line_every_ten_seconds_says_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 4)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    with EncodingProgress("train") as progress:
        progress.show(ReencodeProgress("reading", 1000, None))
        for rows in (2000, 4000, 6000, 8000):
            progress.show(ReencodeProgress("encoding", rows, 20_000))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["encoding train: 4,000 of 20,000 rows, 500 rows/s, 32 s left"]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 60)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    with EncodingProgress("train", enabled=False) as progress:
        progress.show(ReencodeProgress("reading", 1000, None))
        progress.show(ReencodeProgress("reading", 2000, None))
    assert capsys.readouterr() == ("", "")
