"""The template of special tokens that the post-processor of a tokenizer.json describes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.tokenization.pair_template import BERT, PairTemplate

#: A special piece, its id and its type; or the place of a text, `A` or `B`, and its type.
_Part = tuple[str, int | None, int]
_PLACES = {"A": "{a}", "B": "{b}"}
_KNOWN = "TemplateProcessing, RobertaProcessing or BertProcessing, alone or behind ByteLevel"


def read_template(path: Path, processor: object, id_of: Callable[[str], int | None]) -> PairTemplate:
    """Reads which special pieces stand around one text and around two.

    Args:
        path: the file, for messages.
        processor: the values of `post_processor`.
        id_of: gives the id of a piece of the vocabulary.

    Raises:
        CheckpointError: there is no template, or it is none that `PairTemplate` can write.
    """
    single, pair = _parts(path, _only_template(path, processor))
    for piece, number, _ in (*single, *pair):
        if number is not None and id_of(piece) != number:
            raise CheckpointError(
                f"{path}: the post-processor gives {piece!r} the id {number}, the vocabulary {id_of(piece)}",
                hint="use the files of one model",
            )
    try:
        template = PairTemplate(_written(single), _written(pair), has_segments=_has_segments(path, single, pair))
    except ValueError as error:
        raise CheckpointError(f"{path}: the post-processor is no template of one and of two texts ({error})") from error
    for parts, pairs in ((single, False), (pair, True)):
        pieces = tuple(piece for gap in template.gaps(pairs=pairs) for piece in gap)
        if pieces != tuple(piece for piece, number, _ in parts if number is not None):
            raise CheckpointError(f"{path}: a special piece of the post-processor holds spaces or brackets: {pieces}")
        if len(pieces) < BERT.special_count(pairs=pairs):
            raise CheckpointError(
                f"{path}: the post-processor writes {len(pieces)} special tokens around "
                f"{'a pair' if pairs else 'a text'}, an encoder has at least {BERT.special_count(pairs=pairs)}",
                hint="this tokenizer is for a model that writes texts; take one of an encoder",
            )
    return template


def _only_template(path: Path, processor: object) -> Mapping[str, Any]:
    steps = [processor]
    if isinstance(processor, Mapping) and processor.get("type") == "Sequence":
        steps = processor["processors"] if isinstance(processor.get("processors"), list) else []
    # ByteLevel only says which white space belongs to a piece.
    found = [step for step in steps if not (isinstance(step, Mapping) and step.get("type") == "ByteLevel")]
    if len(found) != 1 or not isinstance(found[0], Mapping):
        raise CheckpointError(
            f"{path}: the post-processor does not say which special tokens stand around a text",
            hint=f"expected {_KNOWN}",
        )
    return found[0]


def _parts(path: Path, processor: Mapping[str, Any]) -> tuple[list[_Part], list[_Part]]:
    kind = processor.get("type")
    try:
        if kind == "TemplateProcessing":
            tokens = processor["special_tokens"]
            single, pair = ([_part(part, tokens) for part in processor[name]] for name in ("single", "pair"))
            return single, pair
        if kind in ("RobertaProcessing", "BertProcessing"):
            (cls, cls_id), (sep, sep_id) = processor["cls"], processor["sep"]
            second = int(kind == "BertProcessing")
            first: list[_Part] = [(str(cls), int(cls_id), 0), ("A", None, 0), (str(sep), int(sep_id), 0)]
            between: list[_Part] = [] if second else [(str(sep), int(sep_id), 0)]
            return first, [*first, *between, ("B", None, second), (str(sep), int(sep_id), second)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: the post-processor is malformed ({type(error).__name__}: {str(error)[:80]})"
        ) from error
    raise CheckpointError(f"{path}: the post-processor is {str(kind)[:60]!r}", hint=f"expected {_KNOWN}")


def _part(part: Mapping[str, Any], tokens: Mapping[str, Any]) -> _Part:
    if "SpecialToken" in part:
        described = part["SpecialToken"]
        (piece,), (number,) = tokens[described["id"]]["tokens"], tokens[described["id"]]["ids"]
        return str(piece), int(number), int(described["type_id"])
    described = part["Sequence"]
    if described["id"] not in _PLACES:
        raise ValueError("a text that is neither A nor B")
    return described["id"], None, int(described["type_id"])


def _written(parts: Sequence[_Part]) -> str:
    return " ".join(_PLACES[piece] if number is None else piece for piece, number, _ in parts)


def _has_segments(path: Path, single: Sequence[_Part], pair: Sequence[_Part]) -> bool:
    """Whether the second text and what stands behind it are of type 1; all else must be of type 0."""
    types = [kind for _, _, kind in pair]
    second = next((place for place, part in enumerate(pair) if part[:2] == ("B", None)), len(pair))
    segments = [int(place >= second) for place in range(len(pair))]
    if any(kind for _, _, kind in single) or (any(types) and types != segments):
        raise CheckpointError(
            f"{path}: the post-processor gives the tokens of a text {[kind for _, _, kind in single]} and of a pair "
            f"{types} as types",
            hint="expected 0 for the first text and 1 from the second text on, or 0 for all",
        )
    return any(types)
