"""The checkpoints of a run: `checkpoints/step-N` in its folder, written while it trains and read when it goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bertune.errors import CheckpointError, StoppedError
from bertune.system.process_group import ALONE, ProcessGroup, ProcessLostError
from bertune.training.checkpoint_names import (
    checkpoint_name,
    checkpoints_in,
    named_checkpoints,
    order_of,
    remove_checkpoint,
)
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.fingerprint import Fingerprint
from bertune.training.fitting_state import FittingState
from bertune.training.journal import Journal
from bertune.training.keeper import Keeper
from bertune.training.run_state import RunState, read_state, write_state
from bertune.training.save_cadence import Cadence
from bertune.training.stop_signals import StopAskedError, StopSignals

Say = Callable[[str], None]


@dataclass(frozen=True)
class KeptAs:
    """What the checkpoints of a run have in common, beside the state.

    Args:
        folder: of the checkpoints.
        fingerprint: of the run.
        journal: of the run.
    """

    folder: Path
    fingerprint: Fingerprint
    journal: Journal


class RunCheckpoints(Keeper):
    """Saves a run now and then, and when it is asked to stop.

    Args:
        kept_as: where, and with what.
        settings: how often, and how many.
        state: from which the run goes on; None where it begins.
        say: told each thing worth a line.
        group: of the processes that train together; this is the first.
    """

    def __init__(
        self,
        kept_as: KeptAs,
        settings: CheckpointSettings,
        *,
        state: RunState | None,
        say: Say,
        group: ProcessGroup = ALONE,
    ) -> None:
        self._kept_as = kept_as
        self._settings = settings
        self._cadence = Cadence(settings.cadence)
        self._state = state
        self._signals = StopSignals()
        self._say = say
        self._group = group
        self._last = None if state is None else _place_of(kept_as.folder, state.fitting)

    def earlier(self) -> FittingState | None:
        """See `Keeper`."""
        state, self._state = self._state, None  # it is as large as the training's own
        return None if state is None else state.fitting

    def after_step(self, step: int, state: Callable[[], FittingState]) -> None:
        """Saves where it is time, or where the run was asked to stop.

        Raises:
            StoppedError: it was.
            ResourceError: the disk is full or cannot be written; the checkpoint before is as it was.
        """
        self._signals.agree(self._group)
        if self._signals.is_asked or self._cadence.is_due(step):
            self._save(state())
        self._stop_where_asked(step)

    def after_evaluation(self, step: int, state: Callable[[], FittingState]) -> None:
        """Saves where that takes a small share of the time, or where the run was asked to stop; see `after_step`."""
        self._signals.agree(self._group)
        if self._signals.is_asked or self._cadence.is_due_after_evaluation():
            self._save(state())
        self._stop_where_asked(step)

    @contextmanager
    def evaluating(self, step: int, state: Callable[[], FittingState]) -> Iterator[None]:
        """Ends an evaluation at once where the run is asked to stop; it is done again when the run goes on.

        Not one that other processes wait for.
        """
        if not self._group.is_alone:
            with self.saving_losses(state):
                yield
            return
        try:
            with self._signals.may_leave():
                yield
        except StopAskedError:
            self._save(state())
            self._stop_where_asked(step)

    @contextmanager
    def saving_losses(self, state: Callable[[], FittingState]) -> Iterator[None]:
        """Saves where another process is lost: what this one has is whole."""
        try:
            yield
        except ProcessLostError as error:
            found = state()
            self._save(found)
            raise StoppedError(
                f"{error.message}; stopped after step {found.step:,}, all up to there is saved", hint=error.hint
            ) from error

    def heeding(self) -> AbstractContextManager[None]:
        """Lets signals ask the run to stop, in the place of ending it."""
        return self._signals.heeded()

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Ends at once what comes after the training, where the run is asked to stop; the last checkpoint serves.

        Not where other processes take part.
        """
        if not self._group.is_alone:
            yield
            return
        try:
            with self._signals.may_leave():
                yield
        except StopAskedError as error:
            raise StoppedError("stopped after the last step, before all was scored") from error

    def _stop_where_asked(self, step: int) -> None:
        if self._signals.is_asked:
            raise StoppedError(f"stopped after step {step:,}; all up to there is saved")

    def _save(self, state: FittingState) -> None:
        place = _place_of(self._kept_as.folder, state)
        if place == self._last:
            return
        started = time.monotonic()
        kept = self._kept_as
        write_state(place, RunState(state, kept.journal.mark(), kept.fingerprint))
        self._last = place
        # What is beyond this step is of a checkpoint that could not be read when the run went on before it.
        known = [each for each in checkpoints_in(kept.folder) if each != place]
        beyond = [each for each in known if order_of(each) > order_of(place)]
        earlier = [each for each in known if each not in beyond]
        for each in [*beyond, *earlier[self._settings.keep_last - 1 :]]:
            remove_checkpoint(each)
        self._cadence.saved(time.monotonic() - started)


def newest_state(folder: Path, say: Say) -> RunState | None:
    """Reads the newest checkpoint that is whole.

    Args:
        folder: of the checkpoints.
        say: told of each that is not, and why.

    Returns:
        None where there is none.

    Raises:
        CheckpointError: there are some, and none is whole; says what is wrong with the newest.
    """
    first: CheckpointError | None = None
    for place in named_checkpoints(folder):
        try:
            return read_state(place)
        except CheckpointError as error:
            first = first or error
            say(f"warning: {error.message}; the checkpoint before it is tried")
    if first is not None:
        raise CheckpointError(
            f"no checkpoint is whole: {first.message}",
            hint="bring one back from a copy, or begin again: "
            f"bertune train --config {folder.parent / 'run.toml'} --out NEW",
        )
    return None


def _place_of(folder: Path, state: FittingState) -> Path:
    return folder / checkpoint_name(state.step, is_evaluated=state.is_evaluated)
