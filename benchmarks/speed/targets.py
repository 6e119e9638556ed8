"""The speed that bertune is to reach on 2 cores, each figure with how it is read from results."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.summary import OURS, by_name, figures, ratio_between

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Reached:
    """A figure as measured.

    Args:
        text: for the table.
        is_enough: whether it meets the target.
    """

    text: str
    is_enough: bool


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Args:
        title: what is measured.
        goal: for the table.
        source: name of the result it is read from, without hardware and date.
        read: returns what was reached, or None where the result does not hold it.
    """

    title: str
    goal: str
    source: str
    read: Callable[[Result], Reached | None]


def _at_least(goal: float, peer: str, ours: str = OURS) -> Callable[[Result], Reached | None]:
    def read(result: Result) -> Reached | None:
        ratio = ratio_between(result, ours, peer)
        return None if ratio is None else Reached(ratio.text(), ratio.value >= goal)

    return read


def _faster(title: str, goal: float, source: str, peer: str, ours: str = OURS) -> Target:
    return Target(title, f"{goal:.1f}x", source, _at_least(goal, peer, ours))


def _share(result: Result) -> Reached | None:
    entry = by_name(result).get(OURS)
    if entry is None or not entry["rounds"] or entry["about"].get("precision") != "bf16":
        return None
    share = figures(entry, result)["executed_share"]
    return Reached(f"{share:.0%}", share >= 0.5)


def _memory(peer: str, goal: float) -> Callable[[Result], Reached | None]:
    def read(result: Result) -> Reached | None:
        systems = by_name(result)
        if not all(name in systems and systems[name]["rounds"] for name in (OURS, peer)):
            return None
        ours, theirs = (figures(systems[name], result)["peak_mib"] for name in (OURS, peer))
        return Reached(f"{ours / theirs:.2f}x ({ours:,.0f} of {theirs:,.0f} MiB)", ours <= goal * theirs)

    return read


def _startup(name: str, goal: float) -> Callable[[Result], Reached | None]:
    def read(result: Result) -> Reached | None:
        for entry in result["commands"]:
            if entry["name"] == name:
                seconds = statistics.median(entry["seconds"])
                return Reached(f"{seconds:.3f} s", seconds <= goal)
        return None

    return read


_MINILM, _BASE, _TINY = "speed-train-minilm", "speed-train-base", "speed-train-tiny"
_PREDICT, _STARTUP = "speed-predict-minilm", "speed-startup"

# Shapes of other families beside the Trainer in bf16, not grouped by length.
_FAMILIES = (
    ("roberta-base shape", 3.0, "roberta"),
    ("distilbert-base shape", 3.0, "distilbert"),
    ("xlm-roberta-base shape", 3.5, "xlm-roberta"),
    ("deberta-v3-small shape", 3.0, "deberta-v3-small"),
    ("ModernBERT-base shape, up to 128 tokens", 2.5, "modernbert"),
    ("ModernBERT-base shape, about 2,048 tokens", 4.0, "modernbert-long"),
)

TARGETS = (
    _faster("MiniLM-L6 on MRPC, bf16, against tf-models-official", 4.0, _MINILM, "original"),
    _faster("MiniLM-L6 on MRPC, bf16, against transformers Trainer, defaults", 5.5, _MINILM, "transformers"),
    _faster("MiniLM-L6 on MRPC, bf16, against transformers Trainer, bf16", 3.0, _MINILM, "transformers-bf16"),
    _faster(
        "MiniLM-L6 on MRPC, bf16, against transformers Trainer, bf16, grouped by length",
        1.8,
        _MINILM,
        "transformers-bf16-grouped",
    ),
    _faster("strict fp32 against transformers fp32", 2.3, _MINILM, "transformers", ours="bertune-fp32"),
    _faster("BERT-base shape, bf16, against transformers defaults", 5.5, _BASE, "transformers"),
    _faster("BERT-tiny shape against transformers defaults", 10.0, _TINY, "transformers"),
    *(
        _faster(f"{shape}, bf16, against transformers Trainer, bf16", goal, f"speed-train-{name}", "transformers-bf16")
        for shape, goal, name in _FAMILIES
    ),
    Target(
        "peak resident memory, xlm-roberta-base shape, against transformers Trainer, bf16",
        "0.45x",
        "speed-train-xlm-roberta",
        _memory("transformers-bf16", 0.45),
    ),
    Target("executed FLOPs over the measured bf16 GEMM rate, MiniLM-L6 training", "50%", _MINILM, _share),
    _faster("predicting MRPC test, bf16, against the transformers pipeline fp32", 5.0, _PREDICT, "pipeline"),
    Target(
        "peak resident memory in training against transformers defaults", "0.6x", _MINILM, _memory("transformers", 0.6)
    ),
    Target("`bertune --help`", "0.15 s", _STARTUP, _startup("help", 0.15)),
    Target("first step of `bertune train` on MRPC, warm cache", "3 s", _STARTUP, _startup("first-step", 3.0)),
    Target("`import bertune`", "0.05 s", _STARTUP, _startup("import", 0.05)),
)
