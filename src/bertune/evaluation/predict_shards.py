"""Predictions of any number of rows into a folder of Parquet files, by one process or many; imports no torch."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertune.checkpoints.model_digests import model_digest
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.transformers_classifier import is_of_transformers
from bertune.data.row_blocks import kept_types
from bertune.data.row_source import RowSource, stamp_of
from bertune.errors import ConfigError, DataError
from bertune.evaluation.prediction_job import PredictionJob, is_as_written
from bertune.evaluation.prediction_manifest import (
    MANIFEST_NAME,
    PredictedFile,
    PredictionManifest,
    PredictionRecipe,
    PredictionShard,
    check_same_recipe,
    holds_other_manifest,
    read_prediction_manifest,
)
from bertune.evaluation.prediction_rows import check_top_k
from bertune.shards.shard_file import sha256_of
from bertune.shards.shared_manifest import publish
from bertune.shards.shared_parts import SharedReading, digest_of, only_process_in
from bertune.shards.survey import ROWS_PER_CHUNK, RowsDigest
from bertune.system.shard_number import ShardNumber
from bertune.system.shard_work import ShardEngine

if TYPE_CHECKING:
    from bertune.nn.device import DeviceName
    from bertune.nn.precision import Precision


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """What is written, and how it is computed.

    Args:
        shards: files.
        key: columns of the source that stand for the row; empty for its number.
        top_k: how many labels are given, the most probable first; None gives the probability of each.
        precision: in which the layers compute.
        device: where.
    """

    shards: int
    key: tuple[str, ...] = ()
    top_k: int | None = None
    precision: "Precision" = "fp32"
    device: "DeviceName" = "auto"


@dataclass(frozen=True, kw_only=True)
class WhoPredicts:
    """Who makes the files, and who is told.

    Args:
        shard: which process this is; None makes all files.
        engine: has other processes make them; None makes them here.
        on_plan: told once what is to be made, and how many rows of it are not finished.
        on_rows: told how many more rows are predicted.
    """

    shard: ShardNumber | None = None
    engine: ShardEngine | None = None
    on_plan: Callable[[PredictionManifest, int], None] = lambda _plan, _rows: None
    on_rows: Callable[[int], None] = lambda _: None


def predict_shards(
    run: Path, signature: ModelSignature, source: RowSource, out: Path, settings: PredictionSettings, who: WhoPredicts
) -> PredictionManifest:
    """Predicts rows into a folder of Parquet files; memory does not grow with the rows.

    Files that are finished and as they were written are kept. Every row is predicted with the same neighbours however
    many files there are, so that its numbers are the same to the last bit, on machines of one kind.

    Args:
        run: folder of the run or model.
        signature: of the model.
        source: the rows.
        out: a new folder, or one of an earlier run of the same.
        settings: what is written.
        who: makes the files.

    Returns:
        What the folder holds; `kept` names the files that were finished before, of this process's own.

    Raises:
        ConfigError: a setting that cannot work, or a folder with something else in it.
        DataError: rows that cannot be used.
        ResourceError: the disk is full.
    """
    if who.shard is not None:
        who.shard.check(settings.shards)
    if settings.shards < 1:
        raise ConfigError(f"--shards must be at least 1, not {settings.shards}")
    check_top_k(settings.top_k, signature.labels)
    kept = tuple(kept_types(source, settings.key)) if settings.key else ()
    _prepare_folder(out)
    with only_process_in(out, who.shard, is_shared=who.shard is not None or who.engine is not None):
        stamps = tuple(stamp_of(file) for file in source.files())
        about = digest_of([repr(part) for part in (source.split.name, source.split.header, source.columns)])
        about = digest_of([about, repr(source.reading), source.task.name])
        files = _count(source, SharedReading(out, PredictedFile, about), who)
        if not sum(file.rows for file in files):
            raise DataError(f"{source}: no row to predict")
        recipe = PredictionRecipe(
            shard_count=settings.shards,
            model=digest_of_model(run),
            rows=digest_of([about, *([file.rows, file.digest] for file in files)]),
            key=settings.key,
            top_k=settings.top_k,
            precision=settings.precision,
        )
        plan = PredictionManifest(recipe, str(source), tuple(files), signature.labels)
        numbers = range(settings.shards) if who.shard is None else who.shard.share_of(settings.shards)
        plan = _keep_finished(out, plan, numbers)
        missing = [number for number in numbers if plan.shard_name(number) not in plan.kept]
        who.on_plan(plan, sum(len(plan.shard_rows(number)) for number in missing))
        if not missing:
            return plan
        job = PredictionJob(out, run, source, stamps, plan, kept, settings.precision, settings.device)
        _make(job, missing, who)
        return replace(publish(plan, out), kept=plan.kept)


def _make(job: PredictionJob, numbers: Sequence[int], who: WhoPredicts) -> None:
    if who.engine is None:
        predictor = job.predictor()
        for number in numbers:
            predictor.make(number, who.on_rows)
        return

    def on_done(_: int, shard: PredictionShard) -> None:
        who.on_rows(shard.rows)

    who.engine.run(job, numbers, on_done)


def _prepare_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, expected a folder to write into")
    if holds_other_manifest(folder):
        raise ConfigError(f"{folder} holds something else, of another {MANIFEST_NAME}", hint="write into a new folder")
    if folder.is_dir() and not (folder / MANIFEST_NAME).is_file():
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if others:
            raise ConfigError(
                f"{folder} holds something else: {', '.join(sorted(others)[:3])}", hint="write into a new folder"
            )
    folder.mkdir(parents=True, exist_ok=True)


def _count(source: RowSource, reading: SharedReading[PredictedFile], who: WhoPredicts) -> list[PredictedFile]:
    files = source.files()
    if who.engine is None or len(files) == 1:
        return reading.all_of(files, count_rows)
    found: dict[int, PredictedFile] = {}
    who.engine.run(reading.work(files, count_rows), range(len(files)), found.__setitem__)
    return [found[place] for place in range(len(files))]


def count_rows(file: RowSource) -> PredictedFile:
    """Counts the rows of a file, used or not, and makes sure that all can be read as they will be.

    Raises:
        DataError: a row that cannot be used.
    """
    rows, path, digest = 0, str(file), RowsDigest()
    is_one_file = stamp_of(file) is not None
    for examples in file.chunks(ROWS_PER_CHUNK):
        path = examples.report.path
        rows += len(examples) + len(examples.report.refused)
        if not is_one_file:
            digest.add(examples)
    return PredictedFile(path, rows, sha256_of(file.split.paths[0]) if is_one_file else digest.hexdigest())


def _keep_finished(folder: Path, plan: PredictionManifest, numbers: Sequence[int]) -> PredictionManifest:
    """Takes over the files of earlier runs: this process's own if their content is still what was written."""
    if not (folder / MANIFEST_NAME).is_file():
        return publish(plan, folder)
    earlier = read_prediction_manifest(folder)
    check_same_recipe(folder, earlier.recipe, plan.recipe)
    own = {plan.shard_name(number) for number in numbers}
    others = [shard for shard in earlier.shards if shard.name not in own]
    kept = [shard for shard in earlier.shards if shard.name in own and is_as_written(folder, shard)]
    names = tuple(shard.name for shard in kept)
    return publish(replace(plan.with_shards((*others, *kept)), kept=names), folder)


def digest_of_model(run: Path) -> str:
    """Returns a digest of a model's files, of bertune or of transformers."""
    folder = find_model_folder(run)
    if not is_of_transformers(folder):
        return model_digest(folder)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".txt", ".model"):
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
