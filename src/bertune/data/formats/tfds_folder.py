"""Metadata of a folder prepared by tensorflow-datasets: dataset_info.json, features.json, *.labels.txt.

Source: https://www.tensorflow.org/datasets/external_tfrecord (the files beside the records).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bertune.errors import DataError
from bertune.system.bounded_file import read_bounded
from bertune.system.json_file import read_json_object

INFO_NAME = "dataset_info.json"
FEATURES_NAME = "features.json"

# Of file systems in general.
_MOST_NAME_BYTES = 255
_MAX_LABELS_BYTES = 16_000_000

FeatureKind = Literal["text", "class", "integer", "float", "other"]


@dataclass(frozen=True)
class TfdsFolder:
    """A prepared data set.

    Args:
        path: the folder.
        features: name to kind, in the order of features.json.
        class_names: the words of the class labels that have some.
        shards: split to its files in order.
        rows: file to the number of records that dataset_info.json says it has.
    """

    path: Path
    features: Mapping[str, FeatureKind]
    class_names: Mapping[str, tuple[str, ...]]
    shards: Mapping[str, tuple[Path, ...]]
    rows: Mapping[Path, int]


def find_tfds_folder(folder: Path) -> Path | None:
    """Finds the prepared folder at a path: itself, or the highest of the versions in it."""
    if (folder / INFO_NAME).is_file():
        return folder
    versions = [
        (tuple(int(part) for part in entry.name.split(".")), entry)
        for entry in folder.iterdir()
        if entry.name.replace(".", "").isdecimal() and entry.name.count(".") == 2 and (entry / INFO_NAME).is_file()
    ]
    return max(versions)[1] if versions else None


def read_tfds_folder(folder: Path) -> TfdsFolder:
    """Reads the description of a prepared folder and makes sure that every shard is there.

    Raises:
        DataError: a file is missing or not as expected, or the records are in another format than TFRecord.
    """
    info = _read_json(folder / INFO_NAME)
    kind = info.get("fileFormat", "tfrecord")
    if kind != "tfrecord":
        raise DataError(
            f"{folder / INFO_NAME}: the data are in the format '{kind}', expected 'tfrecord'",
            hint="prepare them again with file_format='tfrecord'",
        )
    try:
        features = {
            name: _kind_of(feature)
            for name, feature in _read_json(folder / FEATURES_NAME)["featuresDict"]["features"].items()
        }
        shards = {split["name"]: _shards_of(folder, str(info["name"]), split) for split in info["splits"]}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder}: {INFO_NAME} or {FEATURES_NAME} is not as expected ({error!r})") from error
    rows = {path: count for files in shards.values() for path, count in files}
    for path in rows:
        if not path.is_file():
            raise DataError(f"{path} is missing", hint=f"{INFO_NAME} beside it names this shard")
    names = {name: _class_names(folder, name) for name, kind in features.items() if kind == "class"}
    return TfdsFolder(
        folder,
        features,
        {name: words for name, words in names.items() if words},
        {split: tuple(path for path, _ in files) for split, files in shards.items()},
        rows,
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise DataError(f"{path} is missing", hint="expected a whole folder prepared by tensorflow-datasets")
    return read_json_object(path, error=DataError)


def _kind_of(feature: Mapping[str, Any]) -> FeatureKind:
    if "text" in feature:
        return "text"
    if "classLabel" in feature:
        return "class"
    tensor = feature.get("tensor", {})
    if tensor.get("shape", {}).get("dimensions"):
        return "other"
    dtype = str(tensor.get("dtype", ""))
    if dtype == "string":
        return "text"
    if dtype.startswith(("int", "uint", "bool")):
        return "integer"
    return "float" if dtype.startswith(("float", "bfloat")) else "other"


def _shards_of(folder: Path, dataset: str, split: Mapping[str, Any]) -> list[tuple[Path, int]]:
    lengths = [int(length) for length in split.get("shardLengths", ())]
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    files: list[tuple[Path, int]] = []
    for number, rows in enumerate(lengths):
        words = {
            "{DATASET}": dataset,
            "{SPLIT}": str(split["name"]),
            "{FILEFORMAT}": "tfrecord",
            "{SHARD_X_OF_Y}": f"{number:05d}-of-{len(lengths):05d}",
            "{SHARD_INDEX}": f"{number:05d}",
            "{NUM_SHARDS}": f"{len(lengths):05d}",
        }
        name = template
        for word, value in words.items():
            name = name.replace(word, value)
        if "/" in name or "\\" in name or "{" in name or "\0" in name or len(name.encode()) > _MOST_NAME_BYTES:
            raise ValueError(f"file name {name!r}")
        files.append((folder / name, rows))
    return files


def _class_names(folder: Path, feature: str) -> tuple[str, ...]:
    path = folder / f"{feature}.labels.txt"
    if not path.is_file():
        return ()
    try:
        return tuple(read_bounded(path, _MAX_LABELS_BYTES, error=DataError).decode("utf-8").splitlines())
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
