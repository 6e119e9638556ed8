"""What the files of a run folder must have, so that one which was cut or written by something else is told by name."""

from pathlib import Path
from typing import Any, Final, get_args

from bertune.errors import DataError
from bertune.tokens.long_texts import LongText

# A type, the words that are allowed, the entries that an object must have, or a list of one element: what each entry of
# a list must be.
Shape = type | tuple[Any, ...] | frozenset[str] | dict[str, Any] | list[Any]

_NUMBER: Final = (int, float)
_BINS: Final = {"calibration_error": _NUMBER, "bins": {"counts": list, "confidence": list, "frequency": list}}
_SCORES: Final = {"verdict": str, "rows": int, "metrics": dict, "is_majority": bool, "baseline": dict}

_SHAPES: Final[dict[str, Shape]] = {
    "data.json": {"splits": dict, "findings": [{"code": str, "message": str}], "reports": dict},
    "receipt.json": {"summary": str, "tensors": [{"status": str, "name": str}]},
    "scores.json": {"validation": _SCORES},
    "calibration.json": {
        "rows": int,
        "temperature": _NUMBER,
        "why_none": str,
        "before": _BINS,
        "after_cross_fitted": (dict, type(None)),
        "thresholds": (dict, type(None)),
    },
    "seeds.json": {"results": [{"seed": int, "folder": str, "status": str}], "settings": dict},
    "metrics.jsonl": {"event": str},
    "validation.jsonl": {"where": str, "tokens": int, "target": object, "logits": [_NUMBER]},
    "doubtful.jsonl": {"where": str},
}
# Of each split; a run from before there were several ways to read long texts has none.
_LONG_TEXTS: Final[Shape] = {
    "long_text": frozenset(get_args(LongText)),
    "max_length": int,
    "examples": int,
    "over_length": int,
    "windows": int,
}
# What a study has beside that when it ended; an interrupted one has none of it.
_ENDED_STUDY: Final[Shape] = {
    "chosen_by": str,
    "test": str,
    "model": {"seeds": [int], "recipe": str},
    "summary": {"metrics": dict, "best": int, "collapsed": list, "diverged": list},
    "averages": [dict],
}


def check_shape(values: Any, path: Path, line: int | None = None) -> None:
    """Refuses what a run cannot have written.

    Args:
        values: content of the file, or of a line of it.
        path: of the file, whose name tells what it must have.
        line: which one, from 1.

    Raises:
        DataError: names the file, the line, and the first entry that is missing or of another kind.
    """
    wrong = _wrong(values, _SHAPES.get(path.name, dict), "")
    if not wrong and path.name == "data.json" and "long_texts" in values:
        splits = values["long_texts"]
        wrong = _wrong(splits, dict.fromkeys(splits, _LONG_TEXTS) if isinstance(splits, dict) else {}, "long_texts")
    if not wrong and path.name == "seeds.json" and "summary" in values:
        wrong = _wrong(values, _ENDED_STUDY, "")
    if not wrong and path.name == "scores.json":
        wrong = _wrong(values, {"average": str, "seeds": list} if "average" in values else {"epoch": int}, "")
    if wrong:
        where = str(path) if line is None else f"{path}:{line}"
        raise DataError(
            f"{where}: not as bertune writes it: {wrong}", hint="bring the file back from a copy, or train again"
        )


def _wrong(values: Any, shape: Shape, name: str) -> str:
    """Says what is wrong; nothing where all is well."""
    if isinstance(shape, dict):
        if not isinstance(values, dict):
            return f"{name or 'the content'} is no object"
        for key, inner in shape.items():
            path = f"{name}.{key}" if name else key
            wrong = _wrong(values[key], inner, path) if key in values else f"'{path}' is missing"
            if wrong:
                return wrong
        return ""
    if isinstance(shape, list):
        if not isinstance(values, list):
            return f"'{name}' is no list"
        return next(filter(None, (_wrong(each, shape[0], f"{name}[{at}]") for at, each in enumerate(values))), "")
    if isinstance(shape, frozenset):
        return "" if isinstance(values, str) and values in shape else f"'{name}' is none of {', '.join(sorted(shape))}"
    return "" if isinstance(values, shape) else f"'{name}' is of another kind"
