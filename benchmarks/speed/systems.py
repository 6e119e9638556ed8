"""The systems that are compared: which worker, in which environment, with which arguments."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Environment = Literal["own", "original", "transformers", "keras-hub", "sentence-transformers", "onnx"]
What = Literal["train", "predict"]
ROOT = Path(__file__).parents[2]
GEMM = "gemm"


@dataclass(frozen=True)
class System:
    """One system.

    Args:
        name: on the command line and in result files.
        title: in tables.
        environment: whose Python runs it.
        worker: module below `benchmarks.speed.workers`.
        arguments: of the worker, after the folder.
        takes_threads: whether the worker sets its threads itself; the others obey OMP_NUM_THREADS.
        without: tricks of bertune that are switched off.
        settings: environment variables of its process, with their values.
    """

    name: str
    title: str
    environment: Environment
    worker: str
    arguments: tuple[str, ...] = ()
    takes_threads: bool = False
    without: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


def _trainer(name: str, title: str, *arguments: str) -> System:
    return System(name, f"transformers Trainer, {title}", "transformers", "transformers_training", arguments)


TRAINING = (
    System("bertune", "bertune (bf16 where native)", "own", "bertune_training"),
    System("bertune-fp32", "bertune, strict fp32", "own", "bertune_training", ("--precision", "fp32")),
    _trainer("transformers", "defaults (fp32, padded to the batch)"),
    _trainer("transformers-bf16", "bf16", "--bf16"),
    _trainer("transformers-bf16-grouped", "bf16, grouped by length", "--bf16", "--group-by-length"),
    _trainer("transformers-padded", "padded to 128", "--pad-to-max-length"),
    System("original", "the lesson, tf-models-official", "original", "original_training", takes_threads=True),
    System("keras-hub", "KerasHub BertTextClassifier", "keras-hub", "keras_hub_training", takes_threads=True),
    System(
        "sentence-transformers",
        "sentence-transformers CrossEncoder",
        "sentence-transformers",
        "sentence_transformers_training",
    ),
)
PREDICTION = (
    System("bertune", "bertune (bf16 where native)", "own", "bertune_prediction"),
    System("bertune-fp32", "bertune, fp32", "own", "bertune_prediction", ("--precision", "fp32")),
    System("pipeline", "transformers pipeline, fp32", "transformers", "pipeline_prediction"),
    System("pipeline-bf16", "transformers pipeline, bf16", "transformers", "pipeline_prediction", ("--bf16",)),
    System("onnx", "ONNX Runtime, fp32", "onnx", "onnx_prediction", takes_threads=True),
    System("onnx-int8", "ONNX Runtime, dynamic int8", "onnx", "onnx_prediction", ("--int8",), takes_threads=True),
)
PROBE = System(GEMM, "torch.mm", "own", GEMM)


def systems_of(what: What) -> tuple[System, ...]:
    return TRAINING if what == "train" else PREDICTION


def chosen(what: What, names: Iterable[str] | None) -> list[System]:
    """Returns systems by name, in the order given; all of them without names.

    Raises:
        ValueError: a name that is none of theirs.
    """
    known = {system.name: system for system in systems_of(what)}
    if names is None:
        return list(known.values())
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no such system: {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def ablated(system: System, tricks: Sequence[str]) -> list[System]:
    """Returns the system once without each trick; `a+b` is without both."""
    return [
        replace(
            system,
            name=f"{system.name}~{trick}",
            title=f"{system.title}, without {trick.replace('+', ' and ')}",
            without=tuple(trick.split("+")),
        )
        for trick in tricks
    ]


def with_settings(system: System, settings: str) -> System:
    """Returns the system with environment variables, given as `NAME=VALUE NAME=VALUE`.

    Raises:
        ValueError: a variable without a value.
    """
    parts = [pair.partition("=") for pair in settings.split()]
    if not all(equals for _, equals, _ in parts):
        raise ValueError(f"not NAME=VALUE: {settings}")
    pairs = tuple((name, value) for name, _, value in parts)
    return replace(system, name=f"{system.name}@{settings}", title=f"{system.title}, with {settings}", settings=pairs)


def python_of(environment: Environment) -> Path | None:
    """Returns the Python of an environment, or None where it was not made.

    `BERTUNE_KERAS_HUB_PYTHON` comes before `.venv-keras-hub`, and so on.
    """
    if environment == "own":
        return Path(sys.executable)
    named = os.environ.get(_variable(environment))
    path = Path(named) if named else ROOT / f".venv-{environment}" / "bin" / "python"
    return path if path.is_file() else None


def why_missing(environment: Environment) -> str:
    return f"no .venv-{environment} (make .venv-{environment}/installed, or set {_variable(environment)})"


def _variable(environment: Environment) -> str:
    return f"BERTUNE_{environment.upper().replace('-', '_')}_PYTHON"
