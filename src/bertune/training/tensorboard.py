"""What a run does, as curves in TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Self

from bertune.training.callback import Callback
from bertune.training.event_file import EventFile
from bertune.training.history import EpochResult, History
from bertune.training.step import StepResult


class TensorBoard(Callback):
    """Writes `train/…` after each step and `eval/…` after each epoch; a `Callback` of `fit`.

    Every tag stands over the number of optimizer steps taken, so that curves of training and evaluation share an axis.

    Args:
        folder: of the event file.

    Example:
        >>> inputs = bertune.encode_examples(["good film", "bad"], None, tokenizer, 16)
        >>> settings = bertune.TrainingConfig(epochs=2, batch_size=2)
        >>> with bertune.TensorBoard("runs/curves") as curves:
        ...     history = bertune.fit(classifier, (inputs, [1, 0]), config=settings, callbacks=[curves])
    """

    def __init__(self, folder: str | Path) -> None:
        self._file = EventFile(Path(folder))
        self._steps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def on_step(self, result: StepResult) -> None:
        """Writes loss, rate and gradient norm of one optimizer step."""
        self._steps = result.step + 1
        values = {
            "train/loss": result.loss,
            "train/learning_rate": result.learning_rate,
            "train/gradient_norm": result.gradient_norm,
        }
        self._file.add(self._steps, values)

    def on_epoch(self, result: EpochResult) -> None:
        """Writes speed, mean loss and the validation's loss and metrics of one epoch."""
        values = {
            "train/epoch": float(result.epoch),
            "train/epoch_loss": result.train_loss,
            "train/examples_per_second": result.examples_per_second,
        }
        if result.scores is not None:
            values["eval/loss"] = result.scores.mean_loss
            values |= {f"eval/{name}": value for name, value in result.scores.values.items()}
        self._file.add(self._steps, values)

    def draw(self, history: History) -> None:
        """Draws all that is in a history, in its order."""
        for step in history.steps:
            self.on_step(step)
        last = {step.epoch: step.step for step in history.steps}
        for result in history.epochs:
            self._steps = last[result.epoch] + 1
            self.on_epoch(result)
