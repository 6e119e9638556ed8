"""From rounds to figures: rates, shares of the matrix products' rate, memory, ratios. One place for all tables."""

import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.speed.flops import FIRST_ONLY, KERNELS, Shape, executed_flops, model_flops
from benchmarks.speed.ratio import Ratio, common_rounds, ratio_of_medians
from benchmarks.speed.shapes import SHAPES

OURS = "bertune"
# The date from which on the kernels compute no keys and values of a last layer for [CLS] (decision 0009).
WITHOUT_KEYS_SINCE = "2026-11-27"
_MIB = 2**20
# What ModernBERT's layers have beside BERT's; its window of 128 is 64 tokens to each side.
_MODERNBERT: Final[dict[str, Any]] = {"gated": True, "window": 129, "global_every": 3}


def rates(entry: Mapping[str, Any], unit: str = "examples") -> list[float]:
    """Returns a system's rate in each round, in `examples` or `tokens` a second."""
    return [answer[unit] / answer["seconds"] for answer in entry["rounds"]]


def ratio_between(result: Mapping[str, Any], first: str, second: str) -> Ratio | None:
    """Returns how much faster the first system is than the second; None where one was not measured."""
    systems = by_name(result)
    if not all(name in systems and systems[name]["rounds"] for name in (first, second)):
        return None
    return ratio_of_medians(*common_rounds(rates(systems[first]), rates(systems[second])))


def by_name(result: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in result["systems"]}


def figures(entry: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of one system's row: medians over its rounds.

    Args:
        entry: the system's part of a result.
        result: the whole, for workload and matrix products.
    """
    workload = result["workload"]
    training = result["what"] == "train"
    median_rate = statistics.median(rates(entry))
    values = {
        "examples_per_second": median_rate,
        "lowest": min(rates(entry)),
        "highest": max(rates(entry)),
        "tokens_per_second": statistics.median(rates(entry, "tokens")),
        "peak_mib": max(answer["peak_rss_bytes"] for answer in entry["rounds"]) / _MIB,
        "start_seconds": entry["about"]["start_seconds"],
        "first_batch_loss": entry["about"].get("first_batch_loss"),
    }
    if training:
        values["three_epochs_seconds"] = 3 * workload["examples"] / median_rate
    gemm = gemm_rate(result, entry["about"].get("precision"))
    if gemm is not None and SHAPES[workload["model"]].layers is not None:
        flops = flops_per_token(entry, result)
        values |= {f"{kind}_share": count * values["tokens_per_second"] / gemm for kind, count in flops.items()}
    return values


def gemm_rate(result: Mapping[str, Any], precision: str | None) -> float | None:
    """Returns the median rate of the matrix product, in operations a second; for fp32 the faster of its kernels."""
    rounds = result["gemm"]["rounds"]
    names = [name for name in (rounds[0]["rates"] if rounds else {}) if name.split("_")[0] == precision]
    return max((statistics.median(answer["rates"][name] for answer in rounds) for name in names), default=None)


def flops_per_token(entry: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    """Returns model FLOPs, and for bertune executed FLOPs, a real token, averaged over the workload's examples."""
    workload = result["workload"]
    layers = SHAPES[workload["model"]].layers
    sizes = (workload["layers"], workload["hidden"], workload["intermediate"], workload["heads"])
    shape = Shape(*sizes, **(_MODERNBERT if layers == "modernbert" else {}))
    training = result["what"] == "train"
    lengths = workload["train_lengths" if training else "test_lengths"]
    formulas: dict[str, Callable[..., float]] = {"model": model_flops}
    if layers == "bert" and re.split("[~@-]", entry["name"])[0] == OURS:
        formulas["executed"] = executed_flops
    tokens = sum(int(length) * count for length, count in lengths.items())
    found = {}
    for kind, formula in formulas.items():
        options = {"training": training}
        if kind == "executed":
            options["first_only"] = FIRST_ONLY not in entry["about"].get("without", ())
            with_kernels = KERNELS not in entry["about"].get("without", ())
            options["by_kernels"] = with_kernels and result["date"] >= WITHOUT_KEYS_SINCE
        total = sum(formula(shape, [int(length)], **options) * count for length, count in lengths.items())
        found[kind] = total / tokens
    return found


def gain_of_tricks(result: Mapping[str, Any]) -> dict[str, Ratio]:
    """Returns what each trick that was switched off is worth: the system with it over the system without it.

    One that was switched off beside another (`kernels+length-groups`) is measured against the system without that other
    alone, where there is one.
    """
    names = [entry["name"] for entry in result["systems"]]
    gains: dict[str, Ratio | None] = {}
    for name in (name for name in names if "@" not in name):
        system, _, tricks = name.partition("~")
        first, _, others = tricks.partition("+")
        if tricks:
            gains[tricks] = ratio_between(result, system, name)
        if others and f"{system}~{first}" in names:
            gains[f"{others}, already without {first}"] = ratio_between(result, f"{system}~{first}", name)
    return {name: gain for name, gain in gains.items() if gain is not None}


def gain_of_settings(result: Mapping[str, Any]) -> dict[str, Ratio]:
    """Returns what environment variables are worth: the system with them over the same system without."""
    names = [entry["name"] for entry in result["systems"] if "@" in entry["name"]]
    gains = {name: ratio_between(result, name, name.partition("@")[0]) for name in names}
    return {name: gain for name, gain in gains.items() if gain is not None}


def probability_differences(result: Mapping[str, Any]) -> dict[str, float]:
    """Returns each system's largest difference of a probability to bertune's in fp32."""
    systems = by_name(result)
    reference = systems.get(f"{OURS}-fp32", {}).get("probabilities")
    if reference is None:
        return {}
    return {
        name: max(abs(own - other) for own, other in zip(entry["probabilities"], reference, strict=True))
        for name, entry in systems.items()
        if entry.get("probabilities")
    }
