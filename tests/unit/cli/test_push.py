"""What `bertune push` asks for at a terminal."""

import io

import pytest

from bertune.api.card_facts import CardFacts
from bertune.cli.push import _asked_for
from bertune.errors import ConfigError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typed(text: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(text))
    monkeypatch.setattr("sys.stderr", shown)
    return shown


def test_what_is_missing_is_asked_for_until_it_has_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = typed("My License\n\nmit\nen, de\nnone\n", monkeypatch)
    facts = _asked_for(CardFacts(base_model="me/encoder"))
    assert facts == CardFacts(license="mit", languages=("en", "de"), datasets=("none",), base_model="me/encoder")
    assert shown.getvalue().count("license (") == 3
    assert "base-model (" not in shown.getvalue()


@pytest.mark.parametrize("text", ["", "mit\n", "1 2\n3 4\n5 6\n"])
def test_who_gives_no_answer_gets_the_flag(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(text, monkeypatch)
    with pytest.raises(ConfigError, match="the model card needs --"):
        _asked_for(CardFacts())


def test_nobody_is_asked_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = typed("mit\n", monkeypatch)
    monkeypatch.setattr("sys.stdin", io.StringIO("mit\n"))
    with pytest.raises(ConfigError, match="needs --license, --language, --dataset and --base-model"):
        _asked_for(CardFacts())
    assert shown.getvalue() == ""
