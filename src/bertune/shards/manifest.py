"""The manifest of a re-encoded data set: what is in the shards, and all that decided it."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

from bertune.data.read_report import ReadReport, RefusedRow
from bertune.data.several_names import names_in
from bertune.errors import ConfigError, DataError
from bertune.shards.shared_manifest import with_parts
from bertune.shards.shared_parts import digest_of
from bertune.system.atomic import write_text
from bertune.system.hinted_values import checked_fields, fits
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.tokenization.long_texts import LongText, LongTexts

MANIFEST_NAME: Final = "manifest.json"
_SPLITS: Final = ("train", "validation", "test")
_VERSION: Final = "bertune-reencoded-1"
_DIGEST: Final = "digest"
_MOST_SHARDS: Final = 100_000
#: What to do where windows are wanted.
NO_WINDOWS: Final = "bertune encode writes one sequence a row; for windows give the texts themselves"

ShardFormat = Literal["tfrecord", "store"]
SUFFIX_OF: Final[Mapping[str, str]] = {"tfrecord": ".tfrecord", "store": ".safetensors"}


@dataclass(frozen=True)
class Shard:
    """One finished file.

    Args:
        name: of the file.
        rows: examples in it.
        tokens: special tokens counted, padding not.
        truncated: examples that lost tokens.
        bytes: its size.
        sha256: of its content, hexadecimal.
    """

    name: str
    rows: int
    tokens: int
    truncated: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Recipe:
    """All that decides the bytes of the shards; the same recipe gives the same bytes.

    Args:
        format: of the shards.
        shard_count: how many.
        max_length: most tokens of an example.
        tokenizer_digest: of the tokenizer.
        rows_digest: SHA-256 over all texts and labels in order.
        task: its name; `custom` for columns of the user's own.
        kind: classification or regression.
        labels: the label words in the order of their ids; empty for a regression or without labels.
        is_pair: whether examples have two texts.
        long_text: which tokens of longer texts stayed; folders written before this entry was there have their first.
    """

    format: ShardFormat
    shard_count: int
    max_length: int
    tokenizer_digest: str
    rows_digest: str
    task: str
    kind: Literal["classification", "regression"]
    labels: tuple[str, ...]
    is_pair: bool
    long_text: LongText = "first"


@dataclass(frozen=True)
class Manifest:
    """What a folder of re-encoded examples holds.

    Args:
        recipe: what decided it.
        source: the data it was made from, as the user named them.
        columns: text_a, text_b and label: names or numbers of the columns.
        rows: examples.
        rows_in: rows of the source.
        rows_other_split: rows of the same files that belong to another split.
        blank_texts: text cells that are empty or only spaces.
        labelled: whether the examples have labels.
        label_counts: label word to examples.
        refused: the refused rows, with file, line and reason.
        warnings: what looked wrong when the source was read.
        notes: how the source was read where nobody said it.
        complete: whether every shard is finished.
        shards: the finished ones.
        kept: names of the shards that this run found finished and did not write; not in the file.
    """

    recipe: Recipe
    source: str
    columns: Mapping[str, str | int | None]
    rows: int
    rows_in: int
    rows_other_split: int
    blank_texts: int
    labelled: bool
    label_counts: Mapping[str, int]
    refused: tuple[RefusedRow, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = False
    shards: tuple[Shard, ...] = ()
    kept: tuple[str, ...] = field(default=(), compare=False)

    @property
    def tokens(self) -> int:
        """Tokens of all shards."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def truncated(self) -> int:
        """Examples that lost tokens."""
        return sum(shard.truncated for shard in self.shards)

    @property
    def long_texts(self) -> LongTexts:
        """How many examples were too long, and what became of them."""
        recipe = self.recipe
        return LongTexts(recipe.long_text, recipe.max_length, self.rows, self.truncated, self.truncated)

    @property
    def about(self) -> str:
        """A digest of the recipe."""
        return digest_of(asdict(self.recipe))

    @property
    def shard_names(self) -> list[str]:
        """Names of all shards, finished or not."""
        return [self.shard_name(number) for number in range(self.recipe.shard_count)]

    @property
    def shard_kind(self) -> type[Shard]:
        """The type of their entries."""
        return Shard

    def with_shards(self, shards: Iterable[Shard]) -> "Manifest":
        """Takes these as the finished shards, in the order of their names."""
        finished = tuple(sorted(shards, key=lambda shard: shard.name))
        return replace(self, shards=finished, complete=len(finished) == self.recipe.shard_count)

    def shard_name(self, number: int) -> str:
        """Gives the name of a shard."""
        return f"records-{number:05d}-of-{self.recipe.shard_count:05d}{SUFFIX_OF[self.recipe.format]}"

    def shard_rows(self, number: int) -> range:
        """Gives the rows of a shard, from 0: they lie one after another, in the order of the source."""
        count = self.recipe.shard_count
        return range(self.rows * number // count, self.rows * (number + 1) // count)

    def summary(self) -> str:
        """Says in one line what there is."""
        return (
            f"{self.rows:,} rows, {len(self.refused):,} refused, {self.tokens:,} tokens, "
            f"{self.long_texts.summary()}, "
            f"{len(self.shards)} of {self.recipe.shard_count} shards as {self.recipe.format}"
        )

    def report(self) -> ReadReport:
        """Gives the account of the rows, as a read of the texts would."""
        return ReadReport(
            path=self.source,
            rows_in=self.rows_in,
            rows_used=self.rows,
            refused=list(self.refused),
            blank_texts=self.blank_texts,
            rows_other_split=self.rows_other_split,
            warnings=list(self.warnings),
            notes=list(self.notes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the manifest as plain values for JSON."""
        values = asdict(self)
        del values["kept"]
        return {"version": _VERSION, **values}

    def write(self, folder: Path) -> None:
        """Writes it, with a digest of its own; it is there whole or not at all."""
        values = self.to_dict()
        text = json.dumps(values | {_DIGEST: digest_of(values)}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        write_text(folder / MANIFEST_NAME, text)

    @classmethod
    def written_in(cls, folder: Path) -> "Manifest | None":
        """Reads what was written, without what parts add to it; None where there is nothing."""
        return _written_manifest(folder) if is_reencoded(folder) else None


def is_reencoded(folder: str | os.PathLike[str]) -> bool:
    """Tells whether a folder was made by `reencode`."""
    return (Path(folder) / MANIFEST_NAME).is_file()


def find_reencoded(path: str | os.PathLike[str], split: str = "train") -> Path | None:
    """Finds the re-encoded folder of a split at a path: the folder itself, or the one named after the split in it.

    Raises:
        ConfigError: the path is several, and one of them was re-encoded.
    """
    _refuse_among_others(path)
    return next((folder for folder in (Path(path), Path(path) / split) if is_reencoded(folder)), None)


def find_reencoded_splits(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Finds the re-encoded folders of all splits at a path: those in it, named after their splits, train first.

    Returns:
        Split to folder; an empty name where the folder itself is one split; nothing where there is none.

    Raises:
        ConfigError: the path is several, and one of them was re-encoded.
    """
    _refuse_among_others(path)
    path = Path(path)
    if is_reencoded(path):
        return {"": path}
    names = sorted(entry.name for entry in path.iterdir() if is_reencoded(entry)) if path.is_dir() else []
    first = [name for name in _SPLITS if name in names]
    return {name: path / name for name in [*first, *(name for name in names if name not in first)]}


def _refuse_among_others(path: str | os.PathLike[str]) -> None:
    names = names_in(os.fspath(path))
    for name in names if len(names) > 1 else ():
        if is_reencoded(Path(name)) or is_reencoded(Path(name) / "train"):
            raise ConfigError(
                f"{name} was encoded before, and cannot be read together with others",
                hint="encode all tables into one folder: bertune encode, with --data before each",
            )


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Reads the manifest of a folder, with the shards that other processes have finished since it was written.

    Raises:
        DataError: it is missing or not as expected.
    """
    return with_parts(_written_manifest(folder), Path(folder))


def _written_manifest(folder: str | os.PathLike[str]) -> Manifest:
    path = Path(folder) / MANIFEST_NAME
    if not path.exists():
        raise DataError(f"{folder} has no {MANIFEST_NAME}", hint="expected a folder made by `bertune encode`")
    values = read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError)
    try:
        digest = values.pop(_DIGEST, None)
        if digest is not None and digest != digest_of(values):
            raise ValueError("it is not what was written, its digest differs")
        if values.pop("version", None) != _VERSION:
            raise ValueError(f"expected version {_VERSION}")
        manifest = _manifest_of(values)
        _check(manifest)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a manifest that can be read: {error}", hint="encode the data again") from error
    return manifest


def _manifest_of(values: dict[str, Any]) -> Manifest:
    """Makes a manifest of plain values, none of which is trusted."""
    recipe = checked_fields(values.pop("recipe"), Recipe)
    if not isinstance(values["shards"], list) or not isinstance(values["refused"], list):
        raise ValueError("shards or refused is no list")
    shards = tuple(Shard(**checked_fields(entry, Shard)) for entry in values.pop("shards"))
    refused = tuple(RefusedRow(**checked_fields(row, RefusedRow)) for row in values.pop("refused"))
    parts: dict[str, Any] = {
        "recipe": Recipe(**(recipe | {"labels": tuple(recipe["labels"])})),
        "shards": shards,
        "refused": refused,
    }
    hints = get_type_hints(Manifest)
    for name, value in values.items():
        if name in ("kept", *parts) or name not in hints or not fits(value, hints[name]):
            raise ValueError(f"{name!a:.60} is {value!a:.60}, which does not belong there")
    texts = {name: tuple(values.get(name, ())) for name in ("warnings", "notes")}
    return Manifest(**(values | parts | texts))


def _check(manifest: Manifest) -> None:
    """Refuses what no run can have written.

    Raises:
        ValueError: says what.
    """
    recipe = manifest.recipe
    if not 1 <= recipe.shard_count <= _MOST_SHARDS or not 1 <= recipe.max_length < 1 << 31:
        raise ValueError(f"{recipe.shard_count} shards of {recipe.max_length} tokens an example")
    numbers = [manifest.rows, manifest.rows_in, manifest.rows_other_split, manifest.blank_texts]
    numbers += manifest.label_counts.values()
    numbers += (number for shard in manifest.shards for number in (shard.rows, shard.tokens, shard.bytes))
    if min(numbers) < 0:
        raise ValueError("a count is below 0")
    counted = manifest.label_counts
    if counted and (tuple(counted) != recipe.labels or sum(counted.values()) != manifest.rows):
        raise ValueError("the labels are not those that were counted")
    manifest.report()  # balances the rows
    for shard in manifest.shards:
        if Path(shard.name).name != shard.name:
            raise ValueError(f"the shard name {shard.name!r} is no plain file name")


def check_same_recipe(folder: Path, old: Recipe, new: Recipe) -> None:
    """Refuses to mix shards of two recipes in one folder.

    Raises:
        ConfigError: names the first setting that differs, and both values.
    """
    for entry in fields(Recipe):
        before, now = getattr(old, entry.name), getattr(new, entry.name)
        if before != now:
            what = {"rows_digest": "rows", "tokenizer_digest": "tokenizer", "shard_count": "shards"}
            shown = f"{before} there, {now} now" if not entry.name.endswith("digest") else "they are not the same"
            raise ConfigError(
                f"{folder} holds examples of another {what.get(entry.name, entry.name)}: {shown}",
                hint="write into another folder, or delete this one",
            )


def check_tokenizer(folder: Path, manifest: Manifest, tokenizer_digest: str, *, model: str) -> None:
    """Refuses examples for a model that would have made other ids of the same texts.

    Args:
        folder: where the examples are.
        manifest: of the folder.
        tokenizer_digest: of the model's tokenizer.
        model: its name.

    Raises:
        ConfigError: the tokenizer that encoded them is another one.
    """
    if manifest.recipe.tokenizer_digest != tokenizer_digest:
        raise ConfigError(
            f"{folder} was encoded with another tokenizer than that of {model}",
            hint=f"encode the data again: bertune encode --model {model} …",
        )
