"""Progress of downloads and of encoding off a terminal: plain lines with rate and time left."""

import itertools
import time

import pytest

from bertune.cli.progress import EncodingProgress, FetchingProgress
from bertune.fetch.download import FetchProgress
from bertune.shards.reencode import ReencodeProgress


def test_of_a_download_a_line_every_ten_seconds_says_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 3)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    with FetchingProgress() as progress:
        for million in (100, 150, 200, 250, 300, 350):
            progress.show(FetchProgress("weights", million * 1_000_000, 400_000_000))
        progress.show(FetchProgress("weights", 350_000_000, note="the connection was cut"))
    shown = capsys.readouterr()
    assert shown.out == ""
    first, *_, last = shown.err.splitlines()
    # The 100 MB of an earlier try are not counted into the rate.
    assert first == "weights: 200.0 of 400.0 MB, 8.3 MB/s, 24 s left"
    assert last == "the connection was cut"


def test_quiet_shows_nothing_of_a_download(capsys: pytest.CaptureFixture[str]) -> None:
    with FetchingProgress(enabled=False) as progress:
        progress.show(FetchProgress("weights", 1, 2))
        progress.show(FetchProgress("weights", note="the connection was cut"))
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_is_gone_before_a_line_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with FetchingProgress() as progress:
        for done in (0, 1_000_000, 2_000_000):
            progress.show(FetchProgress("weights", done, 2_000_000))
            progress.show(FetchProgress("weights", done, note=f"note {done}"))
    shown = capsys.readouterr().err
    assert [line for line in shown.splitlines() if line.endswith("note 1000000")]
    assert "weights" in shown


def test_of_encoding_a_line_every_ten_seconds_says_rate_and_time_left(
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


def test_quiet_shows_nothing_of_encoding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 60)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    with EncodingProgress("train", enabled=False) as progress:
        progress.show(ReencodeProgress("reading", 1000, None))
        progress.show(ReencodeProgress("reading", 2000, None))
    assert capsys.readouterr() == ("", "")
