"""Writing some of the shards of a planned data set: the same bytes in whichever process, on whichever machine."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bertune.data.row_source import RowSource, stamp_of
from bertune.errors import DataError
from bertune.shards.chunk_encoding import Chunk, ChunkEncoder, EncodedChunk
from bertune.shards.encode_worker import EncoderProcesses
from bertune.shards.manifest import (
    MANIFEST_NAME,
    Manifest,
    Shard,
    read_manifest,
)
from bertune.shards.shard_file import ShardFile, remove_partials, sha256_of
from bertune.shards.shared_manifest import publish_shard, with_shard
from bertune.shards.shared_parts import PARTS_NAME, remove_parts
from bertune.shards.survey import ROWS_PER_CHUNK, RowsDigest, Survey, pieces_of, targets_of
from bertune.system.file_stamp import FileStamp
from bertune.system.folder_lock import only_run_in
from bertune.system.processors import usable_processors

_ROWS_WORTH_A_PROCESS: Final = 10_000
OnRows = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class EncodingJob:
    """All that a process must know to write any of the shards; it can be sent to another machine.

    Args:
        folder: of the shards.
        rows: the source.
        survey: what is in it.
        stamps: size and time of its files when the survey was made; None of what is no single file.
        plan: the manifest, with the shards that are finished.
        encoder: of the rows.
        shared: whether other processes write other shards at the same time.
    """

    folder: Path
    rows: RowSource
    survey: Survey
    stamps: tuple[FileStamp | None, ...]
    plan: Manifest
    encoder: ChunkEncoder
    shared: bool

    def write(self, numbers: Sequence[int], *, processes: int | None, on_rows: OnRows) -> Manifest:
        """Writes shards, and tells of each in the manifest when it is finished.

        Args:
            numbers: of the shards, ascending.
            processes: that encode; None takes one for each core, and this process alone for few rows.
            on_rows: told after every chunk how many rows are done, and of how many.

        Returns:
            The manifest with them.

        Raises:
            DataError: the source has changed since it was surveyed.
            ResourceError: the disk is full, or a process died.
        """
        manifest = self.plan
        todo = sum(len(manifest.shard_rows(number)) for number in numbers)
        done = 0
        for number in numbers:
            remove_partials(self.folder / manifest.shard_name(number))
        with self._encoded(numbers, _process_count(processes, todo)) as results:
            for number in numbers:
                with ShardFile(self.folder, manifest.shard_name(number), manifest) as file:
                    while file.rows < len(manifest.shard_rows(number)):
                        result = next(results, None)
                        if result is None:
                            raise self._changed()
                        file.add(result)
                        done += result.rows
                        on_rows(done, todo)
                    self._check_unchanged(number)
                    shard = file.finish()
                manifest = self._finished(manifest, shard)
            for _ in results:
                raise self._changed()
        return manifest

    def open(self) -> Callable[[int], Shard]:
        """Gives what makes one shard, wherever it runs; who finds it finished does not make it again."""
        return self._make

    def _make(self, number: int) -> Shard:
        name = self.plan.shard_name(number)
        (self.folder / PARTS_NAME).mkdir(exist_ok=True)
        with only_run_in(self.folder / PARTS_NAME / name, wait=True):
            known = read_manifest(self.folder)
            shard = next((shard for shard in known.shards if shard.name == name), None)
            if shard is None or not is_as_written(self.folder, shard):
                manifest = self.write([number], processes=1, on_rows=lambda *_: None)
                shard = next(shard for shard in manifest.shards if shard.name == name)
        return shard

    def _finished(self, manifest: Manifest, shard: Shard) -> Manifest:
        if self.shared:
            return publish_shard(manifest, shard, self.folder)
        manifest = with_shard(manifest, shard)
        manifest.write(self.folder)
        return manifest

    @contextlib.contextmanager
    def _encoded(self, numbers: Sequence[int], processes: int) -> Iterator[Iterator[EncodedChunk]]:
        if processes == 1:
            yield map(self.encoder, self._chunks(numbers))
            return
        with EncoderProcesses(self.encoder, processes) as workers:
            yield workers.map(self._chunks(numbers))

    def _chunks(self, numbers: Sequence[int]) -> Iterator[Chunk]:
        """Reads the rows of shards a second time, in order, no chunk across the end of a shard.

        Only the files that these rows are in are read, each to its end, so that it is known to be what was surveyed.
        """
        plan, survey = self.plan, self.survey
        wanted = [plan.shard_rows(number) for number in numbers]
        boundaries = [plan.shard_rows(number).start for number in range(plan.recipe.shard_count)]
        row = 0
        for source, file in zip(self.rows.files(), survey.files, strict=True):
            first, row = row, row + file.rows
            if not any(_overlap(stretch, range(first, row)) for stretch in wanted):
                continue
            digest = RowsDigest()
            for examples in source.chunks(ROWS_PER_CHUNK):
                if not len(examples):
                    continue
                digest.add(examples)
                for start, piece in pieces_of(examples, first, boundaries):
                    if any(start in stretch for stretch in wanted):
                        targets = targets_of(piece, survey.labels, labelled=survey.labelled)
                        yield Chunk(piece.texts_a, piece.texts_b, targets, start)
                first += len(examples)
            if digest.hexdigest() != file.digest:
                raise self._changed()

    def _check_unchanged(self, number: int) -> None:
        """Refuses a shard before it has its name if one of its files has changed, which its end would tell too late."""
        stretch = self.plan.shard_rows(number)
        row = 0
        for source, file, stamp in zip(self.rows.files(), self.survey.files, self.stamps, strict=True):
            first, row = row, row + file.rows
            if stamp is not None and _overlap(stretch, range(first, row)) and stamp_of(source) != stamp:
                raise self._changed()

    def _changed(self) -> DataError:
        # Shards may hold rows of both states; without the manifest none of them is taken for finished.
        (self.folder / MANIFEST_NAME).unlink(missing_ok=True)
        remove_parts(self.folder)
        hint = "delete the folder, and encode again when it is still"
        return DataError(f"{self.rows} changed while it was read", hint=hint)


def is_as_written(folder: Path, shard: Shard) -> bool:
    """Whether the file of a shard has the content that it was finished with."""
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.bytes and sha256_of(path) == shard.sha256


def _overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _process_count(processes: int | None, rows: int) -> int:
    if processes is not None:
        return processes
    return max(1, min(usable_processors(), rows // _ROWS_WORTH_A_PROCESS))
