"""Texts of a request, of whatever protocol, as examples for a model."""

from collections.abc import Sequence
from typing import Final

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.serving.refused_request import RefusedError
from bertune.serving.serving_limits import ServingLimits

TextOrPair = str | Sequence[str]

_FIRST: Final = "text_a"
_SECOND: Final = "text_b"


def examples_of_request(texts: Sequence[TextOrPair], signature: ModelSignature, limits: ServingLimits) -> Examples:
    """Makes examples of texts or pairs.

    Args:
        texts: strings, or one or two strings each.
        signature: of the model that is asked.
        limits: of a request.

    Raises:
        RefusedError: none or too many, one is too long, or they are not as many texts each as the model takes.
    """
    if not texts:
        raise RefusedError("empty", "inputs hold no text")
    if len(texts) > limits.max_texts:
        raise RefusedError("texts", f"{len(texts)} texts are more than the {limits.max_texts} of one request")
    rows = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
    for place, row in enumerate(rows):
        if not 1 <= len(row) <= 2 or len(row) != len(rows[0]):
            raise RefusedError("invalid", f"inputs[{place}] must be {_expected(signature)}, as the others are")
        longest = max(map(len, row))
        if longest > limits.max_characters:
            raise RefusedError(
                "invalid", f"inputs[{place}] has {longest:,} characters, more than {limits.max_characters:,}"
            )
    if signature.is_pair is not None and (len(rows[0]) == 2) != signature.is_pair:
        raise RefusedError("invalid", f"this model takes {_expected(signature)} each")
    return Examples.from_lists([row[0] for row in rows], [row[1] for row in rows] if len(rows[0]) == 2 else None)


def input_names(signature: ModelSignature) -> tuple[str, ...]:
    """Names the texts of a model for protocols whose inputs have names: those of the columns in training."""
    first = _name(signature.text_a, _FIRST)
    if not signature.is_pair:
        return (first,)
    second = _name(signature.text_b, _SECOND)
    return (first, second) if first != second else (_FIRST, _SECOND)


def _name(column: str | int | None, otherwise: str) -> str:
    return column if isinstance(column, str) and not column.isdigit() else otherwise


def _expected(signature: ModelSignature) -> str:
    return "two texts" if signature.is_pair else "one text"
