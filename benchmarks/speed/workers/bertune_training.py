"""bertune's `fit`, on the workload's folder; `--precision auto` takes bf16 where the processor multiplies it.

Tricks are switched off by `BERTUNE_DISABLE`, which bertune reads itself.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import versions
from benchmarks.speed.workload import cross_entropy, read_workload
from bertune import TrainingConfig, encode_examples, fit, load, predict_logits
from bertune.batches.dataset import Dataset
from bertune.nn.precision import choose_precision, name_of
from bertune.training.callback import Callback


class Turns(Callback):
    """Observes `fit`: blocks after each slice, and holds every step to the workload's batches."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        assert total_steps == len(self._tokens), (total_steps, steps_per_epoch)
        slices.notes["computed_in"] = precision

    def on_step(self, result: Any) -> None:
        assert result.tokens == self._tokens[result.step], f"step {result.step} trained on other examples"
        slices.step_done(result.examples, result.tokens, lambda: result.loss)

    def on_epoch(self, result: Any) -> None:
        pass


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    workload = read_workload(options.folder)
    model = load(workload.model)
    texts = workload.train
    encoded = encode_examples(texts.first, texts.second, model.tokenizer, workload.settings["max_length"])
    workload.check_lengths(encoded.lengths, "train")
    targets = np.array(texts.labels, dtype=np.int64)
    first = workload.batches()[0]
    loss = cross_entropy(predict_logits(model.classifier, encoded.take(first)), targets[first])
    precision = name_of(choose_precision(options.precision, torch.device("cpu")))
    slices.ready(
        versions=versions("bertune", "torch", "tokenizers", "numpy"),
        first_batch_loss=loss,
        precision=precision,
        without=[name for name in os.environ.get("BERTUNE_DISABLE", "").split(",") if name],
    )
    slices.wait()
    names = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "max_gradient_norm", "seed")
    config = TrainingConfig(
        recipe="lesson", precision=options.precision, **{name: workload.settings[name] for name in names}
    )
    fit(
        model.classifier,
        Dataset(encoded, targets),
        config=config,
        callbacks=[Turns(workload.tokens_of(workload.batches()))],
    )


if __name__ == "__main__":
    main()
