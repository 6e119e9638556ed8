"""What a run folder holds; everything but its settings may be missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bertune.checkpoints.model_digests import model_digest, weights_file_digest
from bertune.checkpoints.receipt import SavedReceipt
from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.data.missing_path import near_path
from bertune.errors import CheckpointError, ConfigError, DataError
from bertune.evaluation.saved_calibration import SavedCalibration
from bertune.experiments.study_table import EndedStudy
from bertune.system.hinted_values import MisfitError, from_json
from bertune.system.json_file import MAX_OWN_BYTES, JsonObject, parse_json, read_json_object
from bertune.system.toml_file import read_toml
from bertune.training.out_of_fold import OUT_OF_FOLD, OutOfFoldRow
from bertune.training.run_directory import has_ended
from bertune.training.saved_run import (
    AnsweredRow,
    DoubtfulRow,
    JournalEntry,
    RunScores,
    SavedData,
    SavedSettings,
    journal_entry,
)

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Args:
        path: of the folder.
        settings: `run.toml`: all settings, and what the run was made with.
        journal: `metrics.jsonl`: the entries of which something is shown.
        data: `data.json`: the audit, and what was read.
        receipt: `receipt.json`.
        scores: `scores.json`: the best epoch and its scores.
        validation: `validation.jsonl`: the validation rows with the logits of the best epoch; of a cross-validated run
            `out_of_fold.jsonl`, all training rows, each with those of a model that did not learn from it.
        doubtful: `doubtful.jsonl`: the training rows that were believed least.
        calibration: `calibration.json`.
        signature: of the model; None before the first epoch ended.
        seeds: `seeds.json` of a study of seeds that has ended; None for a single run.
        journals: of a study: the journal of each seed by its folder's name; of a cross-validated run those of its folds
            and its own.
        ended: whether the run came to its end.
        of_the_model: whether scores, validation rows and calibration were those of the model that is there; if not,
            they are left out.
    """

    path: Path
    settings: SavedSettings
    journal: tuple[JournalEntry, ...]
    data: SavedData | None
    receipt: SavedReceipt | None
    scores: RunScores | None
    validation: tuple[AnsweredRow, ...]
    doubtful: tuple[DoubtfulRow, ...]
    calibration: SavedCalibration | None
    signature: ModelSignature | None
    seeds: EndedStudy | None = None
    journals: dict[str, tuple[JournalEntry, ...]] = field(default_factory=dict)
    ended: bool = True
    of_the_model: bool = True


def read_run(path: Path) -> RunFiles:
    """Reads a run folder.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged; names file and line.
    """
    signature = path / "model" / SIGNATURE_FILE
    scores = _scores_in(path)
    belongs = _is_of_the_model(scores, path)
    calibration = read_file(path / "calibration.json", SavedCalibration)
    is_current = belongs and calibration is not None and _is_of(calibration.model, model_digest, path)
    return RunFiles(
        path=path,
        settings=read_settings(path),
        journal=_journal(path),
        data=read_file(path / "data.json", SavedData),
        receipt=read_file(path / "receipt.json", SavedReceipt),
        scores=read_scores(path),
        validation=_answered(path, scores) if belongs else (),
        doubtful=_rows(path / "doubtful.jsonl", DoubtfulRow),
        calibration=calibration if is_current else None,
        signature=ModelSignature.read(path / "model") if signature.is_file() else None,
        ended=has_ended(path),
        of_the_model=belongs,
    )


def read_study(path: Path) -> RunFiles:
    """Reads a run folder, or that of a study of seeds: its data, receipt and doubtful rows are those of its best seed.

    What was answered, and the calibration, are the kept model's own, which may be the average of several seeds.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged; names file and line.
    """
    run = read_run(path)
    seeds = _ended_study(path / "seeds.json")
    if seeds is None:
        return replace(run, journals=_journals_of_folds(run))
    # The folder's own name only: nothing outside of the study is read.
    folders = {result.seed: path / Path(result.folder).name for result in seeds.results}
    if seeds.summary.best not in folders:
        raise DataError(f"{path / 'seeds.json'}: the best seed is not among the results")
    best = read_run(folders[seeds.summary.best])
    return replace(
        run,
        data=best.data,
        receipt=best.receipt,
        validation=run.validation or best.validation,
        doubtful=best.doubtful,
        calibration=run.calibration or best.calibration,
        seeds=seeds,
        journals={folder.name: _journal(folder) for folder in folders.values()},
    )


def read_settings(path: Path) -> SavedSettings:
    """Reads `run.toml`.

    Raises:
        ConfigError: there is none, so this is no run.
        DataError: it is not TOML, or not as a run writes it.
    """
    file = path / "run.toml"
    if not file.is_file():
        raise ConfigError(f"{path} is not the folder of a run: it has no run.toml", hint=_what_is_needed(path))
    with _named(file):
        return from_json(SavedSettings, read_toml(file))


def _what_is_needed(path: Path) -> str:
    """Says which folder has what a report is made of; that of a model alone has not."""
    if (path.parent / "run.toml").is_file():
        return f"name the run itself: bertune report {path.parent}"
    if (path / SIGNATURE_FILE).is_file():
        return "a model alone has no record of its training; bertune evaluate scores it"
    near = None if path.is_dir() else near_path(path)
    return near or "name the folder that bertune train --out made"


def read_scores(path: Path) -> RunScores | None:
    """Reads `scores.json` of a run, None where it has none of the weights that are there.

    `calibrated_since` is added where the model has got another temperature or other thresholds since.

    Raises:
        DataError: it is damaged.
    """
    scores = _scores_in(path)
    if scores is None or not _is_of_the_model(scores, path):
        return None
    return scores if _is_of(scores.model, model_digest, path) else replace(scores, calibrated_since=True)


def _scores_in(path: Path) -> RunScores | None:
    file = path / "scores.json"
    values = _object_in(file)
    if values is None:
        return None
    with _named(file):
        return RunScores.from_json(values)


def _is_of_the_model(scores: RunScores | None, path: Path) -> bool:
    """Whether scores are of the weights beside them: a run that is killed between the two leaves others."""
    return scores is None or _is_of(scores.weights, weights_file_digest, path)


def _is_of(kept: str | None, digest: Callable[[Path], str], path: Path) -> bool:
    """Whether a file of a run is of what is in its model folder.

    Args:
        kept: the digest in the file; None in those of older runs, which do not say whose they are.
        digest: of the model folder.
        path: of the run, which may be read without its model.
    """
    try:
        return kept is None or kept == digest(path / "model")
    except CheckpointError:
        return True


def read_file(path: Path, kind: type[Kind]) -> Kind | None:
    """Reads a JSON file of a run, None where it has none.

    Args:
        path: of the file.
        kind: what it holds.

    Raises:
        DataError: it is damaged.
    """
    values = _object_in(path)
    if values is None:
        return None
    with _named(path):
        return from_json(kind, values)


def _ended_study(path: Path) -> EndedStudy | None:
    """Reads `seeds.json`, None where there is none or the study has not ended."""
    values = _object_in(path)
    if values is None:
        return None
    with _named(path):
        return from_json(EndedStudy, values) if "summary" in values else None


def _object_in(path: Path) -> JsonObject | None:
    if not path.is_file():
        return None
    return read_json_object(path, max_bytes=MAX_OWN_BYTES, any_text=True, error=DataError)


def _answered(path: Path, scores: RunScores | None) -> tuple[AnsweredRow, ...]:
    if scores is None or scores.cross_validation is None:
        return _rows(path / "validation.jsonl", AnsweredRow)
    return _rows(path / OUT_OF_FOLD, OutOfFoldRow)


def _journals_of_folds(run: RunFiles) -> dict[str, tuple[JournalEntry, ...]]:
    folds = () if run.scores is None or run.scores.folds is None else run.scores.folds
    found = {f"fold-{fold.fold}": _journal(run.path / f"fold-{fold.fold}") for fold in folds}
    return found | {"all rows": run.journal} if found else {}


def _journal(path: Path) -> tuple[JournalEntry, ...]:
    entries = _lines(path / "metrics.jsonl", journal_entry)
    return tuple(entry for entry in entries if entry is not None)


def _rows(path: Path, kind: type[Kind]) -> tuple[Kind, ...]:
    return tuple(_lines(path, lambda line: from_json(kind, line)))


def _lines(path: Path, read: Callable[[JsonObject], Kind]) -> Iterator[Kind]:
    """Reads JSON lines; a run that was killed may have left the last one unfinished, without a line break."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = parse_json(line, any_text=True)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON: {error}") from None
            try:
                yield read(row)
            except MisfitError as error:
                raise _damaged(f"{path}:{number}", error) from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says of what a run cannot have written in which file it stands."""
    try:
        yield
    except MisfitError as error:
        raise _damaged(str(path), error) from error


def _damaged(where: str, error: MisfitError) -> DataError:
    return DataError(
        f"{where}: not as bertune writes it: {error}", hint="bring the file back from a copy, or train again"
    )
