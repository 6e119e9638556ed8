"""What was typed that no verb knows: options, and variables of the environment; with what was most likely meant."""

import os
from collections.abc import Iterable, Sequence
from typing import Final

from cyclopts import App

from bertune.api.familiar_names import FAMILIAR
from bertune.errors import ConfigError
from bertune.wording.nearest import nearest

PREFIX: Final = "BERTUNE_"
# Read elsewhere than as the value of a flag.
_OTHER_VARIABLES: Final = ("BERTUNE_TRACEBACK", "BERTUNE_DISABLE", "BERTUNE_WITHOUT", "BERTUNE_SERVE_API_KEY")


def refuse_empty(tokens: Sequence[str]) -> None:
    """Refuses `--flag ""`, which shells make of a variable that is not set.

    Raises:
        ConfigError: names the flag.
    """
    for index, token in enumerate(tokens):
        flag, equals, value = token.partition("=")
        follows = index + 1 < len(tokens) and tokens[index + 1] == ""
        if flag.startswith("--") and (not value if equals else follows):
            raise ConfigError(f"{flag} is empty", hint=f"leave {flag} out, or give it a value")
        if not token:
            raise ConfigError("an argument is empty", hint="leave it out, or look at the variable it is made of")


def unknown_option(app: App, tokens: Sequence[str]) -> ConfigError | None:
    """Finds the first option that the verb has not.

    Args:
        app: the command line.
        tokens: as typed, the verb first.

    Returns:
        An error that names it and what was most likely meant, a flag of the verb; None where all are known.
    """
    if not tokens or tokens[0].startswith("-") or tokens[0] not in app:
        return None
    verb, known = tokens[0], flags_of(app, tokens[0])
    for word in tokens[1:]:
        if word == "--":  # what follows are values
            return None
        typed = word.partition("=")[0]
        option = typed.replace("_", "-")
        if option.startswith("--") and option not in known:
            meant = _meant(option, known)
            hint = f"did you mean {meant}?" if meant else f"bertune {verb} --help-all lists the options"
            return ConfigError(f"bertune {verb} has no option {typed}", hint=hint)
    return None


def flags_of(app: App, verb: str) -> set[str]:
    """Returns every option of a verb, those of all verbs included."""
    arguments = app[verb].assemble_argument_collection(default_parameter=app.default_parameter)
    known = {name for argument in arguments for name in argument.names if name.startswith("--")}
    return known | {"--help", "--help-all", "--config", "--version"}


def forget_empty_variables() -> None:
    """Takes empty variables out of the environment: they count as unset."""
    for name in [name for name, value in os.environ.items() if name.startswith(PREFIX) and not value]:
        del os.environ[name]


def unknown_variables(app: App, verb: str, names: Iterable[str]) -> list[str]:
    """Returns a sentence about each variable that sets nothing, with the one that was most likely meant.

    Args:
        app: the command line.
        verb: that is run; variables of others are left alone, they may be right there.
        names: of the variables.
    """
    own = f"{PREFIX}{_upper(verb)}_"
    known = {f"{own}{_upper(flag[2:])}" for flag in flags_of(app, verb)}
    others = tuple(f"{PREFIX}{_upper(name)}_" for name in app if name != verb and not name.startswith("-"))
    told = []
    for name in sorted(names):
        if not name.startswith(PREFIX) or name in known or name in _OTHER_VARIABLES or name.startswith(others):
            continue
        meant = _meant_variable(name, own, known)
        if meant is None and not name.startswith(own):  # somebody's own, of a script around bertune
            continue
        told.append(f"{name} in the environment sets nothing" + (f"; did you mean {meant}?" if meant else ""))
    return told


def _meant(option: str, known: set[str]) -> str | None:
    word = option[2:]
    named = next((flag for flag in FAMILIAR.get(word, ()) if flag in known), None)
    if named is not None:
        return named
    names = sorted(flag[2:] for flag in known)
    begun = [name for name in names if name.startswith(word)]
    found = begun[0] if begun else nearest(word, names, alike=0.65)
    return None if found is None else f"--{found}"


def _meant_variable(name: str, own: str, known: set[str]) -> str | None:
    """Finds the variable that was meant: of this verb by another name of an option, or mistyped as a whole."""
    if name.startswith(own):
        flag = _meant(_flag(name, own), {_flag(each, own) for each in known})
        return None if flag is None else f"{own}{_upper(flag[2:])}"
    meant = nearest(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], alike=0.6)
    return None if meant is None else f"{PREFIX}{meant}"


def _flag(variable: str, own: str) -> str:
    return "--" + variable.removeprefix(own).replace("_", "-").lower()


def _upper(name: str) -> str:
    return name.replace("-", "_").upper()
