"""A run that did not end: what its folder holds of it, and whether it can be resumed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bertune.errors import CheckpointError, ConfigError, DataError
from bertune.system.folder_lock import refuse_second_run
from bertune.system.hinted_values import MisfitError, from_json
from bertune.system.toml_file import read_toml
from bertune.training.checkpoint_names import remove_checkpoints
from bertune.training.fingerprint import check_same, fingerprint_of
from bertune.training.journal import JournalMark, read_bytes_before
from bertune.training.named_paths import Settings
from bertune.training.prepare import PreparedRun, Say
from bertune.training.run_checkpoints import newest_state
from bertune.training.run_directory import RunDirectory, has_ended
from bertune.training.run_state import RunState
from bertune.training.saved_run import SavedSettings


@dataclass(frozen=True)
class InterruptedRun:
    """What a run is resumed with.

    Args:
        directory: of the run.
        settings: by the names of the flags.
        state: of its newest whole checkpoint; None where it had none yet.
        start: the folder in which it was started, for the relative paths among its settings.
    """

    directory: RunDirectory
    settings: Settings
    state: RunState | None
    start: Path

    def check_same(self, run: PreparedRun, processes: int = 1) -> str | None:
        """Refuses to resume where the result could be another.

        Args:
            run: as it was prepared now.
            processes: that will train it.

        Returns:
            A warning, where there are more or fewer processes; else None.

        Raises:
            ConfigError: names the first thing that changed.
        """
        if self.state is None:
            return None
        now = fingerprint_of(run, processes=processes)
        return check_same(self.state.fingerprint, now, str(self.directory.path))


def find_interrupted(folder: Path, say: Say) -> InterruptedRun:
    """Looks into the folder of a run that did not end; changes nothing in it.

    Args:
        folder: of the run.
        say: told of checkpoints that are damaged.

    Raises:
        ConfigError: it is no run, it has ended, another process trains it, or it is one of several runs.
        DataError: `run.toml` is damaged.
        CheckpointError: no checkpoint is whole, or the journal is not the one that belongs to it.
    """
    directory = RunDirectory(folder)
    path = directory.path / "run.toml"
    refuse_second_run(directory.path)
    if not path.is_file():
        what = "is not the folder of a run: it has no run.toml" if folder.is_dir() else "no such folder"
        raise ConfigError(f"{folder}: {what}", hint="name the folder that bertune train --out made")
    try:
        saved = from_json(SavedSettings, read_toml(path))
    except MisfitError as error:
        raise DataError(f"{path}: {error}", hint="bring it back from a copy") from error
    if saved.train is None or "seeds" in saved.train or "folds" in saved.train:
        several = "study of seeds" if saved.train and "seeds" in saved.train else "cross-validation"
        what = "sweep" if saved.train is None else several
        raise ConfigError(
            f"{folder} holds a {what}, which --resume is not for",
            hint="the command that began it resumes it, without --overwrite",
        )
    if has_ended(directory.path):
        if not saved.train.get("keep-checkpoints"):
            remove_checkpoints(directory.checkpoints)  # it was killed while it deleted them
        raise ConfigError(
            f"{folder}: this run has ended, there is nothing to resume",
            hint=f"bertune inspect {folder} shows it; bertune train --config {path} --out NEW repeats it",
        )
    state = newest_state(directory.checkpoints, say)
    if state is not None:
        _check_journal(directory.journal, state.journal)
    return InterruptedRun(directory, saved.train, state, directory.started_in)


def state_of_interrupted(run: PreparedRun) -> RunState | None:
    """Returns the state from which one of several runs goes on; None where it begins again.

    That is where it has ended, has no checkpoint that is whole, or would give another result.

    Args:
        run: as it was prepared.
    """
    directory = RunDirectory(run.settings.out)
    if run.checkpoints is None or not directory.checkpoints.is_dir() or has_ended(directory.path):
        return None
    try:
        state = newest_state(directory.checkpoints, lambda _: None)
        if state is not None:
            _check_journal(directory.journal, state.journal)
            check_same(state.fingerprint, fingerprint_of(run), str(directory.path))
    except (CheckpointError, ConfigError):
        return None
    return state


def _check_journal(path: Path, mark: JournalMark) -> None:
    if hashlib.sha256(read_bytes_before(path, mark.bytes)).hexdigest() != mark.sha256:
        raise CheckpointError(
            f"{path}: not the journal that belongs to the checkpoint: its first {mark.bytes:,} bytes were changed",
            hint="bring it back from a copy, or begin again: "
            f"bertune train --config {path.parent / 'run.toml'} --out NEW",
        )
