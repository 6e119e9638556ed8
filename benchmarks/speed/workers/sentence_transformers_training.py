"""sentence-transformers' CrossEncoder with two labels, trained by its CrossEncoderTrainer with its defaults.

It tokenizes inside each step.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import CrossEntropyLoss
from torch.utils.data import SequentialSampler

from benchmarks.machine import versions
from benchmarks.speed.trainer_turns import Turns, training_arguments, with_last_loss
from benchmarks.speed.workload import cross_entropy, read_workload


def in_order(dataset: Any, **named: Any) -> Any:
    return DefaultBatchSampler(SequentialSampler(dataset), **named)


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    workload = read_workload(options.folder)
    transformers.set_seed(workload.settings["seed"])
    model = CrossEncoder(
        str(workload.model),
        num_labels=2,
        max_length=workload.settings["max_length"],
        device="cpu",
        local_files_only=True,
    )
    texts, batches = workload.train, workload.batches()
    first = batches[0]
    pairs = [(texts.first[row], texts.second[row]) for row in first]
    # Identity: predict would otherwise answer probabilities.
    logits = model.predict(pairs, activation_fn=torch.nn.Identity(), convert_to_numpy=True)
    loss = cross_entropy(logits, [texts.labels[row] for row in first])
    rows = batches.ravel()
    columns = {
        "sentence1": [texts.first[row] for row in rows],
        "sentence2": [texts.second[row] for row in rows],
        "label": [texts.labels[row] for row in rows],
    }
    turns = Turns(slices, workload, batches)
    trainer = with_last_loss(CrossEncoderTrainer)(
        model=model,
        args=CrossEncoderTrainingArguments(
            batch_sampler=in_order, **training_arguments(workload, tempfile.mkdtemp(), bf16=options.bf16)
        ),
        train_dataset=Dataset.from_dict(columns),
        loss=CrossEntropyLoss(model),
        callbacks=[turns],
    )
    turns.trainer = trainer
    slices.ready(
        versions=versions("sentence-transformers", "transformers", "torch"),
        first_batch_loss=loss,
        precision="bf16" if options.bf16 else "fp32",
    )
    slices.wait()
    trainer.train()


if __name__ == "__main__":
    main()
