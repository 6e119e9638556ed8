"""One file of a folder of predictions: the same bytes in whichever process, on whichever machine of its kind."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertune.data.row_blocks import RowBlock, row_blocks
from bertune.data.row_source import RowSource, stamp_of
from bertune.errors import DataError, ResourceError
from bertune.evaluation.prediction_manifest import (
    ROWS_PER_BLOCK,
    PredictionManifest,
    PredictionShard,
    read_prediction_manifest,
)
from bertune.shards.shard_file import partial_name, remove_partials, sha256_of
from bertune.shards.shared_manifest import publish_shard
from bertune.shards.shared_parts import PARTS_NAME
from bertune.system.atomic import put_file_in_place
from bertune.system.file_stamp import FileStamp
from bertune.system.folder_lock import only_run_in

if TYPE_CHECKING:
    from bertune.checkpoints.model_folder import LoadedModel
    from bertune.evaluation.logits import ComputeLogits
    from bertune.evaluation.prediction_rows import PredictionColumns, PredictionRow
    from bertune.evaluation.predictions import Prediction
    from bertune.nn.device import DeviceName
    from bertune.nn.precision import Precision

OnRows = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class PredictionJob:
    """All that a process must know to make any of the files; it can be sent to another machine.

    Args:
        folder: of the files.
        model: folder of the run or model.
        source: the rows.
        stamps: size and time of its files when they were counted; None of what is no single file.
        plan: the manifest.
        kept: the types of the columns of the key, as pyarrow's.
        precision: in which the layers compute.
        device: where.
    """

    folder: Path
    model: Path
    source: RowSource
    stamps: tuple[FileStamp | None, ...]
    plan: PredictionManifest
    kept: tuple[Any, ...]
    precision: "Precision"
    device: "DeviceName"

    def open(self) -> Callable[[int], PredictionShard]:
        """Loads the model, and gives what makes one file; who finds it finished does not make it again."""
        return self.predictor().make

    def predictor(self) -> "ShardPredictor":
        """Loads the model."""
        from bertune.checkpoints.model_folder import load
        from bertune.nn.device import choose_device

        model = load(self.model)
        model.classifier.to(choose_device(self.device))
        return ShardPredictor(self, model)


@dataclass(frozen=True, eq=False)
class ShardPredictor:
    """Makes files of a job with a model that was loaded once.

    Args:
        job: what is made.
        model: by which.
    """

    job: PredictionJob
    model: "LoadedModel"

    def make(self, number: int, on_rows: OnRows = lambda _: None) -> PredictionShard:
        """Makes one file, and tells of it in the manifest.

        Args:
            number: of the shard.
            on_rows: told how many more rows are done.

        Raises:
            DataError: a row that cannot be used, logits that are not finite, or a source that has changed.
            ResourceError: the disk is full.
        """
        job = self.job
        name = job.plan.shard_name(number)
        (job.folder / PARTS_NAME).mkdir(exist_ok=True)
        with only_run_in(job.folder / PARTS_NAME / name, wait=True):
            known = next((one for one in read_prediction_manifest(job.folder).shards if one.name == name), None)
            if known is not None and is_as_written(job.folder, known):
                return known
            path = job.folder / name
            remove_partials(path)
            partial = partial_name(path)
            try:
                shard = self._write(number, path, partial, on_rows)
            except OSError as error:
                raise ResourceError(f"{path} cannot be written: {error}", hint="check the free space") from error
            finally:
                partial.unlink(missing_ok=True)
            publish_shard(job.plan, shard, job.folder)
        return shard

    def _write(self, number: int, path: Path, partial: Path, on_rows: OnRows) -> PredictionShard:
        from bertune.evaluation.logits import computed_by, computing_logits
        from bertune.evaluation.prediction_table import PredictionTable
        from bertune.models.encoder import computing_in
        from bertune.nn.precision import choose_precision

        job, classifier = self.job, self.model.classifier
        rows = job.plan.shard_rows(number)
        counts = [file.rows for file in job.plan.files]
        columns = self._columns()
        tally = _Tally()
        blocks = row_blocks(job.source, counts, rows, ROWS_PER_BLOCK, kept=job.plan.recipe.key)
        with (
            computing_in(classifier.encoder, choose_precision(job.precision, classifier.device)),
            computing_logits(classifier, tokens=1 << 30) as compute,
            PredictionTable(partial, columns, job.kept) as table,
        ):
            how = computed_by(classifier)
            for block in blocks:
                table.add(self._predicted(block, columns, compute, tally))
                on_rows(len(block.rows))
        self._check_unchanged(rows)
        digest, size = sha256_of(partial), partial.stat().st_size
        put_file_in_place(partial, path)
        return PredictionShard(
            path.name,
            len(rows),
            tally.predicted,
            tally.over_length,
            tally.counts_of(job.plan.labels),
            size,
            digest,
            how,
        )

    def _columns(self) -> "PredictionColumns":
        from bertune.evaluation.prediction_rows import PredictionColumns

        job = self.job
        key = job.plan.recipe.key
        place = () if key else ("file", "row") if len(job.plan.files) > 1 else ("row",)
        skips = job.source.reading.on_bad_row == "skip"
        return PredictionColumns(place, key, self.model.signature, job.plan.recipe.top_k, skips)

    def _predicted(
        self, block: RowBlock, columns: "PredictionColumns", compute: "ComputeLogits", tally: "_Tally"
    ) -> "list[PredictionRow]":
        from bertune.evaluation.arrays import require_finite_logits
        from bertune.evaluation.labelled_rows import TextRows
        from bertune.evaluation.prediction_rows import PredictionRow
        from bertune.evaluation.prediction_table import place_of
        from bertune.evaluation.predictions import Predictions

        predictions: Sequence[Prediction] = ()
        examples = block.examples()
        if len(examples):
            rows = TextRows(examples)
            encoded = rows.encoded_for(self.model)
            logits = compute(encoded)
            require_finite_logits(logits, rows.where)
            long_texts = rows.long_texts_of(encoded, self.model.signature.long_text)
            predictions = list(Predictions(logits, self.model.signature, long_texts))
            tally.add(predictions, long_texts.over_length)
        given = iter(predictions)
        return [
            PredictionRow(
                place_of(row, columns.place), row.kept, None if row.texts is None else next(given), row.reason
            )
            for row in block.rows
        ]

    def _check_unchanged(self, rows: range) -> None:
        """Refuses a file before it has its name if one of those that it was made of has changed."""
        position = 0
        for file, counted, stamp in zip(self.job.source.files(), self.job.plan.files, self.job.stamps, strict=True):
            first, position = position, position + counted.rows
            is_read = max(first, rows.start) < min(position, rows.stop)
            if is_read and stamp is not None and stamp_of(file) != stamp:
                raise DataError(f"{file} changed while it was read", hint="predict into a new folder when it is still")


class _Tally:
    """Counts of one file."""

    def __init__(self) -> None:
        self.predicted = self.over_length = 0
        self._labels: Counter[str] = Counter()

    def add(self, predictions: "Sequence[Prediction]", over_length: int) -> None:
        self.predicted += len(predictions)
        self.over_length += over_length
        for prediction in predictions:
            if prediction.label is not None:
                self._labels[prediction.label] += 1
            self._labels.update(prediction.labels or ())

    def counts_of(self, labels: Sequence[str]) -> dict[str, int]:
        return {label: self._labels[label] for label in labels}


def is_as_written(folder: Path, shard: PredictionShard) -> bool:
    """Whether a file has the content that it was finished with."""
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.bytes and sha256_of(path) == shard.sha256
