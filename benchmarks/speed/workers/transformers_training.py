"""transformers' Trainer, with its defaults but for the workload's hyper-parameters.

The examples come in the workload's order (`train_sampling_strategy="sequential"` over examples laid out in that
order). With `--group-by-length` batches are the ones that `LengthGroupedSampler` makes, visited so that each slice has
the same mix of lengths; the sampler itself would run from long to short ones.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers.trainer_pt_utils import LengthGroupedSampler

from benchmarks.machine import versions
from benchmarks.speed.trainer_turns import Turns, training_arguments, with_last_loss
from benchmarks.speed.workload import Workload, cross_entropy, read_workload, spread_evenly


def grouped_batches(workload: Workload) -> NDArray[np.int64]:
    """Returns (steps, batch_size) indices as the Trainer's sampler groups them, epoch by epoch."""
    epochs = []
    lengths = [int(length) for length in workload.train.lengths]
    for epoch in range(len(workload.order)):
        generator = torch.Generator().manual_seed(workload.settings["seed"] + epoch)
        sampler = LengthGroupedSampler(workload.batch_size, lengths=lengths, generator=generator)
        batches = np.array(list(sampler)).reshape(-1, workload.batch_size)
        by_length = np.argsort(workload.train.lengths[batches].sum(axis=1), kind="stable")
        epochs.append(batches[by_length[spread_evenly(len(batches))]])
    return np.concatenate(epochs)


def encode(workload: Workload, *, pad_to_max_length: bool) -> tuple[Any, list[dict[str, Any]]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(workload.model))
    texts = workload.train
    encoded = tokenizer(
        texts.first,
        texts.second,
        truncation=True,
        max_length=workload.settings["max_length"],
        padding="max_length" if pad_to_max_length else False,
    )
    workload.check_lengths([sum(mask) for mask in encoded["attention_mask"]], "train")
    rows = [{name: encoded[name][row] for name in encoded} | {"labels": texts.labels[row]} for row in range(len(texts))]
    return tokenizer, rows


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--pad-to-max-length", action="store_true")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    workload = read_workload(options.folder)
    tokenizer, rows = encode(workload, pad_to_max_length=options.pad_to_max_length)
    transformers.set_seed(workload.settings["seed"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(workload.model))
    batches = grouped_batches(workload) if options.group_by_length else workload.batches()
    collator: Any = transformers.DataCollatorWithPadding(tokenizer)
    if options.pad_to_max_length:
        collator = transformers.default_data_collator
    first = collator([rows[row] for row in workload.batches()[0]])
    with torch.inference_mode():
        loss = cross_entropy(model.eval()(**first).logits, first["labels"])
    turns = Turns(slices, workload, batches)
    trainer = with_last_loss(transformers.Trainer)(
        model=model,
        args=transformers.TrainingArguments(
            train_sampling_strategy="sequential",
            **training_arguments(workload, tempfile.mkdtemp(), bf16=options.bf16),
        ),
        train_dataset=[rows[row] for row in batches.ravel()],
        data_collator=collator,
        callbacks=[turns],
    )
    turns.trainer = trainer
    slices.ready(
        versions=versions("transformers", "torch", "accelerate", "tokenizers"),
        first_batch_loss=loss,
        precision="bf16" if options.bf16 else "fp32",
    )
    slices.wait()
    trainer.train()


if __name__ == "__main__":
    main()
