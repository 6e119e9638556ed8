"""bertune from texts to probabilities: `encode_examples` and `predict_logits`."""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import os
from pathlib import Path

import torch

from benchmarks.machine import versions
from benchmarks.speed.workload import read_workload
from bertune import encode_examples, load, predict_logits
from bertune.evaluation.answer_kinds import softmax
from bertune.nn.precision import choose_precision, name_of


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    workload = read_workload(options.folder)
    model = load(workload.model)
    dtype = choose_precision(options.precision, torch.device("cpu"))
    model.classifier.encoder.compute_dtype = dtype
    slices.ready(
        versions=versions("bertune", "torch", "tokenizers"),
        precision=name_of(dtype),
        without=[name for name in os.environ.get("BERTUNE_DISABLE", "").split(",") if name],
    )
    while True:
        count = slices.wait()["examples"]
        first, second = workload.test.first[:count], workload.test.second[:count]
        encoded = encode_examples(first, second, model.tokenizer, workload.settings["max_length"])
        probabilities = softmax(predict_logits(model.classifier, encoded))[:, 1]
        slices.done(count, int(encoded.lengths.sum()), probabilities=probabilities.tolist())


if __name__ == "__main__":
    main()
