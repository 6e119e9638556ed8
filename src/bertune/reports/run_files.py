"""What a run folder holds, as plain values; everything but its settings may be missing."""

import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertune.checkpoints.contract import CONTRACT_FILE, Contract
from bertune.encoder.config import read_json_object
from bertune.errors import ConfigError, DataError
from bertune.reports.file_shapes import check_shape

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


def read_run(path: Path) -> RunFiles:
    """Reads a run folder.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged; names file and line.
    """
    contract = path / "model" / CONTRACT_FILE
    return RunFiles(
        path=path,
        settings=read_settings(path),
        journal=_lines(path / "metrics.jsonl"),
        data=_object(path / "data.json"),
        receipt=_object(path / "receipt.json"),
        scores=_object(path / "scores.json"),
        validation=_lines(path / "validation.jsonl"),
        doubtful=_lines(path / "doubtful.jsonl"),
        calibration=_object(path / "calibration.json"),
        contract=Contract.read(path / "model") if contract.is_file() else None,
    )


def read_study(path: Path) -> RunFiles:
    """Reads a run folder, or that of a study of seeds: its data, receipt and doubtful rows are those of its best seed.

    What was answered, and the calibration, are the kept model's own, which may be the average of several seeds.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged; names file and line.
    """
    run = read_run(path)
    seeds = _object(path / "seeds.json")
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
        raise ConfigError(f"{path} is not the folder of a run: it has no run.toml", hint="name a folder of --out")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: {' '.join(str(error).split())}") from None


def read_scores(path: Path) -> dict[str, Any] | None:
    """Reads `scores.json` of a run, None where it has none.

    Raises:
        DataError: it is damaged.
    """
    return _object(path / "scores.json")


def _object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    values = read_json_object(path)
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
                row = json.loads(line.decode("utf-8"))
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON: {error}") from None
            check_shape(row, path, number)
            rows.append(row)
    return rows
