"""The keeper of the processes that train a run beside the first: they stop where all do, and write nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from bertune.errors import StoppedError
from bertune.system.process_group import ProcessGroup
from bertune.training.fitting_state import FittingState
from bertune.training.keeper import Keeper
from bertune.training.stop_signals import StopSignals


class Follower(Keeper):
    """Goes on from the state that the first process has read, and stops where any process was asked to.

    Args:
        group: of the processes.
        state: from which the run goes on; None where it begins.
    """

    def __init__(self, group: ProcessGroup, state: FittingState | None) -> None:
        self._group = group
        self._state = state
        self._signals = StopSignals()

    def earlier(self) -> FittingState | None:
        """See `Keeper`."""
        state, self._state = self._state, None
        return state

    def after_step(self, step: int, state: Callable[[], FittingState]) -> None:
        """See `Keeper`.

        Raises:
            StoppedError: a process was asked to stop.
        """
        del state
        self._signals.agree(self._group)
        if self._signals.is_asked:
            raise StoppedError(f"stopped after step {step:,}")

    def after_evaluation(self, step: int, state: Callable[[], FittingState]) -> None:
        """See `after_step`."""
        self.after_step(step, state)

    def heeding(self) -> AbstractContextManager[None]:
        """See `Keeper`."""
        return self._signals.heeded()
