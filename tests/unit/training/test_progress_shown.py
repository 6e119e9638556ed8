"""Progress of `fit`: where it is shown, and what stands there."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.training.conftest import make_classifier, make_dataset

from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.history import EpochResult, History
from bertune.training.loop import fit
from bertune.training.step import StepResult

CONFIG = TrainingConfig(recipe="lesson", epochs=2, batch_size=16, learning_rate=3e-3, seed=3)
FIRST_LINE = re.compile(r"training 4 steps \(2 epochs of 2\) in \w+, .*\n")
EPOCH = re.compile(r"epoch (\d)/2  loss \d\.\d{4}  accuracy \d+\.\d %  \d+ examples/s(  best)?\n")


class Watcher(Callback):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        self.told.append("start")

    def on_step(self, result: StepResult) -> None:
        self.told.append("step")

    def on_epoch(self, result: EpochResult) -> None:
        self.told.append("epoch")


def train(**how: Any) -> History:
    return fit(make_classifier(), make_dataset(32, 1), make_dataset(16, 2), config=CONFIG, **how)


def test_off_a_terminal_progress_is_shown_only_if_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    train()
    train(verbose=False)
    assert capfd.readouterr() == ("", "")
    train(verbose=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert FIRST_LINE.match(shown.err)
    assert [line[0] for line in EPOCH.findall(shown.err)] == ["1", "2"]
    assert len(shown.err.splitlines()) == 3


def test_on_a_terminal_progress_is_shown_unless_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    train(verbose=False)
    with pytest.warns(DeprecationWarning, match="give callbacks"):
        train(observer=Watcher())  # it may show progress itself
    assert capsys.readouterr().err == ""
    for callbacks in ([], [Watcher()]):
        train(callbacks=callbacks)
        assert "training 4 steps" in capsys.readouterr().err


def test_a_callback_is_told_beside_the_progress(capfd: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher()
    train(callbacks=[watcher], verbose=True)
    assert watcher.told == ["start", *(["step"] * 2 + ["epoch"]) * 2]
    assert "epoch 2/2" in capfd.readouterr().err


def test_a_notebook_shows_one_output_that_ends_as_the_table_of_the_epochs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown: list[dict[str, str]] = []

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        assert raw
        assert display_id
        shown.append(content)
        return SimpleNamespace(update=lambda content, raw: shown.append(content))

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    history = train()
    assert capfd.readouterr() == ("", "")
    assert shown[0]["text/plain"].startswith("training 4 steps (2 epochs of 2) in ")
    assert "examples/s" in shown[1]["text/html"]
    last = shown[-1]["text/html"]
    assert last.count("<tr>") == 3
    assert history._repr_html_().partition("<thead>")[2] == last.partition("<thead>")[2]
    assert history._repr_html_().count("best</td>") == 1
    shown.clear()
    train(verbose=False)
    assert shown == []


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertune.training.notebook_progress import in_notebook

    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


def test_a_history_is_shown_in_one_line() -> None:
    history = train()
    best = history.best.epoch
    pattern = rf"History\(2 epochs, 4 steps; best: epoch {best}, accuracy \d+\.\d %\)"
    assert re.fullmatch(pattern, repr(history))
    alone = fit(make_classifier(), make_dataset(16, 1), config=CONFIG)
    assert re.fullmatch(r"History\(2 epochs, 2 steps; training loss \d\.\d{4}\)", repr(alone))
    assert "best" not in alone._repr_html_()
    assert repr(History()) == "History(0 epochs, 0 steps)"
    assert "<table>" in History()._repr_html_()
