"""What the files of a run folder must have, so that one which was cut or written by something else is told by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from bertune.errors import DataError
from bertune.text.task_kind import TaskKind
from bertune.tokens.long_texts import LongText


@dataclass(frozen=True)
class Each:
    """An object, each of whose values has a shape; with `some` it has one at least."""

    shape: "Shape"
    some: bool = False


@dataclass(frozen=True)
class Maybe:
    """A shape, or null, or nothing at all."""

    shape: "Shape"


@dataclass(frozen=True)
class Float32:
    """A number that a model could have computed, or something of other types."""

    others: tuple[type, ...] = ()


# A type, the words that are allowed, the entries that an object must have, or a list of one element: what each entry of
# a list must be.
Shape = type | tuple[Any, ...] | frozenset[str] | dict[str, Any] | list[Any] | Each | Maybe | Float32

_NUMBER: Final = (int, float)
_LARGEST: Final = float.fromhex("0x1.fffffep127")
_BINS: Final[Shape] = {
    "calibration_error": _NUMBER,
    "bins": {"counts": [int], "confidence": [Maybe(_NUMBER)], "frequency": [Maybe(_NUMBER)]},
}
_METRIC: Final[Shape] = {
    "value": _NUMBER,
    "low": Maybe(_NUMBER),
    "high": Maybe(_NUMBER),
    "baseline": _NUMBER,
    "against_baseline": frozenset({"better", "unclear", "worse"}),
    "method": Maybe(str),
}
_MEASURED: Final[Shape] = {"value": _NUMBER, "baseline": _NUMBER}
_SCORES: Final[Shape] = {
    "verdict": str,
    "task_kind": frozenset(TaskKind),
    "rows": int,
    "metrics": Each(_METRIC, some=True),
    "mean_loss": _NUMBER,
    "is_majority": bool,
    "baseline": {
        "kind": frozenset({"majority", "mean", "constant"}),
        "answer": (str, *_NUMBER),
        "source": str,
        "caution": Maybe(str),
    },
    "label_names": [str],
    "confusion": [[int]],
    "confusion_cells": Maybe([[int]]),
    "labels": [{"label": str, "precision": _NUMBER, "recall": _NUMBER, "f1": _NUMBER, "support": int}],
    "bootstrap_samples": Maybe(int),
    "seed": Maybe(int),
}
_LENGTHS: Final[Shape] = {"median": _NUMBER, "95 %": _NUMBER, "99 %": _NUMBER}
_HISTOGRAM: Final[Shape] = [{"from": int, "to": int, "count": int}]
_SPLIT: Final[Shape] = {
    "rows_in": Maybe(int),
    "rows_used": Maybe(int),
    "rows_refused": Maybe(int),
    "blank_texts": Maybe(int),
    "duplicates": Maybe(int),
    "conflicts": Maybe(int),
    "label_counts": Maybe(Each(int)),
    "characters": Maybe(dict),
    "character_histogram": Maybe(_HISTOGRAM),
    "tokens": Maybe(
        {
            "lengths": _LENGTHS,
            "histogram": _HISTOGRAM,
            "unknown_characters": [{"character": str, "words": int}],
            "unknown_places": [str],
        }
    ),
}
_REPORT: Final[Shape] = {"rows_used": int, "refused": [{"path": str, "line": int, "reason": str}]}
_EVENTS: Final[dict[str, Shape]] = {
    "start": {"precision": str},
    "step": {"step": int, "epoch": int, "loss": _NUMBER, "learning_rate": _NUMBER, "gradient_norm": _NUMBER},
    "epoch": {
        "epoch": int,
        "train_loss": _NUMBER,
        "train_seconds": _NUMBER,
        "examples_per_second": _NUMBER,
        "is_best": bool,
        "validation": Maybe({"mean_loss": _NUMBER, "metrics": Each(_MEASURED, some=True)}),
    },
}

_SHAPES: Final[dict[str, Shape]] = {
    "data.json": {
        "splits": Each(_SPLIT),
        "findings": [{"code": str, "message": str, "count": Maybe(int)}],
        "reports": Each(_REPORT),
    },
    "receipt.json": {
        "summary": str,
        "tensors": [{"status": str, "name": str, "shape": [int], "reason": str}],
    },
    "scores.json": {},
    "evaluations.json": {
        "evaluations": [
            {
                "data": str,
                "split": Maybe(str),
                "rows": int,
                "rows_digest": str,
                "model_digest": str,
                "seen_as": str,
                "scores": _SCORES,
            }
        ]
    },
    "calibration.json": {
        "rows": int,
        "temperature": _NUMBER,
        "why_none": str,
        "before": _BINS,
        "after_cross_fitted": (dict, type(None)),
        "thresholds": (dict, type(None)),
    },
    "seeds.json": {
        "results": [
            {
                "seed": int,
                "folder": str,
                "status": frozenset({"finished", "diverged"}),
                "seconds": Maybe(_NUMBER),
                "metrics": Maybe(Each(_NUMBER)),
                "loss": Maybe(_NUMBER),
                "best_epoch": Maybe(int),
                "collapsed": Maybe(bool),
            }
        ],
        "settings": dict,
    },
    "metrics.jsonl": {"event": str},
    "validation.jsonl": {"where": str, "tokens": int, "target": Float32((str, list)), "logits": [Float32()]},
    "doubtful.jsonl": {
        "where": str,
        "text_a": Maybe(str),
        "text_b": Maybe(str),
        "probability": Maybe([_NUMBER]),
        "absolute_error": Maybe([_NUMBER]),
    },
}
# Of each split; a run from before there were several ways to read long texts has none.
_LONG_TEXTS: Final[Shape] = {
    "long_text": frozenset(get_args(LongText)),
    "max_length": int,
    "examples": int,
    "over_length": int,
    "windows": int,
}
# Of runs from before they were written, neither is there.
_BESIDE_SCORES: Final[dict[str, Shape]] = {
    "advice": [{"code": str, "message": str, "try": [str]}],
    "frozen_features": {"name": str, "metrics": Each(_NUMBER, some=True), "rows_trained": int, "rows_scored": int},
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
    if not wrong and path.name == "metrics.jsonl":
        wrong = _wrong(values, _EVENTS.get(values["event"], {}), "")
    if not wrong and path.name == "data.json" and "long_texts" in values:
        splits = values["long_texts"]
        wrong = _wrong(splits, dict.fromkeys(splits, _LONG_TEXTS) if isinstance(splits, dict) else {}, "long_texts")
    if not wrong and path.name == "seeds.json" and "summary" in values:
        wrong = _wrong(values, _ENDED_STUDY, "")
    if not wrong and path.name == "scores.json":
        scored: dict[str, Shape] = {name: _SCORES for name in ("validation", "test") if name in values}
        wrong = _wrong(values, scored or {"validation": _SCORES}, "")
        wrong = wrong or _wrong(values, {"average": str, "seeds": list} if "average" in values else {"epoch": int}, "")
        known = {name: shape for name, shape in _BESIDE_SCORES.items() if name in values}
        wrong = wrong or _wrong(values, known, "")
    if wrong:
        where = str(path) if line is None else f"{path}:{line}"
        raise DataError(
            f"{where}: not as bertune writes it: {wrong}", hint="bring the file back from a copy, or train again"
        )


def _wrong(values: Any, shape: Shape, name: str) -> str:
    """Says what is wrong; nothing where all is well."""
    if isinstance(shape, Maybe):
        return "" if values is None else _wrong(values, shape.shape, name)
    if isinstance(shape, Float32):
        fits = isinstance(values, shape.others) or (isinstance(values, _NUMBER) and abs(values) <= _LARGEST)
        return "" if fits else f"'{name}' is of another kind, or beyond what a model can compute"
    if isinstance(shape, Each):
        if shape.some and values == {}:
            return f"'{name}' is empty"
        return _wrong(values, dict.fromkeys(values, shape.shape) if isinstance(values, dict) else {}, name)
    if isinstance(shape, dict):
        if not isinstance(values, dict):
            return f"{name or 'the content'} is no object"
        for key, inner in shape.items():
            path = f"{name}.{key}" if name else key
            missing = "" if isinstance(inner, Maybe) else f"'{path}' is missing"
            wrong = _wrong(values[key], inner, path) if key in values else missing
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
