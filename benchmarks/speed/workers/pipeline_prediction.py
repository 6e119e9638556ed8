"""transformers' text-classification pipeline at batch 32, from texts to probabilities."""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.machine import versions
from benchmarks.speed.workload import read_workload


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    workload = read_workload(options.folder)
    pipeline = transformers.pipeline(
        "text-classification",
        model=str(workload.model),
        tokenizer=str(workload.model),
        dtype=torch.bfloat16 if options.bf16 else torch.float32,
        device="cpu",
        batch_size=workload.batch_size,
        truncation=True,
        max_length=workload.settings["max_length"],
    )
    config: Any = pipeline.model.config
    yes = config.id2label[1]
    slices.ready(versions=versions("transformers", "torch"), precision="bf16" if options.bf16 else "fp32")
    while True:
        count = slices.wait()["examples"]
        texts = zip(workload.test.first[:count], workload.test.second[:count], strict=True)
        answers = pipeline([{"text": first, "text_pair": second} for first, second in texts])
        probabilities = [answer["score"] if answer["label"] == yes else 1 - answer["score"] for answer in answers]
        slices.done(count, int(workload.test.lengths[:count].sum()), probabilities=probabilities)


if __name__ == "__main__":
    main()
