"""The folder of a cross-validated run: a folder for each fold, and the model that was trained on all rows."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bertune.errors import DataError
from bertune.experiments.fold_table import FoldResult, FoldTable
from bertune.experiments.interrupted import ANOTHER, Interrupted
from bertune.system.atomic import replaced_file, replaced_folder
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.training.run_directory import RunDirectory

TABLE: Final = "folds.json"
EVALUATIONS: Final = "evaluations"
_LOGITS: Final = "logits"
_ON_ALL_ROWS: Final = "all-rows"
_OF_THE_LAST: Final = ("metrics.jsonl", "data.json", "receipt.json", "dynamics.npz", "tensorboard")


@dataclass(frozen=True)
class EarlierFolds(Interrupted):
    """What a folder holds of a cross-validation.

    Args:
        results: of the folds that are done.
    """

    what = "cross-validation"

    results: tuple[FoldResult, ...] = ()


class FoldDirectory(RunDirectory):
    """Where a cross-validated run leaves everything; what is not said here is as in `RunDirectory`.

    | file | what |
    |---|---|
    | `folds.json` | each fold's rows and steps as soon as it is done |
    | `fold-N/` | journal of the model without fold N, and its answers to fold N after each evaluation |
    | `out_of_fold.jsonl` | every training row with its out-of-fold answer |
    | `all-rows/` | the last training while it goes on |
    | `scores.json` | the cross-validated score, over all rows and by fold |
    | `doubtful.jsonl` | the training rows whose labels agree least with their out-of-fold answers |
    """

    def earlier(self) -> EarlierFolds | None:
        """Returns the cross-validation that the folder holds, None where it holds none.

        Raises:
            DataError: `folds.json` is damaged.
        """
        path = self.path / TABLE
        if not path.is_file():
            return None
        try:
            table = from_json(FoldTable, read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError))
        except (DataError, MisfitError) as error:
            raise DataError(f"{path}: not the table of a cross-validation", hint=ANOTHER) from error
        return EarlierFolds(table.settings, table.data, self.started_in, tuple(filter(self._is_whole, table.results)))

    def has_results(self) -> bool:
        """Whether any fold is done."""
        return bool(self._done())

    def _what_is_left(self, error: BaseException | None = None) -> str:
        del error
        return f"the same command, without --overwrite, resumes; {self._folds_done()}"

    def how_to_resume(self, error: BaseException | None = None) -> str:
        """See `RunDirectory`."""
        del error
        return f"the same command, with --out {self.path} and without --overwrite, resumes; {self._folds_done()}"

    def _folds_done(self) -> str:
        return f"folds that are done: {', '.join(str(result.fold) for result in self._done())}"

    def _done(self) -> tuple[FoldResult, ...]:
        try:
            earlier = self.earlier()
        except DataError:
            return ()
        return () if earlier is None else earlier.results

    def _is_whole(self, result: FoldResult) -> bool:
        return all(self._place(result, step).is_file() for step in result.evaluated)

    def _place(self, result: FoldResult, step: int) -> Path:
        return self.path / Path(result.folder).name / EVALUATIONS / f"{step}.safetensors"

    def fold(self, number: int) -> Path:
        """The folder of a fold."""
        return self.path / f"fold-{number}"

    @property
    def on_all_rows(self) -> Path:
        """The folder in which the last training goes on."""
        return self.path / _ON_ALL_ROWS

    def logits(self, result: FoldResult, step: int) -> NDArray[np.float32]:
        """Reads what a fold's rows were answered after so many steps.

        Raises:
            DataError: the file is damaged.
        """
        path = self._place(result, step)
        try:
            with safe_open(path, framework="numpy") as file:
                found: NDArray[np.float32] = file.get_tensor(_LOGITS)
        except (SafetensorError, OSError, ValueError) as error:
            raise DataError(
                f"{path}: cannot be read: {error}", hint=f"delete {path.parent.parent} and resume"
            ) from error
        if found.ndim != 2 or len(found) != result.rows or found.dtype != np.float32:
            raise DataError(f"{path}: not the answers to {result.rows:,} rows", hint=ANOTHER)
        return found

    def write_table(self, table: FoldTable) -> None:
        """Writes `folds.json`, the results in the order of the folds."""
        ordered = tuple(sorted(table.results, key=lambda result: result.fold))
        self.write_json(TABLE, to_json(replace(table, results=ordered)))

    def keep_of_last_training(self) -> None:
        """Makes journal, receipt and account of the data of the training on all rows those of the run."""
        for name in _OF_THE_LAST:
            place, source = self.path / name, self.on_all_rows / name
            if source.is_dir():
                with replaced_folder(place) as temporary:
                    shutil.copytree(source, temporary, dirs_exist_ok=True)
            elif source.is_file():
                with replaced_file(place, follow=False) as temporary:
                    shutil.copyfile(source, temporary)

    def forget_last_training(self) -> None:
        """Deletes the folder in which it went on."""
        shutil.rmtree(self.on_all_rows, ignore_errors=True)


def tidy_fold(folder: Path) -> None:
    """Leaves of a fold that is done its journal and its answers: its model is no one's, and would be large."""
    for entry in folder.iterdir():
        if entry.name in ("metrics.jsonl", EVALUATIONS):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def write_logits(folder: Path, step: int, logits: NDArray[np.float32]) -> None:
    """Writes what a fold's rows were answered after so many steps, whole or not at all."""
    place = folder / EVALUATIONS
    place.mkdir(exist_ok=True)
    with replaced_file(place / f"{step}.safetensors", follow=False) as temporary:
        save_file({_LOGITS: np.ascontiguousarray(logits)}, temporary)
