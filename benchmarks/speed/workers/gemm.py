"""The rate of torch's matrix product at the workload's shape, measured in turns with the systems.

One product: the tokens of a mean batch times the first feed-forward weight. `fp32_onednn` is measured where the
processor has no AMX: only there does the flag leave fp32 true.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine, versions
from benchmarks.speed.workload import read_workload

_SECONDS = 0.5


def rate(first: torch.Tensor, second: torch.Tensor) -> float:
    """Returns operations a second: the median over repetitions for half a second."""
    flops = 2.0 * first.shape[0] * first.shape[1] * second.shape[1]
    torch.mm(first, second)
    seconds = []
    until = time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        torch.mm(first, second)
        seconds.append(time.perf_counter() - began)
    return flops / statistics.median(seconds)


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    workload = read_workload(options.folder)
    settings = workload.settings
    tokens = round(float(workload.train.lengths.mean()) * workload.batch_size)
    first, second = torch.randn(tokens, settings["hidden"]), torch.randn(settings["hidden"], settings["intermediate"])
    shape = [tokens, settings["hidden"], settings["intermediate"]]
    slices.ready(versions=versions("torch"), shape=shape)
    while True:
        slices.wait()
        rates = {"bf16": rate(first.bfloat16(), second.bfloat16()), "fp32": rate(first, second)}
        if not machine()["amx"]:
            products: Any = torch.backends.mkldnn
            products.matmul.fp32_precision = "bf16"
            rates["fp32_onednn"] = rate(first, second)
            products.matmul.fp32_precision = "none"
        slices.done(0, 0, rates=rates)


if __name__ == "__main__":
    main()
