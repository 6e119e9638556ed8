"""Trains by transformers' Trainer what a job says; runs in `.venv-transformers`, without bertune.

    python -m benchmarks.trainer_worker FOLDER

The job's settings are `TrainingArguments` by name; all others stay at their defaults, but that nothing is logged or
saved. With an order of the examples, epoch after epoch, the Trainer is held to it: a batch with other labels is an
error.

With a budget of seconds the schedule is laid out for as many steps as fit into it. To know how many do, a copy of the
model is trained first, by the same Trainer: 5 steps, and then 20 to 200 that are timed, for a tenth of the budget; that
time does not count. Training is stopped at 1.1 times the budget. Where it was stopped, or ended before 0.9 times the
budget, the pace was another: it is done once more from the first weights, with the schedule laid out for the pace that
it had, and the second run counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from benchmarks.job import Job, checksum, read_job, write_answer
from benchmarks.machine import versions
from benchmarks.speed.workload import cross_entropy
from benchmarks.time_budget import (
    MOST_TIMED_STEPS,
    TOLERANCE,
    UNTIMED_STEPS,
    is_timed,
    pace_of,
    replanned,
    steps_within,
)


class Ordered(torch.utils.data.Sampler[int]):
    """Gives the examples in the order of one epoch after the other."""

    def __init__(self, order: NDArray[np.int64]) -> None:
        self._order = order
        self._epoch = 0

    def __iter__(self) -> Any:
        epoch, self._epoch = self._epoch, self._epoch + 1
        return iter(self._order[epoch].tolist())

    def __len__(self) -> int:
        return self._order.shape[1]


class Clock(transformers.TrainerCallback):
    """Takes the time of each step's end, and stops training when `is_over` says so of all of them."""

    def __init__(self, now: Callable[[], float], is_over: Callable[[list[float]], bool] | None = None) -> None:
        self._now = now
        self._is_over = is_over
        self._began = 0.0
        self.ends: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = self._now()

    def on_step_end(self, *passed: Any, **_: Any) -> None:
        self.ends.append(self._now() - self._began)
        if self._is_over is not None and self._is_over(self.ends):
            passed[2].should_training_stop = True


class Recording(transformers.Trainer):
    """Keeps loss, rate and targets of each step, and gives the examples in a given order."""

    def __init__(self, *arguments: Any, order: NDArray[np.int64] | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._order = order
        self.losses: list[torch.Tensor] = []
        self.rates: list[float] = []
        self.targets: list[torch.Tensor] = []

    def _get_train_sampler(self, *arguments: Any, **named: Any) -> Any:
        return super()._get_train_sampler(*arguments, **named) if self._order is None else Ordered(self._order)

    def training_step(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        assert self.optimizer is not None
        self.rates.append(float(self.optimizer.param_groups[0]["lr"]))
        self.targets.append(inputs["labels"].clone())
        loss = super().training_step(model, inputs, *arguments, **named)
        self.losses.append(loss)
        return loss


class Worker:
    """Makes Trainers for a job, each with a new copy of the first weights."""

    def __init__(self, job: Job, order: NDArray[np.int64] | None, folder: str) -> None:
        self.job = job
        self.rows = {name: job.rows(name) for name in job.tables}
        self._order = order
        self._now = time.process_time if job.clock == "processor" else time.perf_counter
        self._folder = folder
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(job.model)
        self.examples = {name: self._encoded(name) for name in job.tables}
        self._collator = transformers.DataCollatorWithPadding(self._tokenizer)

    def trainer(self, clock: Clock, **settings: Any) -> Recording:
        transformers.set_seed(self.job.seed)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            self.job.model, num_labels=len(self.job.labels or ("value",))
        )
        if self.job.labels is None:
            model.config.problem_type = "regression"
        arguments = transformers.TrainingArguments(
            output_dir=self._folder,
            seed=self.job.seed,
            per_device_eval_batch_size=64,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            **(self.job.settings | settings),
        )
        return Recording(
            model=model,
            args=arguments,
            order=self._order,
            train_dataset=self.examples["train"],
            eval_dataset=self.examples["validation"],
            data_collator=self._collator,
            callbacks=[clock],
        )

    def pace(self, budget: float) -> float:
        """Returns the steps a second, measured on a copy of the first weights."""
        clock = Clock(self._now, lambda ends: is_timed(ends, budget))
        self.trainer(clock, max_steps=UNTIMED_STEPS + MOST_TIMED_STEPS).train()
        return pace_of(clock.ends)

    def trained(self, **settings: Any) -> tuple[Recording, Clock, list[NDArray[np.float32]], float | None]:
        """Trains from the first weights.

        Returns:
            The Trainer, its clock, the logits of each evaluation, and the loss of the first batch before training where
            an order is given.
        """
        budget = self.job.budget_seconds
        clock = Clock(self._now, None if budget is None else lambda ends: ends[-1] > (1 + TOLERANCE) * budget)
        trainer = self.trainer(clock, **settings)
        size = trainer.args.train_batch_size
        first_loss = None if self._order is None else self.loss_of_first_batch(trainer.model, size)
        evaluations: list[NDArray[np.float32]] = []

        def keep_logits(both: Any) -> dict[str, float]:
            evaluations.append(both.predictions)
            return {}

        trainer.compute_metrics = keep_logits
        # What the seed decides begins here, whatever was computed before.
        transformers.set_seed(self.job.seed)
        trainer.train()
        if self._order is not None:
            self.check_order(trainer)
        return trainer, clock, evaluations, first_loss

    def loss_of_first_batch(self, model: Any, size: int) -> float:
        """Returns the loss of the first examples, in the given order, before any step and without dropout."""
        assert self._order is not None
        batch = self._collator([self.examples["train"][row] for row in self._order[0][:size]])
        with torch.inference_mode():
            logits = model.eval()(**batch).logits
        return cross_entropy(logits, batch["labels"])

    def check_order(self, trainer: Recording) -> None:
        """Refuses a run whose batches were not those of the order."""
        assert self._order is not None
        targets = np.array(self.rows["train"].targets)
        seen = torch.cat(trainer.targets).numpy()
        if not np.array_equal(seen, targets[self._order].ravel()):
            raise ValueError("the Trainer took the examples in another order than the given one")

    def _encoded(self, split: str) -> list[dict[str, Any]]:
        rows = self.rows[split]
        encoded = self._tokenizer(*rows.texts, truncation=True, max_length=self.job.max_length)
        return [
            {name: encoded[name][row] for name in encoded} | {"labels": rows.targets[row]} for row in range(len(rows))
        ]


def work(folder: Path) -> None:
    """Trains, and writes losses, rates and seconds with the logits of each evaluation and of the test rows."""
    job, order = read_job(folder)
    with tempfile.TemporaryDirectory() as output:
        worker = Worker(job, order, output)
        answer: dict[str, Any] = {"versions": versions("transformers", "torch", "accelerate", "tokenizers")}
        if job.budget_seconds is None:
            trainer, clock, evaluations, answer["first_batch_loss"] = worker.trained()
        else:
            steps = steps_within(job.budget_seconds, worker.pace(job.budget_seconds))
            trainer, clock, evaluations, _ = worker.trained(max_steps=steps)
            again = replanned(steps, clock.ends, job.budget_seconds)
            answer["is_second"] = again is not None
            if again is not None:
                trainer, clock, evaluations, _ = worker.trained(max_steps=again)
        if not evaluations:
            trainer.evaluate()
        logits: dict[str, Any] = {}
        if "test" in worker.examples:
            trainer.compute_metrics = None
            rows: Any = worker.examples["test"]
            logits["test"] = trainer.predict(rows).predictions
        logits["validation"] = np.stack(evaluations)
        answer |= {
            "losses": [float(loss) for loss in trainer.losses],
            "rates": trainer.rates,
            "seconds": clock.ends[-1],
            "planned_steps": trainer.state.max_steps,
            "batch_size": trainer.args.train_batch_size,
            "train_rows": len(worker.rows["train"]),
            "tokens_checksum": checksum(np.concatenate([row["input_ids"] for row in worker.examples["train"]])),
        }
    write_answer(folder, answer, logits)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    transformers.utils.logging.set_verbosity_error()
    work(parser.parse_args().folder)


if __name__ == "__main__":
    main()
