"""The folder of a run: its settings, its journal, what was read, and the model."""

import contextlib
import glob
import itertools
import json
import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from bertune.checkpoints.model_digests import model_digest, weights_file_digest
from bertune.checkpoints.transformers_classifier import is_of_transformers
from bertune.errors import BertuneError, ConfigError, DivergedError, ResourceError
from bertune.evaluation.saved_calibration import SavedCalibration
from bertune.system.atomic import (
    flush,
    is_leftover,
    place_aside,
    remove_leftovers,
    signals_held,
    stepped_aside,
    temporary_name,
    write_text,
)
from bertune.system.bounded_file import read_bounded
from bertune.system.folder_lock import is_alive, only_run_in, refuse_second_run
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.system.toml_file import read_toml, write_toml
from bertune.training.checkpoint_names import checkpoints_in, remove_checkpoints
from bertune.training.named_paths import Settings, started_in
from bertune.training.saved_run import RunScores

_SETTINGS, _JOURNAL, _MODEL = "run.toml", "metrics.jsonl", "model"
_MOST_PATH_BYTES: Final = 10_000
UNFINISHED: Final = "unfinished"
"""The file that is in a run folder from the run's start to its end."""
_LAUNCHED: Final = "torchrun "


class RunDirectory:
    """Where a run leaves everything.

    | file | what |
    |---|---|
    | `run.toml` | all settings, resolved; `bertune train --config run.toml --out NEW` repeats the run |
    | `metrics.jsonl` | every step (from 0) and epoch (from 1) |
    | `data.json` | what was read from where, the audit, and which rows were held back |
    | `receipt.json` | what became of every tensor of the checkpoint |
    | `scores.json` | scores of the best epoch on validation and test rows, and which one it is, from 1 |
    | `evaluations.json` | scores of `bertune evaluate` on other rows since |
    | `calibration.json` | how temperature and thresholds were found, and what they are worth on other rows |
    | `validation.jsonl` | the validation rows with their texts and the best epoch's logits |
    | `dynamics.npz` | of every training row in every epoch: the probability of its label, or the absolute error |
    | `doubtful.jsonl` | the training rows that were believed least, with their texts |
    | `metrics.json` | every number of the report |
    | `report.html` | the report |
    | `model/` | the model folder |
    | `adapter/` | the adapters with the head, for peft, where they were asked for |
    | `tensorboard/` | curves, where they were asked for |
    | `teacher.safetensors` | the logits of the teacher of a student for its training rows |
    | `resume-certificate.json` | that it was killed, resumed and came to the same, with `--certify-resume` |
    | `checkpoints/` | what an interrupted run is resumed from; gone when it has ended |
    | `unfinished` | the folder in which the command was given; there from the start of the run to its end |

    Args:
        path: of the folder; a link to it is followed, so that what stands aside for it is on the same disk.
    """

    def __init__(self, path: Path) -> None:
        # `.`, `..` and links have no name of their own beside which something could stand.
        self.path = path.resolve() if path.is_symlink() or path.name in ("", "..") else path

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.path / _MODEL

    @property
    def journal(self) -> Path:
        """The file with every step and epoch."""
        return self.path / _JOURNAL

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints from which an interrupted run goes on."""
        return self.path / "checkpoints"

    @property
    def started_in(self) -> Path:
        """The folder in which the command was given that `run.toml` is of; the current one where that is not told."""
        with contextlib.suppress(OSError, ValueError, BertuneError):
            told = Path(_start_and_launch(self.path)[0])
            if told.is_absolute() and told.is_dir():
                return told
        try:
            settings = read_toml(self.path / _SETTINGS)
        except BertuneError:
            return Path.cwd()
        given = (table.get("out") for table in settings.values() if isinstance(table, dict))
        return started_in(self.path, next((out for out in given if isinstance(out, str)), None))

    @property
    def adapter(self) -> Path:
        """The folder of the adapters, for peft."""
        return self.path / "adapter"

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
        if self._is_empty():
            return
        if not (self.path / _SETTINGS).is_file():
            raise ConfigError(f"{self.path} is not empty and not a run", hint="name a new folder with --out")
        if not overwrite:
            how = self.how_to_resume()
            hint = "name a new folder with --out, or add --overwrite"
            raise ConfigError(f"{self.path} already holds a run", hint=f"{how}; or {hint}" if how else hint)

    @contextmanager
    def started(
        self, *, overwrite: bool, resumes: bool = False, keeps: bool = False, launch: str = ""
    ) -> Iterator[None]:
        """Makes the folder; an earlier run steps aside, and comes back if this one does not end.

        No other run can write into the folder meanwhile. What runs that were killed left behind is put in order first.

        Args:
            overwrite: whether an earlier run may be replaced.
            resumes: whether what is in the folder stays, to be added to.
            keeps: whether checkpoints stay when the run has ended.
            launch: by which the run can be found again, see `begun_by`.

        Raises:
            ConfigError: see `check`.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with only_run_in(self.path):
            self._tidy_after_killed_runs(resumes=resumes)
            self._check_content(overwrite=overwrite or resumes)
            replaces = not resumes and not self._is_empty()
            if replaces:
                self._refuse_current_folder()
            try:
                if replaces:
                    self.path.rename(self._earlier)
                self.path.mkdir(exist_ok=True)
                flush(self.path.parent)
                goes_on = resumes and (self.path / UNFINISHED).exists()
                if launch or not goes_on:
                    start = self.started_in if goes_on else Path.cwd()
                    by = f"{_LAUNCHED}{launch}\n" if launch else ""
                    write_text(self.path / UNFINISHED, f"{start}\n{by}", follow=False)
                yield
            except BaseException as error:
                if self._earlier.is_dir():
                    self._put_back(self._earlier, error)
                elif self.has_results():
                    error.add_note(self._what_is_left(error))
                raise
            (self.path / UNFINISHED).unlink(missing_ok=True)
            if self.path.is_dir():
                flush(self.path)  # before that goes from which it would be resumed
            self.forget_earlier_run()
            if not keeps:
                remove_checkpoints(self.checkpoints)

    def refuse_gone(self) -> None:
        """Refuses to go on in a folder that is no longer the run's: what is written there would be no run.

        Raises:
            ResourceError: it was deleted or renamed since the run began.
        """
        if not (self.path / UNFINISHED).exists():
            raise ResourceError(
                f"{self.path} was deleted or renamed while the run was writing into it",
                hint="leave the folder of a run in its place until it ends; begin the run again",
            )

    def has_results(self) -> bool:
        """Whether a run that did not end has left anything of use."""
        return self.model.is_dir() or bool(checkpoints_in(self.checkpoints))

    def _what_is_left(self, error: BaseException | None = None) -> str:
        """Says what a run that did not end has left, and how to resume it; see `how_to_resume`."""
        parts = [how] if (how := self.how_to_resume(error)) else []
        if self.model.is_dir():
            report = f"`bertune report {self.path}` makes its report"
            parts.append(f"the best epoch so far is in {self.model}, {report}, --overwrite starts from scratch")
        return "; ".join(parts)

    def _is_empty(self) -> bool:
        """Whether nothing is in the folder, or only what a process that was killed at its start has left."""
        if not self.path.is_dir():
            return True
        names = {entry.name for entry in self.path.iterdir() if not is_leftover(entry.name)}
        return not names or (UNFINISHED in names and names <= {UNFINISHED, _SETTINGS})

    def _refuse_current_folder(self) -> None:
        if Path.cwd() == self.path.resolve():
            raise ConfigError(
                f"{self.path} is the current folder, which cannot be replaced", hint="run the command from outside it"
            )

    def _put_back(self, earlier: Path, error: BaseException | None = None) -> None:
        """Gives an earlier run its place again; what a run has done that did not end is kept beside it.

        Renamed first and deleted after, signals held meanwhile: a second interrupt cannot leave the place empty.
        """
        unfinished = self._place_of_unfinished() if self.has_results() else None
        aside = unfinished or temporary_name(self.path)
        with signals_held():
            if self.path.exists():
                self.path.rename(aside)
            earlier.rename(self.path)
            flush(self.path.parent)
        if unfinished is None:
            shutil.rmtree(aside, ignore_errors=True)
        elif error is not None:
            error.add_note(f"the earlier run is back in {self.path}; this one, which did not end, is in {unfinished}")
            if how := type(self)(unfinished).how_to_resume(error):
                error.add_note(how)

    def _place_of_unfinished(self) -> Path:
        """Makes room beside the folder; what lies there and is no run that did not end is somebody's, and stays."""
        place = first = self.path.with_name(f"{self.path.name}.{UNFINISHED}")
        if (first / UNFINISHED).is_file():
            shutil.rmtree(first)
        numbers = itertools.count(2)
        while os.path.lexists(place):
            place = first.with_name(f"{first.name}-{next(numbers)}")
        return place

    def how_to_resume(self, error: BaseException | None = None) -> str | None:
        """Says which command resumes a run that did not end; None where none does.

        Args:
            error: what ended it: one that diverged would do so again.
        """
        found = [] if has_ended(self.path) else checkpoints_in(self.checkpoints)
        if not found:
            return None
        if isinstance(error, DivergedError):
            return f"its last checkpoint is {found[0]}"
        return f"resume it: bertune train --resume {shlex.quote(str(self.path))}"

    def _tidy_after_killed_runs(self, *, resumes: bool) -> None:
        """Removes half-written files, and does with runs that stepped aside what the killed run would have done.

        Args:
            resumes: whether the killed run goes on: what stepped aside for it stays there until it ends.
        """
        remove_leftovers(self.path.parent, of=self.path.name)
        for folder in (self.path, self.checkpoints):
            if folder.is_dir():
                remove_leftovers(folder)
        for earlier in sorted(stepped_aside(self.path), key=lambda entry: not (entry / _MODEL).is_dir()):
            process = earlier.name.rpartition("-")[2]
            # This process has set nothing aside yet: its own number is that of one before it.
            if not process.isdecimal() or (int(process) != os.getpid() and is_alive(int(process))):
                continue
            if self.model.is_dir() and (has_ended(self.path) or not has_ended(earlier)):
                self._discard(earlier)
            elif resumes:
                if not self._earlier.exists():
                    earlier.rename(self._earlier)
            elif self._is_empty() or (self.path / _SETTINGS).is_file():
                self._put_back(earlier)

    def forget_earlier_run(self, *, ended: bool = True) -> None:
        """Deletes the run that this one replaces.

        Args:
            ended: also one that had ended, which a single run keeps until it has ended as well.
        """
        if self._earlier.is_dir() and (ended or not has_ended(self._earlier)):
            self._discard(self._earlier)

    def _discard(self, earlier: Path) -> None:
        """Deletes a run that stepped aside; half deleted it is not one that could come back."""
        doomed = temporary_name(self.path)
        earlier.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    @property
    def _earlier(self) -> Path:
        return place_aside(self.path)

    def write_settings(self, settings: Settings) -> None:
        """Writes `run.toml`, with the versions and the number of threads that decide its last bits.

        Raises:
            ConfigError: a setting is larger than such a file holds.
        """
        document: dict[str, Settings] = {
            "train": settings,
            "made_with": {**versions(), "threads": torch.get_num_threads()},
        }
        write_toml(self.path / _SETTINGS, document)

    def write_scores(self, scores: RunScores) -> None:
        """Writes `scores.json`, with the digests of the model that is there, which they are of."""
        of = replace(scores, model=model_digest(self.model), weights=weights_file_digest(self.model))
        self.write_json("scores.json", of.to_json())

    def write_calibration(self, calibration: SavedCalibration) -> None:
        """Writes `calibration.json`, with the digest of the model that is there, which it is of."""
        # A classifier that transformers wrote has no digests.
        digest = None if is_of_transformers(self.model) else model_digest(self.model)
        self.write_json("calibration.json", to_json(replace(calibration, model=digest)))

    def write_json(self, name: str, values: JsonObject) -> None:
        """Writes one of the JSON files of the run; a link of that name is replaced, not followed."""
        write_text(
            self.path / name, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", follow=False
        )


def begun_by(launch: str, out: Path) -> Path | None:
    """Finds the run that an earlier start of the same launch has begun, or resumed, and not ended.

    Args:
        launch: as `RunDirectory.started` was told.
        out: the folder that it was to be in; one that was to replace another run may be beside it.
    """
    path = RunDirectory(out).path
    for place in (path, *sorted(path.parent.glob(f"{glob.escape(path.name)}.{UNFINISHED}*"))):
        with contextlib.suppress(OSError, ValueError, BertuneError):
            if _start_and_launch(place)[1] == launch:
                return place
    return None


def _start_and_launch(run: Path) -> tuple[str, str]:
    """Reads where a run was started, and by which launch of several processes; the latter is mostly empty."""
    text = read_bounded(run / UNFINISHED, _MOST_PATH_BYTES).decode().rstrip("\n")
    start, marks, launch = text.rpartition(f"\n{_LAUNCHED}")
    return (start, launch) if marks else (text, "")


def has_ended(run: Path) -> bool:
    """Whether the run in a folder came to its end; one that was interrupted or killed did not."""
    return not (run / UNFINISHED).exists()


def versions() -> dict[str, str]:
    """Returns the versions that decide a run's numbers."""
    packages = {name: metadata.version(name) for name in ("bertune", "torch", "tokenizers", "safetensors", "numpy")}
    return {"python": platform.python_version(), **packages}
