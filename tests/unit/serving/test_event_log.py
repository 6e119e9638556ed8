"""Lines of the log that several processes write to one pipe."""

import json
from io import StringIO

import pytest

from bertune.serving.event_log import EventLog


def logged(log: EventLog, stream: StringIO) -> list[str]:
    log.close()
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_is_never_longer_than_what_a_pipe_takes_whole(as_json: bool) -> None:
    stream = StringIO()
    log = EventLog(stream, as_json=as_json)
    # Twelve bytes of an escape each in JSON, four as text.
    log.event("request", method="GET", path="/" + "\N{CLAPPER BOARD}" * 5000, reason="r" * 5000, status=404)
    log.event("request", path="x" * 5000)
    first, second = logged(log, stream)
    assert len(first.encode()) < 4096
    assert "404" in first
    assert "x" * 1023 + ("\\u2026" if as_json else "…") in second


def test_each_line_says_whose_it_is() -> None:
    stream = StringIO()
    log = EventLog(stream, as_json=True, of={"worker": 2, "pid": 17})
    log.event("stopped", seconds=1.5)
    (line,) = map(json.loads, logged(log, stream))
    assert (line["worker"], line["pid"], line["seconds"]) == (2, 17, 1.5)


class Counted(StringIO):
    """Keeps what each write was given."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_each_event_is_one_write() -> None:
    stream = Counted()
    log = EventLog(stream, as_json=True)
    for number in range(50):
        log.event("request", number=number)
    assert len(logged(log, stream)) == 50
    assert len(stream.writes) == 50
    assert all(text.endswith("}\n") for text in stream.writes)
