"""What a run does, as curves in TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Self

from bertune.evaluation.scores import Scores
from bertune.training.callback import Callback
from bertune.training.event_file import EventFile
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.step import StepResult


class TensorBoard(Callback):
    """Writes `train/…` after each step and `eval/…` after each evaluation; a `Callback` of `fit`.

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
        self._steps = self._evaluated = 0

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

    def on_evaluation(self, result: Evaluation) -> None:
        """Writes the validation's loss and metrics within an epoch; at its end `on_epoch` does."""
        if result.is_within_epoch:
            self._evaluated = self._steps = result.step
            self._file.add(result.step, _scalars(result.scores))

    def on_epoch(self, result: EpochResult) -> None:
        """Writes speed, mean loss and the validation's loss and metrics of one epoch."""
        values = {
            "train/epoch": float(result.epoch),
            "train/epoch_loss": result.train_loss,
            "train/examples_per_second": result.examples_per_second,
        }
        if self._evaluated != self._steps:  # it does where patience ended the run within the epoch
            values |= _scalars(result.scores)
        self._file.add(self._steps, values)

    def draw(self, history: History) -> None:
        """Draws all that is in a history, in its order."""
        for step in history.steps:
            self.on_step(step)
        last = {step.epoch: step.step for step in history.steps}
        for told in history.in_order():
            if isinstance(told, Evaluation):
                self.on_evaluation(told)
            else:
                self._steps = last[told.epoch] + 1
                self.on_epoch(told)


def _scalars(scores: Scores | None) -> dict[str, float]:
    if scores is None:
        return {}
    return {"eval/loss": scores.mean_loss, **{f"eval/{name}": value for name, value in scores.values.items()}}
