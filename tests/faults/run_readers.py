"""Readers of what a run leaves: by `report`, `inspect`, `compare` and `train --resume`."""

import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tests.faults.mutations import of_bytes, of_json, of_json_lines, of_text
from tests.faults.readers import Reader
from tests.resumed_runs import CrashAt, crashed, prepared, write_world

from bertune.errors import DataError
from bertune.experiments.fold_directory import FoldDirectory, write_logits
from bertune.experiments.fold_table import FoldResult, FoldTable
from bertune.experiments.resume_certificate import read_certificate
from bertune.experiments.study_directory import StudyDirectory
from bertune.reports.compared_runs import ComparedRun, compare_runs, read_compared_run
from bertune.reports.run_files import read_scores
from bertune.reports.run_report import write_report
from bertune.system.committed_folder import MANIFEST, CommittedFile, _manifest_text
from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.interrupted_run import find_interrupted
from bertune.training.run import execute
from bertune.training.run_directory import RunDirectory
from bertune.training.run_state import read_state
from bertune.training.teacher_answers import ANSWERS_FILE, _kept

BYTES_AND_TEXT = (of_bytes, of_text)
OF_JSON = (*BYTES_AND_TEXT, of_json, of_json)
OF_LINES = (*BYTES_AND_TEXT, of_json_lines, of_json_lines)
OF_A_RUN = {
    "run.toml": BYTES_AND_TEXT,
    "data.json": OF_JSON,
    "receipt.json": OF_JSON,
    "scores.json": OF_JSON,
    "calibration.json": OF_JSON,
    "metrics.jsonl": OF_LINES,
    "validation.jsonl": OF_LINES,
    "doubtful.jsonl": OF_LINES,
}


@cache
def _world() -> Path:
    return write_world(Path(tempfile.mkdtemp(prefix="bertune-faults-")))


@cache
def a_run() -> Path:
    """Makes a small run, once."""
    out = _world() / "runs" / "whole"
    execute(prepared(_world(), out))
    return out


@cache
def an_interrupted_run() -> Path:
    """Makes a small run that did not end, once."""
    return crashed(prepared(_world(), _world() / "runs" / "cut", save_every=2), CrashAt(9))


def _copy_run(folder: Path) -> None:
    shutil.copytree(a_run(), folder, dirs_exist_ok=True)


def _copy_interrupted(folder: Path) -> None:
    shutil.copytree(an_interrupted_run(), folder, dirs_exist_ok=True)
    # One name whatever the step, and no second one that would serve instead.
    newest, *older = checkpoints_in(folder / "checkpoints")
    for each in older:
        shutil.rmtree(each)
    if newest.name != NEWEST:
        newest.rename(newest.with_name(NEWEST))


NEWEST = "step-000000008"


@cache
def _other_run() -> ComparedRun:
    return read_compared_run(a_run())


def _compare(folder: Path) -> None:
    compare_runs([_other_run(), read_compared_run(folder)])


def _inspect(folder: Path) -> None:
    """Reads what `inspect` reads of a run beside its model."""
    read_scores(folder)
    read_certificate(folder)
    StudyDirectory(folder).earlier()
    RunDirectory(folder).how_to_resume()


def _find_interrupted(folder: Path) -> None:
    find_interrupted(folder, lambda _: None)


def _read_state(folder: Path) -> None:
    read_state(folder / "checkpoints" / NEWEST)


def _mend_manifest(folder: Path) -> None:
    place = folder / "checkpoints" / NEWEST
    entries = {}
    for path in place.iterdir():
        if path.name != MANIFEST:
            content = path.read_bytes()
            entries[path.name] = CommittedFile(len(content), hashlib.sha256(content).hexdigest())
    (place / MANIFEST).write_bytes(_manifest_text(entries))


_FOLD = FoldResult(1, "fold-1", 6, 12, (4, 8), 8, 8, 1.5)


def _make_folds(folder: Path) -> None:
    (folder / "fold-1").mkdir()
    for step in _FOLD.evaluated:
        write_logits(folder / "fold-1", step, np.arange(12, dtype=np.float32).reshape(6, 2))
    (folder / "run.toml").write_text('made_with = {}\n[train]\ndata = "train.csv"\n')
    FoldDirectory(folder).write_table(FoldTable((_FOLD,), {"epochs": 2}, "0" * 64))


def _read_folds(folder: Path) -> None:
    directory = FoldDirectory(folder)
    earlier = directory.earlier()
    for result in () if earlier is None else earlier.results:
        for step in result.evaluated:
            directory.logits(result, step)


def _make_answers(folder: Path) -> None:
    save_file({"logits": np.ones((5, 2), np.float32)}, folder / ANSWERS_FILE, metadata={"answers": "of these"})


def _read_answers(folder: Path) -> None:
    """Takes the answers, or nothing where they are damaged: the teacher answers again."""
    found = _kept(folder / ANSWERS_FILE, "of these", (5, 2))
    if found is None:
        raise DataError(f"{folder / ANSWERS_FILE}: answers again")
    assert found.shape == (5, 2)


_OF_STATE = {
    f"checkpoints/{NEWEST}/{name}": mutations
    for name, mutations in {
        "state.json": OF_JSON,
        "weights.safetensors": (of_bytes,),
        "optimizer.safetensors": (of_bytes,),
        "history.safetensors": (of_bytes,),
    }.items()
}
_STATE_FILES = (f"checkpoints/{NEWEST}/{MANIFEST}",)
_OF_FOLDS = {"folds.json": OF_JSON, "fold-1/evaluations/8.safetensors": BYTES_AND_TEXT}
READERS = {
    "files of a run": [
        Reader("run, by report", _copy_run, OF_A_RUN, write_report),
        Reader("run, by inspect", _copy_run, OF_A_RUN, _inspect),
        Reader("run, by compare", _copy_run, OF_A_RUN, _compare),
    ],
    "files of a cross-validation": [
        Reader(
            "folds",
            _make_folds,
            {"folds.json": OF_JSON, "fold-1/evaluations/8.safetensors": BYTES_AND_TEXT},
            _read_folds,
        ),
    ],
    "answers of a teacher": [Reader("teacher", _make_answers, {ANSWERS_FILE: BYTES_AND_TEXT}, _read_answers)],
    "files of an interrupted run": [
        Reader(
            "run, by resume",
            _copy_interrupted,
            {
                "run.toml": BYTES_AND_TEXT,
                "metrics.jsonl": OF_LINES,
                **_OF_STATE,
                f"checkpoints/{NEWEST}/{MANIFEST}": OF_JSON,
            },
            _find_interrupted,
        ),
        Reader(
            "checkpoint, digests mended",
            _copy_interrupted,
            _OF_STATE,
            _read_state,
            mend=_mend_manifest,
            mended=_STATE_FILES,
        ),
    ],
}
