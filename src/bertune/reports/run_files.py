"""What a run folder holds, as plain values; everything but its settings may be missing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertune.checkpoints.contract import CONTRACT_FILE, Contract
from bertune.checkpoints.model_digests import model_digest, weights_file_digest
from bertune.errors import CheckpointError, ConfigError, DataError
from bertune.json_file import MAX_OWN_BYTES, parse_json, read_json_object
from bertune.reports.file_shapes import check_shape
from bertune.text.missing_path import near_path
from bertune.toml_file import read_toml
from bertune.training.run_directory import has_ended

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RunFiles:
    """The files of one run.

    Args:
        path: of the folder.
        settings: `run.toml`: all settings, and what the run was made with.
        journal: `metrics.jsonl`, one entry a line.
        data: `data.json`: the audit, and what was read.
        receipt: `receipt.json`.
        scores: `scores.json`: the best epoch and its scores.
        validation: `validation.jsonl`: the validation rows with the logits of the best epoch.
        doubtful: `doubtful.jsonl`: the training rows that were believed least.
        calibration: `calibration.json`.
        contract: of the model; None before the first epoch ended.
        seeds: `seeds.json` of a study of seeds; None for a single run.
        journals: of a study: the journal of each seed by its folder's name.
        ended: whether the run came to its end.
        of_the_model: whether scores, validation rows and calibration were those of the model that is there; if not,
            they are left out.
    """

    path: Path
    settings: dict[str, Any]
    journal: Rows
    data: dict[str, Any] | None
    receipt: dict[str, Any] | None
    scores: dict[str, Any] | None
    validation: Rows
    doubtful: Rows
    calibration: dict[str, Any] | None
    contract: Contract | None
    seeds: dict[str, Any] | None = None
    journals: dict[str, Rows] = field(default_factory=dict)
    ended: bool = True
    of_the_model: bool = True


def read_run(path: Path) -> RunFiles:
    """Reads a run folder.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged; names file and line.
    """
    contract = path / "model" / CONTRACT_FILE
    scores = read_object(path / "scores.json")
    belongs = _is_of_the_model(scores, path)
    calibration = read_object(path / "calibration.json")
    return RunFiles(
        path=path,
        settings=read_settings(path),
        journal=_lines(path / "metrics.jsonl"),
        data=read_object(path / "data.json"),
        receipt=read_object(path / "receipt.json"),
        scores=read_scores(path),
        validation=_lines(path / "validation.jsonl") if belongs else [],
        doubtful=_lines(path / "doubtful.jsonl"),
        calibration=calibration if belongs and _has_digest(calibration, model_digest, path) else None,
        contract=Contract.read(path / "model") if contract.is_file() else None,
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
    seeds = read_object(path / "seeds.json")
    if seeds is None or "summary" not in seeds:
        return run
    # The folder's own name only: nothing outside of the study is read.
    folders = {result["seed"]: path / Path(result["folder"]).name for result in seeds["results"]}
    if seeds["summary"]["best"] not in folders:
        raise DataError(f"{path / 'seeds.json'}: the best seed is not among the results")
    best = read_run(folders[seeds["summary"]["best"]])
    return replace(
        run,
        data=best.data,
        receipt=best.receipt,
        validation=run.validation or best.validation,
        doubtful=best.doubtful,
        calibration=run.calibration or best.calibration,
        seeds=seeds,
        journals={folder.name: _lines(folder / "metrics.jsonl") for folder in folders.values()},
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Reads `run.toml`.

    Raises:
        ConfigError: there is none, so this is no run.
        DataError: it is not TOML.
    """
    file = path / "run.toml"
    if not file.is_file():
        raise ConfigError(f"{path} is not the folder of a run: it has no run.toml", hint=_what_is_needed(path))
    return read_toml(file)


def _what_is_needed(path: Path) -> str:
    """Says which folder has what a report is made of; that of a model alone has not."""
    if (path.parent / "run.toml").is_file():
        return f"name the run itself: bertune report {path.parent}"
    if (path / CONTRACT_FILE).is_file():
        return "a model alone has no record of its training; bertune evaluate scores it"
    near = None if path.is_dir() else near_path(path)
    return near or "name the folder that bertune train --out made"


def read_scores(path: Path) -> dict[str, Any] | None:
    """Reads `scores.json` of a run, None where it has none of the weights that are there.

    `calibrated_since` is added where the model has got another temperature or other thresholds since.

    Raises:
        DataError: it is damaged.
    """
    scores = read_object(path / "scores.json")
    if scores is None or not _is_of_the_model(scores, path):
        return None
    return scores if _has_digest(scores, model_digest, path) else scores | {"calibrated_since": True}


def _is_of_the_model(scores: dict[str, Any] | None, path: Path) -> bool:
    """Whether scores are of the weights beside them: a run that is killed between the two leaves others."""
    return _has_digest(scores, weights_file_digest, path, "weights")


def _has_digest(values: dict[str, Any] | None, digest: Callable[[Path], str], path: Path, name: str = "model") -> bool:
    """Whether a file of a run is of what is in its model folder.

    Files of older runs do not say whose they are, and a run folder may be read without its model.
    """
    try:
        return values is None or name not in values or values[name] == digest(path / "model")
    except CheckpointError:
        return True


def read_object(path: Path) -> dict[str, Any] | None:
    """Reads a JSON file of a run, None where it has none.

    Raises:
        DataError: it is damaged.
    """
    if not path.is_file():
        return None
    values = read_json_object(path, max_bytes=MAX_OWN_BYTES, any_text=True, error=DataError)
    check_shape(values, path)
    return values


def _lines(path: Path) -> Rows:
    """Reads JSON lines; a run that was killed may have left the last one unfinished, without a line break."""
    if not path.is_file():
        return []
    rows: Rows = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = parse_json(line, any_text=True)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON: {error}") from None
            check_shape(row, path, number)
            rows.append(row)
    return rows
