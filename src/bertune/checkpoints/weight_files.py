"""Which files of a model folder hold its weights."""

import os
from pathlib import Path
from typing import Final

from bertune.errors import CheckpointError
from bertune.system.json_file import read_json_object

WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
"""In this order: the weights or, where they are in several files, an index of that name with `.index.json`."""
_MAX_INDEX_BYTES: Final = 2_000_000
_MOST_NAME_BYTES: Final = 255


def has_weight_files(folder: Path) -> bool:
    """Whether a folder has weights as safetensors, or as torch saved them."""
    return _of_model(folder) is not None


def find_tensor_files(path: Path) -> list[Path]:
    """Returns the weight files of a model folder, or the file itself: safetensors where they are there.

    Raises:
        CheckpointError: there is none; says what is there instead.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such file or folder")
    found = _of_model(path)
    if found is not None:
        return _files_of_index(found) if found.suffix == ".json" else [found]
    others = sorted(file.name for file in path.iterdir() if file.suffix in (".safetensors", ".bin", ".pt", ".pth"))
    raise CheckpointError(
        f"{path}: neither {' nor '.join(WEIGHTS)} in this folder",
        hint=f"name the file of the weights: {path / others[0]}"
        if others
        else "name a folder with config.json, vocab.txt and model.safetensors",
    )


def _files_of_index(index: Path) -> list[Path]:
    try:
        shards = sorted(set(read_json_object(index, max_bytes=_MAX_INDEX_BYTES)["weight_map"].values()))
        # A shard is a plain file name: anything else could reach outside the folder.
        if not shards or not all(_is_plain_name(shard) for shard in shards):
            raise ValueError("a shard is not a plain file name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of weight files ({error})") from error
    return [index.parent / shard for shard in shards]


def _is_plain_name(shard: str) -> bool:
    return Path(shard).name == shard and shard.isprintable() and len(os.fsencode(shard)) <= _MOST_NAME_BYTES


def _of_model(folder: Path) -> Path | None:
    """The file of a folder's weights, or their index."""
    names = (name for weights in WEIGHTS for name in (weights, f"{weights}.index.json"))
    return next((folder / name for name in names if (folder / name).is_file()), None)
