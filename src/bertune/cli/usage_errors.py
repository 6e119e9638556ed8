"""What the library of the command line finds wrong with the arguments, in the words of the command line."""

import os
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, RepeatArgumentError, UnknownCommandError
from cyclopts.exceptions import UnusedCliTokensError

from bertune.errors import ConfigError
from bertune.system.hinted_values import described
from bertune.wording.nearest import did_you_mean, shorten

# What is no verb of its own, or called otherwise elsewhere.
_OTHER_VERBS = {
    "explain": "bertune predict RUN --explain shows which words decide",
    "plot": "bertune inspect MODEL --plot FILE draws it",
    "score": "did you mean 'evaluate'?",
    "test": "did you mean 'evaluate'?",
    "fit": "did you mean 'train'?",
    "finetune": "did you mean 'train'?",
    "fine-tune": "did you mean 'train'?",
    "tune": "did you mean 'sweep'?",
    "tokenize": "did you mean 'encode'?",
}
# An unquoted pattern is replaced by the names of files before bertune sees it.
_SEVERAL_TABLES = "name several tables by a pattern in quotes, --data 'part-*.csv', or with --data before each"


def usage_error(error: CycloptsError, verbs: Sequence[str]) -> ConfigError:
    """Says what is wrong with the arguments.

    Args:
        error: of the library.
        verbs: all there are.
    """
    verb = error.command_chain[0] if error.command_chain else None
    command = "bertune" if verb is None else f"bertune {verb}"
    see = f"see `{command} --help`"
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        word = error.unused_tokens[0]
        if word.startswith("-"):
            return ConfigError(
                f"'{shorten(word)}' stands before the verb", hint="the verb comes first: see `bertune --help`"
            )
        hint = _OTHER_VERBS.get(word) or did_you_mean(word, verbs) or f"the verbs are {', '.join(verbs)}"
        return ConfigError(f"bertune has no verb '{shorten(word)}'", hint=hint)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        word = error.unused_tokens[0]
        return ConfigError(
            f"{command} takes no '{shorten(word)}' without a flag before it",
            hint=_SEVERAL_TABLES if os.path.isfile(word) else see,  # noqa: PTH113 (Path raises for a name too long)
        )
    if isinstance(error, RepeatArgumentError):
        return ConfigError(f"{error.token.keyword} is given twice", hint="leave one of them out")
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword is not None:
            return ConfigError(f"{error.keyword} needs {_values(error.argument)}", hint=see)
        return ConfigError(f"{command} needs {_shown_name(error.argument)}", hint=see)
    if isinstance(error, CoercionError) and error.argument is not None and error.token is not None:
        name = error.token.keyword or _shown_name(error.argument)
        wanted = _described(error.argument.hint)
        choices = [str(choice) for choice in _choices(error.argument.hint)]
        return ConfigError(
            f"{name}: '{shorten(error.token.value)}' is not {wanted}", hint=did_you_mean(error.token.value, choices)
        )
    return ConfigError(" ".join(str(error).split()), hint=see)


def _shown_name(argument: Any) -> str:
    """Gives the flag, or the word that stands for an argument without one in the first line of the help."""
    if argument.index is None:
        return str(argument.name)
    return str(argument.name).lstrip("-").upper().removesuffix("S")


def _values(argument: Any) -> str:
    count = argument.token_count()[0]
    return "a value" if count <= 1 else f"{count} values"


def _choices(hint: Any) -> list[Any]:
    """Finds the values of a type that has few."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in _choices(part)] if get_origin(hint) is not tuple else []


def _described(hint: Any) -> str:
    """Says what a value is; of several, one of them."""
    for part in (hint, *(get_args(hint) if get_origin(hint) is not Literal else ())):
        if get_origin(part) is tuple:
            return described(get_args(part)[0])
    return described(hint)
