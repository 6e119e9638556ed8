"""Trains by bertune's `fit` what a job says, and answers like `trainer_worker`.

    python -m benchmarks.fit_worker FOLDER

The job's settings are fields of `TrainingConfig`. `fit` takes its own order of the examples, `epoch_order`; it must be
the one of the job.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.job import checksum, read_job, write_answer
from benchmarks.machine import versions
from benchmarks.speed.workload import cross_entropy
from bertune import encode_examples, fit, load, predict_logits
from bertune.batches.dataset import Dataset
from bertune.batches.sampler import epoch_order
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig


class KeptLogits(Callback):
    """Observes `fit`: keeps the logits of the validation rows after each epoch."""

    def __init__(self, classifier: Any, validation: Dataset) -> None:
        self._classifier = classifier
        self._validation = validation
        self.logits: list[Any] = []
        self.how = ""

    def on_start(self, *about: Any) -> None:
        self.how = about[-1]

    def on_step(self, *_: Any) -> None:
        pass

    def on_epoch(self, *_: Any) -> None:
        self.logits.append(predict_logits(self._classifier, self._validation.encoded))


def work(folder: Path) -> None:
    """Trains, and writes losses, rates and seconds with the logits of each epoch's evaluation."""
    job, order = read_job(folder)
    assert order is not None
    model = load(Path(job.model))
    data = {}
    for split in ("train", "validation"):
        rows = job.rows(split)
        encoded = encode_examples(rows.first, rows.second, model.tokenizer, job.max_length)
        data[split] = Dataset(encoded, np.array(rows.targets, dtype=np.int64))
    train, targets = data["train"], data["train"].targets
    assert targets is not None
    for epoch, expected in enumerate(order):
        if not np.array_equal(epoch_order(len(targets), seed=job.seed, epoch=epoch), expected):
            raise ValueError("fit would take the examples in another order than the given one")
    # The lesson's recipe alone decides nothing by the data; the job names all that matters.
    config = TrainingConfig(recipe="lesson", seed=job.seed, **job.settings)
    first = order[0][: config.batch_size]
    first_loss = cross_entropy(predict_logits(model.classifier, train.encoded.take(first)), targets[first])
    kept = KeptLogits(model.classifier, data["validation"])
    # Without validation data: every epoch is then evaluated once, by the observer, and the last is kept.
    history = fit(model.classifier, train, config=config, callbacks=[kept])
    answer = {
        "versions": versions("bertune", "torch", "tokenizers"),
        "first_batch_loss": first_loss,
        "losses": [step.loss for step in history.steps],
        "rates": [step.learning_rate for step in history.steps],
        "seconds": sum(epoch.train_seconds for epoch in history.epochs),
        "how": kept.how,
        "batch_size": config.batch_size,
        "train_rows": len(targets),
        "tokens_checksum": checksum(train.encoded.token_ids),
    }
    write_answer(folder, answer, {"validation": np.stack(kept.logits)})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    work(parser.parse_args().folder)


if __name__ == "__main__":
    main()
