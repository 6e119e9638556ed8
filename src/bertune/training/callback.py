"""What watches a run: called at its start, and after each step, evaluation and epoch."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

# They import torch, which whoever shows other progress need not wait for.
if TYPE_CHECKING:
    from bertune.training.history import EpochResult, Evaluation
    from bertune.training.step import SkippedStep, StepResult


class Callback:
    """Watches a run of `fit`; every method does nothing, and a subclass has those that it needs.

    What a method raises ends the run: the classifier is left as it is at that moment.

    Example:
        >>> class PrintEpochs(bertune.Callback):
        ...     def on_epoch(self, result):
        ...         print(result.epoch, result.is_best)
        >>> inputs = bertune.encode_examples(["good film", "bad"], None, tokenizer, 16)
        >>> settings = bertune.TrainingConfig(epochs=2, batch_size=2)
        >>> history = bertune.fit(classifier, (inputs, [1, 0]), config=settings, callbacks=[PrintEpochs()])
        1 True
        2 True
    """

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Called before the first step.

        Args:
            total_steps: of the run, if nothing ends it before.
            steps_per_epoch: of each epoch.
            precision: in which it computes, and by which engine, such as `bf16, compiled kernels`.
        """

    def on_step(self, result: "StepResult") -> None:
        """Called after each optimizer step.

        Within an epoch the classifier's token table may hold only the rows of the training data; `state_dict` gives the
        whole one.
        """

    def on_skipped_step(self, skipped: "SkippedStep") -> None:
        """Called after a step that was not applied: its loss or its gradient was not finite."""

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        """Called when memory was at its end: from now on so few examples are computed at a time.

        Args:
            step: that is computed once more, from 0.
            micro_batch_size: examples at a time.
        """

    def on_best(self, result: "Evaluation") -> None:
        """Called after the evaluation that is the best so far, while the classifier holds its weights."""

    def on_evaluation(self, result: "Evaluation") -> None:
        """Called after each evaluation, at the end of an epoch or within one, when `on_best` of all has been called.

        The classifier holds the weights that were scored. Within an epoch, what is done to its token table is lost.
        """

    def on_epoch(self, result: "EpochResult") -> None:
        """Called after each epoch, when `on_evaluation` of all has been called for its end."""


class OnBest(Callback):
    """Calls a function after each evaluation that is the best so far."""

    def __init__(self, function: Callable[["Evaluation"], None]) -> None:
        self._function = function

    def on_best(self, result: "Evaluation") -> None:
        """See `Callback`."""
        self._function(result)


class Callbacks(Callback):
    """Several callbacks as one: each is told in turn; one that raises ends the run there.

    Args:
        callbacks: in the order in which they are told; None is left out.
    """

    def __init__(self, callbacks: Iterable[Callback | None]) -> None:
        self._callbacks = tuple(callback for callback in callbacks if callback is not None)

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_start(total_steps, steps_per_epoch, precision)

    def on_step(self, result: "StepResult") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_step(result)

    def on_skipped_step(self, skipped: "SkippedStep") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_skipped_step(skipped)

    def on_smaller_parts(self, step: int, micro_batch_size: int) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_smaller_parts(step, micro_batch_size)

    def on_best(self, result: "Evaluation") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_best(result)

    def on_evaluation(self, result: "Evaluation") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_evaluation(result)

    def on_epoch(self, result: "EpochResult") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_epoch(result)
