"""Settings that have a few values are held to them, for Python as the command line does for flags."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean


def refuse_unknown_choices(settings: Any) -> None:
    """Refuses a value that a setting has not.

    Args:
        settings: a dataclass whose fields with few values are literals.

    Raises:
        ConfigError: names the setting and its values.
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        choices = _choices(hints[field.name])
        value = getattr(settings, field.name)
        if choices and value is not None and value not in choices:
            known = ", ".join(map(repr, choices))
            raise ConfigError(
                f"{field.name} must be one of {known}, not {value!r}", hint=did_you_mean(str(value), choices)
            )


def _choices(hint: Any) -> tuple[Any, ...]:
    """Finds the values of a literal, or of a union of a literal and None; of any other type none."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Literal:
            return get_args(part)
    return ()
