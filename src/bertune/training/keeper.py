"""What `fit` asks at the boundary of each step and evaluation: whether to keep its state, and whether to go on."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from bertune.training.fitting_state import FittingState


class Keeper:
    """Keeps nothing and stops nothing; a subclass does.

    What a method raises ends the run at that boundary.
    """

    def earlier(self) -> FittingState | None:
        """Returns the state from which training goes on; None where it begins."""
        return None

    def after_step(self, step: int, state: Callable[[], FittingState]) -> None:
        """Called after each optimizer step.

        Args:
            step: optimizer steps that are behind.
            state: gives the state; its tensors are those that train, so they are good until this returns.
        """

    def after_evaluation(self, step: int, state: Callable[[], FittingState]) -> None:
        """Called when an evaluation was made and everybody was told; for the arguments see `after_step`."""

    def evaluating(self, step: int, state: Callable[[], FittingState]) -> AbstractContextManager[None]:
        """Gives what surrounds an evaluation, which may be left at once: it changes no state."""
        del step, state
        return nullcontext()

    def saving_losses(self, state: Callable[[], FittingState]) -> AbstractContextManager[None]:
        """Gives what surrounds a step: where another process is lost in it, the state is that before it."""
        del state
        return nullcontext()

    def heeding(self) -> AbstractContextManager[None]:
        """Gives what surrounds the whole training, in which the run may be asked to stop."""
        return nullcontext()

    def finishing(self) -> AbstractContextManager[None]:
        """Gives what surrounds all that comes after the training."""
        return nullcontext()
