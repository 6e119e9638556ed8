"""What weights laid out for the matrix product beforehand would be worth in predicting, on this processor.

    python -m benchmarks.prepacked --out benchmarks/results/NAME

Times the four bf16 products of a layer of MiniLM-L6 and of BERT-base over a batch of prediction, as the engine makes
them (`torch.mm`) and by oneDNN on weights that it has reordered before (`mkldnn._linear_pointwise`), in turns.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.machine import machine, versions
from bertune.evaluation.logits import BATCH_TOKENS

SIZES: Final = {"MiniLM-L6": (384, 1536), "BERT-base": (768, 3072)}


def products(hidden: int, wide: int) -> dict[str, tuple[int, int]]:
    """Returns inputs and outputs of a layer's products by name."""
    return {"qkv": (hidden, 3 * hidden), "attended": (hidden, hidden), "wide": (hidden, wide), "narrow": (wide, hidden)}


def measure(inputs: int, outputs: int, turns: int) -> dict[str, float]:
    """Returns the median milliseconds of both ways, and the median of the turns' ratios."""
    x, weight = torch.randn(BATCH_TOKENS, inputs).bfloat16(), torch.randn(outputs, inputs).bfloat16()
    out = torch.empty(BATCH_TOKENS, outputs, dtype=torch.bfloat16)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, BATCH_TOKENS)
    ways: dict[str, Callable[[], Any]] = {
        "as_it_lies": lambda: torch.mm(x, weight.t(), out=out),
        "prepacked": lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 5):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if turn >= 5:
                seconds[name].append(time.perf_counter() - began)
    pairs = zip(seconds["as_it_lies"], seconds["prepacked"], strict=True)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()} | {
        "ratio": statistics.median(first / second for first, second in pairs)
    }


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| product | as it lies | reordered | gain |", "|---|---|---|---|"]
    for row in rows:
        times = f"{row['as_it_lies']:.3f} ms | {row['prepacked']:.3f} ms"
        lines.append(f"| {row['model']}, {row['product']} | {times} | {row['ratio']:.2f}x |")
    for model in SIZES:
        own = [row for row in rows if row["model"] == model]
        before, after = (sum(row[name] for row in own) for name in ("as_it_lies", "prepacked"))
        lines.append(f"| {model}, all four | {before:.2f} ms | {after:.2f} ms | {before / after:.2f}x |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        rows: list[dict[str, Any]] = [
            {"model": model, "product": name} | measure(*shape, options.turns)
            for model, sizes in SIZES.items()
            for name, shape in products(*sizes).items()
        ]
    result = {"rows": rows, "tokens": BATCH_TOKENS, "machine": machine(), "versions": versions("torch")}
    facts = ", ".join(f"{key} {value}" for key, value in (machine() | versions("torch")).items())
    about = f"bf16, {BATCH_TOKENS} tokens, {options.turns} turns, {options.threads} threads; {facts}."
    lines = ["# Weights reordered before the product", "", *table(rows), "", about, ""]
    lines += ["Command: `python -m benchmarks.prepacked`.", ""]
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
