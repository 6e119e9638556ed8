"""A signal ends the command as a signal, whatever the code that it met made of it."""

import signal
import subprocess
import sys

import pytest

# A verb that is sent a signal and, like torch asking a storage for its shape, drops what the handler raises.
_COMMAND = """
import os, signal, sys
from bertune.cli import app
from bertune.errors import DataError

def verb(tokens):
    if tokens:
        try:
            os.kill(os.getpid(), int(tokens[0]))
        except BaseException:
            pass
    raise {error}

app.make_app = lambda config, **more: verb
sys.exit(app.main(sys.argv[1:]))
"""
_ERRORS = ["ValueError('could not determine the shape')", "DataError('damaged')", "OSError(2, 'no', 'file')"]


def ended(error: str, *signals: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _COMMAND.format(error=error), *map(str, signals)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("error", _ERRORS)
@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_an_error_that_a_signal_brought_about_is_the_signal(sent: int, code: int, word: str, error: str) -> None:
    done = ended(error, sent)
    assert (done.returncode, done.stderr, done.stdout) == (code, f"error: {word}\n", "")


@pytest.mark.parametrize(("error", "code"), list(zip(_ERRORS, (1, 3, 3), strict=True)))
def test_without_a_signal_it_is_the_error(error: str, code: int) -> None:
    assert ended(error).returncode == code


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    ignored = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{_COMMAND.format(error=_ERRORS[1])}"
    done = subprocess.run([sys.executable, "-c", ignored, str(int(signal.SIGINT))], capture_output=True, text=True)
    assert done.returncode == 3


def test_an_interrupt_before_the_command_line_is_there_shows_no_traceback() -> None:
    early = """
import os, signal, sys
import bertune.system.processors
from bertune.__main__ import start

def imported(_environment):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # an import that swallows what it does not know
        pass

bertune.system.processors.limit_threads = imported
sys.exit(start())
"""
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_cut_off_what_is_said_of_the_first(second: int) -> None:
    command = _COMMAND.format(error="KeyboardInterrupt").replace(
        "sys.exit(app.main",
        f"said = app.say\napp.say = lambda line: (os.kill(os.getpid(), {int(second)}), said(line))\nsys.exit(app.main",
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(int(signal.SIGINT))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
