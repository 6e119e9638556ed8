"""The folder of a sweep: one run folder a trial, the table of all, and the model of the best."""

import shutil
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bertune.checkpoints.signature import SIGNATURE_FILE
from bertune.errors import ConfigError, DataError
from bertune.experiments.halving import Trial
from bertune.experiments.interrupted import ANOTHER, Interrupted
from bertune.system.atomic import replaced_folder
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.system.toml_file import write_toml
from bertune.training.named_paths import Settings
from bertune.training.run_directory import RunDirectory, versions

_TABLE, _SCORES, _MODEL = "sweep.json", "scores.json", "model"


@dataclass(frozen=True)
class EarlierSweep(Interrupted):
    """What a folder holds of a sweep; its settings say what is searched, too.

    Args:
        trials: that are done.
    """

    what = "sweep"

    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class TrialInFolder(Trial):
    """A trial as `sweep.json` holds it.

    Args:
        folder: of its run, inside that of the sweep.
    """

    folder: str = ""


@dataclass(frozen=True)
class SweepTable:
    """What `sweep.json` holds.

    Args:
        metric: by which trials are compared.
        trials: that are done.
        settings: what all trials have in common and what is searched.
        data: digest of the data; empty in tables of sweeps from before it was kept.
    """

    metric: str
    trials: tuple[Trial, ...]
    settings: Settings
    data: str = ""


class SweepDirectory(RunDirectory):
    """Where a sweep leaves everything.

    | file | what |
    |---|---|
    | `run.toml` | all settings; `bertune sweep --config run.toml --out NEW` repeats the sweep |
    | `sweep.json` | the trials that are done, as soon as they are |
    | `sweep.svg` | the picture of them |
    | `trial-N/` | the run of trial N, like any other |
    | `model/`, `scores.json` | those of the best trial so far |
    """

    @property
    def picture(self) -> Path:
        """The picture of all trials."""
        return self.path / "sweep.svg"

    def run_of(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.path / f"trial-{number}"

    def check(self, *, overwrite: bool) -> None:
        """Refuses a folder that is no sweep's.

        Raises:
            ConfigError: another process is writing into it, or it holds something else.
        """
        if not self._is_empty() and not (self.path / _TABLE).is_file():
            raise ConfigError(f"{self.path} is not empty and not a sweep", hint="name a new folder with --out")
        super().check(overwrite=True)
        if not overwrite:
            self.earlier()

    def earlier(self) -> EarlierSweep | None:
        """Returns the sweep that the folder holds, None where it holds none.

        Trials whose model is gone are not done, nor are those after them, which were drawn by what it came to.

        Raises:
            DataError: `sweep.json` is damaged.
        """
        path = self.path / _TABLE
        if not path.is_file():
            return None
        try:
            table = from_json(SweepTable, read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError))
        except (DataError, MisfitError) as error:
            raise DataError(f"{path}: not the table of a sweep", hint=ANOTHER) from error
        return EarlierSweep(table.settings, table.data, self.started_in, tuple(takewhile(self._is_whole, table.trials)))

    def write_settings(self, settings: Settings) -> None:
        """Writes `run.toml`."""
        write_toml(self.path / "run.toml", {"sweep": settings, "made_with": versions()})

    def write_table(self, settings: Settings, data: str, metric: str, trials: list[Trial]) -> None:
        """Writes `sweep.json`.

        Args:
            settings: what all trials have in common and what is searched.
            data: digest of the data.
            metric: by which trials are compared.
            trials: that are done.
        """
        rows = tuple(TrialInFolder(**vars(trial), folder=self.run_of(trial.number).name) for trial in trials)
        self.write_json(_TABLE, to_json(SweepTable(metric, rows, settings, data)))

    def forget_trial(self, number: int) -> None:
        """Removes what a killed sweep left of a trial that is not done."""
        shutil.rmtree(self.run_of(number), ignore_errors=True)

    def keeps(self, trial: Trial) -> bool:
        """Whether the model and the scores of the sweep are those of a trial.

        They are not where the sweep was killed, or found the disk full, after the table was written.
        """
        try:
            kept = read_json_object(self.path / _SCORES, max_bytes=MAX_OWN_BYTES, error=DataError)["trial"]
        except (DataError, KeyError):
            return False
        return bool(kept == trial.number) and (self.model / SIGNATURE_FILE).is_file()

    def keep(self, trial: Trial) -> None:
        """Makes the model of a trial, and its scores, those of the sweep.

        The scores are taken away first and come last: `keeps` is true of a trial only when everything is in place.
        """
        run = self.run_of(trial.number)
        (self.path / _SCORES).unlink(missing_ok=True)
        with replaced_folder(self.model) as temporary:
            shutil.copytree(run / _MODEL, temporary, dirs_exist_ok=True)
        scores = read_json_object(run / _SCORES, max_bytes=MAX_OWN_BYTES, error=DataError)
        self.write_json(_SCORES, {"trial": trial.number} | scores)

    def has_results(self) -> bool:
        """Whether any trial came to a model."""
        return any(trial.values for trial in self._done())

    def _what_is_left(self, error: BaseException | None = None) -> str:
        del error
        return f"the same command, without --overwrite, resumes after trial {len(self._done())}"

    def how_to_resume(self, error: BaseException | None = None) -> str:
        """See `RunDirectory`."""
        del error
        command = f"the same command, with --out {self.path} and without --overwrite,"
        return f"{command} resumes after trial {len(self._done())}"

    def _done(self) -> tuple[Trial, ...]:
        try:
            earlier = self.earlier()
        except DataError:
            return ()
        return () if earlier is None else earlier.trials

    def _is_whole(self, trial: Trial) -> bool:
        """Whether the model of a trial that has one is there."""
        return not trial.values or (self.run_of(trial.number) / _MODEL / SIGNATURE_FILE).is_file()
