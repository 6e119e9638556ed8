"""Lets a transformers Trainer, or one derived from it, take its turns. Needs transformers."""

from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray

from benchmarks.speed.slices import Slices
from benchmarks.speed.workload import Workload


class Turns(transformers.TrainerCallback):
    """Counts steps as they end, and blocks after each slice."""

    def __init__(self, slices: Slices, workload: Workload, batches: NDArray[np.int64]) -> None:
        self._slices = slices
        self._batch_size = workload.batch_size
        self._tokens = workload.tokens_of(batches)
        self.trainer: Any = None

    def on_step_end(self, *passed: Any, **_: Any) -> None:
        step = passed[1].global_step - 1
        self._slices.step_done(self._batch_size, self._tokens[step], lambda: float(self.trainer.last_loss))


def with_last_loss(trainer: Any) -> Any:
    """Derives a Trainer that keeps the loss of its last step, which costs nothing."""

    class Keeping(trainer):
        def training_step(self, *arguments: Any, **named: Any) -> Any:
            self.last_loss = super().training_step(*arguments, **named)
            return self.last_loss

    return Keeping


def training_arguments(workload: Workload, folder: str, *, bf16: bool) -> dict[str, Any]:
    """Returns the workload's hyper-parameters by their names in TrainingArguments; everything else stays default."""
    settings = workload.settings
    return {
        "output_dir": folder,
        # The data set holds all epochs, one behind the other.
        "num_train_epochs": 1,
        "per_device_train_batch_size": workload.batch_size,
        "learning_rate": settings["learning_rate"],
        "weight_decay": settings["weight_decay"],
        "max_grad_norm": settings["max_gradient_norm"],
        "warmup_steps": workload.warmup_steps,
        "seed": settings["seed"],
        "bf16": bf16,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
