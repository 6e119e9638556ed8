"""The folder of a sweep: one run folder a trial, the table of all, and the model of the best."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from bertune.atomic import remove_leftovers, replaced_folder, write_text
from bertune.errors import ConfigError, DataError
from bertune.folder_lock import only_run_in
from bertune.studies.halving import Trial
from bertune.training.run_directory import versions

_TABLE, _SCORES = "sweep.json", "scores.json"
_ANOTHER = "name a new folder with --out, or add --overwrite"


class SweepDirectory:
    """Where a sweep leaves everything.

    | file | what |
    |---|---|
    | `run.toml` | all settings; `bertune sweep --config run.toml --out NEW` repeats the sweep |
    | `sweep.json` | the trials that are done, as soon as they are |
    | `sweep.svg` | the picture of them |
    | `trial-N/` | the run of trial N, like any other |
    | `model/`, `scores.json` | those of the best trial so far |

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """The model folder of the best trial."""
        return self.path / "model"

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
            ConfigError: it holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file", hint="name a folder with --out")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / _TABLE).is_file():
            raise ConfigError(f"{self.path} is not empty and not a sweep", hint="name a new folder with --out")
        if not overwrite:
            self._read()

    @contextmanager
    def started(self, settings: dict[str, Any], *, overwrite: bool) -> Iterator[list[Trial]]:
        """Makes the folder, and gives the trials that an earlier command with the same settings has done.

        Args:
            settings: what all trials have in common and what is searched; not how many trials.
            overwrite: begin anew.

        Raises:
            ConfigError: another process is writing into it, or it holds a sweep with other settings.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with only_run_in(self.path):
            self.check(overwrite=overwrite)
            if overwrite and self.path.is_dir():
                shutil.rmtree(self.path)
            self.path.mkdir(exist_ok=True)
            remove_leftovers(self.path)
            earlier, done = self._read()
            for name in sorted(earlier.keys() | settings.keys()) if earlier else ():
                then, now = earlier.get(name, "not set"), settings.get(name, "not set")
                if then != now:
                    raise ConfigError(
                        f"{self.path} holds a sweep with another {name}: {then}, not {now}", hint=_ANOTHER
                    )
            yield done

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Writes `run.toml`."""
        write_text(self.path / "run.toml", tomli_w.dumps({"sweep": settings, "made_with": versions()}))

    def write_table(self, settings: dict[str, Any], metric: str, trials: list[Trial]) -> None:
        """Writes `sweep.json`."""
        rows = [asdict(trial) | {"folder": self.run_of(trial.number).name} for trial in trials]
        values = {"metric": metric, "trials": rows, "settings": settings}
        write_text(self.path / _TABLE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def forget_trial(self, number: int) -> None:
        """Removes what a killed sweep left of a trial that is not done."""
        shutil.rmtree(self.run_of(number), ignore_errors=True)

    def keep(self, trial: Trial) -> None:
        """Makes the model of a trial, and its scores, those of the sweep."""
        run = self.run_of(trial.number)
        with replaced_folder(self.model) as temporary:
            shutil.copytree(run / "model", temporary, dirs_exist_ok=True)
        scores = json.loads((run / _SCORES).read_text("utf-8"))
        write_text(self.path / _SCORES, json.dumps({"trial": trial.number} | scores, indent=2) + "\n")

    def _read(self) -> tuple[dict[str, Any], list[Trial]]:
        path = self.path / _TABLE
        if not path.is_file():
            return {}, []
        try:
            values = json.loads(path.read_text("utf-8"))
            trials = [
                Trial(
                    **{name: value for name, value in row.items() if name != "folder"}
                    | {"values": tuple(row["values"])}
                )
                for row in values["trials"]
            ]
            return dict(values["settings"]), trials
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not the table of a sweep", hint=_ANOTHER) from error
