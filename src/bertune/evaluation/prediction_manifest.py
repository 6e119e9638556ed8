"""The manifest of a folder of predictions: what is in its files, and all that decided it; imports no torch."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bertune.errors import ConfigError, DataError
from bertune.shards.shared_manifest import with_parts
from bertune.shards.shared_parts import digest_of
from bertune.system.atomic import write_text
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object

MANIFEST_NAME: Final = "manifest.json"
ROWS_PER_BLOCK: Final = 256
"""Rows that are predicted together: a row's neighbours, and with them its last bit, do not depend on the shards."""
_VERSION: Final = "bertune-predictions-1"
_MOST_SHARDS: Final = 100_000


@dataclass(frozen=True)
class PredictionShard:
    """One finished file.

    Args:
        name: of the file.
        rows: of the source that it holds, in their order.
        predicted: those of them that could be read, each with a prediction.
        over_length: those that were too long for the model.
        counts: label to rows that it was given to; empty for a regression.
        bytes: its size.
        sha256: of its content, hexadecimal.
        computed_by: in which precision, and by what.
    """

    name: str
    rows: int
    predicted: int
    over_length: int
    counts: dict[str, int]
    bytes: int
    sha256: str
    computed_by: str


@dataclass(frozen=True)
class PredictionRecipe:
    """All that decides the content of the files.

    Args:
        shard_count: how many.
        model: a digest of the model.
        rows: a digest of the files of the source, and of how they are read.
        key: the columns that stand for the row; its number where there are none.
        top_k: how many labels are given; None gives the probability of each.
        precision: that was asked for.
    """

    shard_count: int
    model: str
    rows: str
    key: tuple[str, ...]
    top_k: int | None
    precision: str


@dataclass(frozen=True)
class PredictedFile:
    """A file of the source.

    Args:
        path: as it was named.
        rows: used or not.
        digest: SHA-256 of its bytes, or of its texts where it is no single file.
    """

    path: str
    rows: int
    digest: str


@dataclass(frozen=True)
class PredictionManifest:
    """What a folder of predictions holds.

    Args:
        recipe: what decided it.
        source: the data, as they were named.
        files: of the source.
        labels: of the model, in the order of their ids.
        complete: whether every shard is finished.
        shards: the finished ones.
        version: of this form.
        kept: names of the shards that this run found finished and did not write; not in the file.
    """

    recipe: PredictionRecipe
    source: str
    files: tuple[PredictedFile, ...]
    labels: tuple[str, ...]
    complete: bool = False
    shards: tuple[PredictionShard, ...] = ()
    version: str = _VERSION
    kept: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.version != _VERSION:
            raise ValueError(f"expected version {_VERSION}")
        if not 1 <= self.recipe.shard_count <= _MOST_SHARDS:
            raise ValueError(f"{self.recipe.shard_count} shards")
        if any(Path(shard.name).name != shard.name for shard in self.shards):
            raise ValueError("the name of a shard is no plain file name")

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return sum(file.rows for file in self.files)

    @property
    def about(self) -> str:
        """A digest of the recipe."""
        return digest_of(to_json(self.recipe))

    @property
    def shard_names(self) -> list[str]:
        """Names of all shards, finished or not."""
        return [self.shard_name(number) for number in range(self.recipe.shard_count)]

    @property
    def shard_kind(self) -> type[PredictionShard]:
        """The type of their entries."""
        return PredictionShard

    def shard_name(self, number: int) -> str:
        """Gives the name of a shard."""
        return f"predictions-{number:05d}-of-{self.recipe.shard_count:05d}.parquet"

    def shard_rows(self, number: int) -> range:
        """Gives the rows of a shard, from 0: whole blocks, one after another; there are shards without any."""
        blocks, count = -(-self.rows // ROWS_PER_BLOCK), self.recipe.shard_count
        first, stop = blocks * number // count * ROWS_PER_BLOCK, blocks * (number + 1) // count * ROWS_PER_BLOCK
        return range(min(first, self.rows), min(stop, self.rows))

    def with_shards(self, shards: Iterable[PredictionShard]) -> "PredictionManifest":
        """Takes these as the finished shards, in the order of their names."""
        finished = tuple(sorted(shards, key=lambda shard: shard.name))
        return replace(self, shards=finished, complete=len(finished) == self.recipe.shard_count)

    def summary(self) -> str:
        """Says in one line what there is."""
        predicted, rows = sum(shard.predicted for shard in self.shards), sum(shard.rows for shard in self.shards)
        over = sum(shard.over_length for shard in self.shards)
        return (
            f"{predicted:,} of {rows:,} rows predicted, {over:,} over length, "
            f"{len(self.shards)} of {self.recipe.shard_count} shards"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives it as plain values for JSON."""
        values = to_json(self)
        del values["kept"]
        return values

    def write(self, folder: Path) -> None:
        """Writes it, with a digest of its own; it is there whole or not at all."""
        values = self.to_dict()
        text = json.dumps(values | {"digest": digest_of(values)}, ensure_ascii=False, indent=2, allow_nan=False)
        write_text(folder / MANIFEST_NAME, text + "\n")

    @classmethod
    def written_in(cls, folder: Path) -> "PredictionManifest | None":
        """Reads what was written, without what parts add to it; None where there is nothing.

        Raises:
            DataError: it is damaged, or of something else.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            return None
        values = read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError)
        digest = values.pop("digest", None)
        try:
            if digest != digest_of(values):
                raise ValueError("it is not what was written, its digest differs")
            return from_json(cls, values)
        except (MisfitError, ValueError) as error:
            raise DataError(
                f"{path} is not a manifest of predictions that can be read: {error}", hint="predict into a new folder"
            ) from error


def holds_predictions(folder: Path) -> bool:
    """Whether a folder was made by `bertune predict`, by the version in its manifest."""
    return bool(_version_in(folder) == _VERSION)


def holds_other_manifest(folder: Path) -> bool:
    """Whether there is a manifest of something else, such as encoded data; a damaged one is nobody's."""
    return _version_in(folder) not in (None, _VERSION)


def _version_in(folder: Path) -> Any:
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        return read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError).get("version")
    except DataError:
        return None


def read_prediction_manifest(folder: Path) -> PredictionManifest:
    """Reads the manifest of a folder, with the shards that other processes have finished since it was written.

    Raises:
        DataError: it is missing or not as expected.
    """
    manifest = PredictionManifest.written_in(folder)
    if manifest is None:
        raise DataError(f"{folder} has no {MANIFEST_NAME}", hint="expected a folder of `bertune predict --shards`")
    return with_parts(manifest, folder)


def check_same_recipe(folder: Path, old: PredictionRecipe, new: PredictionRecipe) -> None:
    """Refuses to mix predictions of two kinds in one folder.

    Raises:
        ConfigError: names the first setting that differs.
    """
    if old == new:
        return
    name = next(name for name in to_json(new) if getattr(old, name) != getattr(new, name))
    told = {"model": "by another model", "rows": "of other rows, or of rows that are read otherwise"}
    there, now = getattr(old, name), getattr(new, name)
    flag = "--" + {"shard_count": "shards"}.get(name, name).replace("_", "-")
    what = told.get(name, f"with another {flag}: {_shown(there)} there, {_shown(now)} now")
    raise ConfigError(f"{folder} holds predictions {what}", hint="write into another folder, or delete this one")


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return ",".join(value) if isinstance(value, tuple) else str(value)
