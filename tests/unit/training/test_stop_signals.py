"""The first signal asks, the second does what it did before."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bertune.training.stop_signals import StopAskedError, StopSignals


class EndedError(BaseException):
    pass


def end(_number: int, _frame: object) -> None:
    raise EndedError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, end)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(second: int) -> None:
    signals = StopSignals()
    with signals.heeded():
        assert not signals.is_asked
        send(signal.SIGTERM)
        assert signals.is_asked
        with pytest.raises(EndedError):
            send(second)
        assert signal.getsignal(signal.SIGINT) is end
    assert signal.getsignal(signal.SIGTERM) is end


def test_handlers_come_back_and_signals_that_were_ignored_stay_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals = StopSignals()
    with signals.heeded():
        send(signal.SIGINT)
        assert not signals.is_asked
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is end


def test_what_may_be_left_is_left_at_once() -> None:
    signals = StopSignals()
    done = []

    def work(what: str, number: int | None) -> None:
        with signals.may_leave():
            if number is not None:
                send(number)
            done.append(what)

    with signals.heeded():
        with pytest.raises(StopAskedError):
            work("more", signal.SIGINT)
        with pytest.raises(StopAskedError):  # asked before it began
            work("again", None)
    assert done == []


def test_an_error_that_a_library_makes_of_the_signal_is_the_signal() -> None:
    signals = StopSignals()

    def work() -> None:
        with signals.may_leave():
            try:
                send(signal.SIGINT)
            except StopAskedError:
                raise ValueError("could not determine the shape") from None

    with signals.heeded(), pytest.raises(StopAskedError):
        work()


def test_an_error_without_a_signal_is_itself() -> None:
    signals = StopSignals()
    with signals.heeded(), pytest.raises(ValueError, match="mine"), signals.may_leave():
        raise ValueError("mine")


def test_outside_of_the_main_thread_nothing_is_taken() -> None:
    found = []

    def look() -> None:
        with StopSignals().heeded():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [end]
