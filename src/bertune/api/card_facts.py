"""What the card of a published model says that no file of its run knows."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bertune.errors import ConfigError

NONE: Final = "none"
# The forms of the hub; which licenses and languages there are it checks itself, before anything is uploaded.
_LICENSE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}|code|multilingual")
_NAME: Final = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
_HINTS: Final = {
    "license": "an identifier of the hub, such as apache-2.0, mit, cc-by-4.0 or other",
    "language": "the two or three letters of ISO 639, such as en, or multilingual",
    "dataset": "its name on the hub, such as nyu-mll/glue, or none where it is not there",
    "base-model": "its name on the hub, such as google-bert/bert-base-uncased, or none where it is not there",
}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Facts for the metadata of a model card.

    Args:
        license: of the model, by its identifier on the hub; empty where it was not said.
        languages: of the texts, by their codes.
        datasets: that it was fine-tuned on, by their names on the hub; `none` alone says that they are not there.
        base_model: that was fine-tuned, by its name on the hub; `none` says that it is not there.

    Raises:
        ConfigError: one is not of the form that the hub takes.
    """

    license: str = ""
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    base_model: str = ""

    def __post_init__(self) -> None:
        checked: list[tuple[str, re.Pattern[str], Iterable[str]]] = [
            ("license", _LICENSE, filter(None, [self.license])),
            ("language", _LANGUAGE, self.languages),
            ("dataset", _NAME, self.datasets),
            ("base-model", _NAME, filter(None, [self.base_model])),
        ]
        for name, form, values in checked:
            for value in values:
                if not form.fullmatch(value):
                    raise ConfigError(f"--{name}: {value!r} is none that a model card can name", hint=_HINTS[name])
        if NONE in self.datasets and len(self.datasets) > 1:
            raise ConfigError("--dataset none and another data set contradict each other", hint="leave one of them out")

    @property
    def missing(self) -> dict[str, str]:
        """The flags whose facts are not known, each with what it takes."""
        known = {
            "license": self.license,
            "language": self.languages,
            "dataset": self.datasets,
            "base-model": self.base_model,
        }
        return {flag: _HINTS[flag] for flag, value in known.items() if not value}

    def with_answer(self, flag: str, line: str) -> "CardFacts":
        """Adds what somebody typed for a missing fact; of several, words.

        Raises:
            ConfigError: it is not of the form that the hub takes.
        """
        words = tuple(line.replace(",", " ").split())
        match flag:
            case "license":
                return replace(self, license=line.strip())
            case "language":
                return replace(self, languages=words)
            case "dataset":
                return replace(self, datasets=words)
        return replace(self, base_model=line.strip())

    def require_all(self) -> None:
        """Refuses facts that are not complete.

        Raises:
            ConfigError: names the flags of those that are missing.
        """
        if self.missing:
            flags = [f"--{flag}" for flag in self.missing]
            named = flags[0] if len(flags) == 1 else f"{', '.join(flags[:-1])} and {flags[-1]}"
            raise ConfigError(
                f"the model card needs {named}",
                hint="; ".join(f"--{flag}: {hint}" for flag, hint in self.missing.items()),
            )


def facts_of(
    *, license: str, language: str | Sequence[str], datasets: str | Sequence[str], base_model: str
) -> CardFacts:
    """Takes facts as a program gives them: one of several needs no list.

    Raises:
        ConfigError: one is not of the form that the hub takes.
    """
    return CardFacts(license=license, languages=_several(language), datasets=_several(datasets), base_model=base_model)


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return ((given,) if given else ()) if isinstance(given, str) else tuple(given)
