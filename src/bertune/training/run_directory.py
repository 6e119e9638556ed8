"""The folder of a run: its settings, its journal, what was read, and the model."""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import tomli_w
import torch

from bertune.atomic import remove_leftovers, write_text
from bertune.errors import ConfigError
from bertune.folder_lock import is_alive, only_run_in, refuse_second_run

_SETTINGS, _JOURNAL, _MODEL = "run.toml", "metrics.jsonl", "model"


class RunDirectory:
    """Where a run leaves everything.

    | file | what |
    |---|---|
    | `run.toml` | all settings, resolved; `bertune train --config run.toml --out NEW` repeats the run |
    | `metrics.jsonl` | every step (from 0) and epoch (from 1) |
    | `data.json` | what was read from where, and the audit |
    | `receipt.json` | what became of every tensor of the checkpoint |
    | `scores.json` | scores of the best epoch, and which one it is, from 1 |
    | `calibration.json` | how temperature and thresholds were found, and what they are worth on other rows |
    | `validation.jsonl` | the validation rows with their texts and the best epoch's logits |
    | `dynamics.npz` | of every training row in every epoch: the probability of its label, or the absolute error |
    | `doubtful.jsonl` | the training rows that were believed least, with their texts |
    | `metrics.json` | every number of the report |
    | `report.html` | the report |
    | `model/` | the model folder |
    | `tensorboard/` | curves, where they were asked for |

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.path / _MODEL

    @property
    def journal(self) -> Path:
        """The file with every step and epoch."""
        return self.path / _JOURNAL

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event file."""
        return self.path / "tensorboard"

    def check(self, *, overwrite: bool) -> None:
        """Refuses a folder that cannot become this run's.

        Raises:
            ConfigError: another run is writing into it; or it holds an earlier run and `overwrite` is not set, or
                something that is not a run.
        """
        refuse_second_run(self.path)
        self._check_content(overwrite=overwrite)

    def _check_content(self, *, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file", hint="name a folder with --out")
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not (self.path / _SETTINGS).is_file():
            raise ConfigError(f"{self.path} is not empty and not a run", hint="name a new folder with --out")
        if not overwrite:
            raise ConfigError(
                f"{self.path} already holds a run", hint="name a new folder with --out, or add --overwrite"
            )

    @contextmanager
    def started(self, *, overwrite: bool, goes_on: bool = False) -> Iterator[None]:
        """Makes the folder; an earlier run steps aside, and comes back if this one fails before its first epoch ends.

        No other run can write into the folder meanwhile. What runs that were killed left behind is put in order first.

        Args:
            overwrite: whether an earlier run may be replaced.
            goes_on: whether what is in the folder stays, to be added to.

        Raises:
            ConfigError: see `check`.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with only_run_in(self.path):
            self._tidy_after_killed_runs()
            self._check_content(overwrite=overwrite or goes_on)
            if not goes_on and self.path.is_dir() and any(self.path.iterdir()):
                self.path.rename(self._earlier)
            self.path.mkdir(exist_ok=True)
            try:
                yield
            except BaseException:
                if self._earlier.is_dir():
                    shutil.rmtree(self.path)
                    self._earlier.rename(self.path)
                raise

    def _tidy_after_killed_runs(self) -> None:
        """Removes half-written files, and does with runs that stepped aside what the killed run would have done."""
        remove_leftovers(self.path.parent, of=self.path.name)
        if self.path.is_dir():
            remove_leftovers(self.path)
        prefix = f".earlier-{self.path.name}-"
        stepped_aside = [entry for entry in self.path.parent.iterdir() if entry.name.startswith(prefix)]
        for earlier in sorted(stepped_aside, key=lambda entry: not (entry / _MODEL).is_dir()):
            process = earlier.name.removeprefix(prefix)
            # This process has set nothing aside yet: its own number is that of one before it.
            if not process.isdecimal() or (int(process) != os.getpid() and is_alive(int(process))):
                continue
            if self.model.is_dir():
                shutil.rmtree(earlier)
            elif not self.path.exists() or (self.path / _SETTINGS).is_file() or not any(self.path.iterdir()):
                shutil.rmtree(self.path, ignore_errors=True)
                earlier.rename(self.path)

    def forget_earlier_run(self) -> None:
        """Deletes the run that this one replaces; called when this one has a model."""
        shutil.rmtree(self._earlier, ignore_errors=True)

    @property
    def _earlier(self) -> Path:
        return self.path.with_name(f".earlier-{self.path.name}-{os.getpid()}")

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Writes `run.toml`, with the versions and the number of threads that decide its last bits."""
        document = {"train": settings, "made_with": versions() | {"threads": torch.get_num_threads()}}
        write_text(self.path / _SETTINGS, tomli_w.dumps(document))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Writes one of the JSON files of the run."""
        write_text(self.path / name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def versions() -> dict[str, str]:
    """Returns the versions that decide a run's numbers."""
    packages = {name: metadata.version(name) for name in ("bertune", "torch", "tokenizers", "safetensors", "numpy")}
    return {"python": platform.python_version(), **packages}
