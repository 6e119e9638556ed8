"""The sizes of an encoder as its weights have them, read from headers alone.

A configuration is held against them before anything is allocated: a wrong or hostile number in it could ask for all
memory, or for a million layers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertune.checkpoints.restore import locate, names_in
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import encoder_names, find_prefix, tensorflow_names
from bertune.checkpoints.weight_files import find_tensor_files
from bertune.errors import CheckpointError
from bertune.models.bert import TENSORFLOW_NAMES
from bertune.models.family import ConfigT, Family
from bertune.models.names import NameTable
from bertune.models.registry import family_of

#: A word table may have so many rows more than the vocabulary has entries: tables are rounded up for faster products,
#: or were enlarged for tokens that were never used. Released vocabularies that could be mixed up are further apart.
MAX_SPARE_ROWS = 512

_TABLES = {
    "vocab_size": "embeddings.token.weight",
    "max_position_embeddings": "embeddings.position.weight",
    "type_vocab_size": "embeddings.token_type.weight",
}
_INTERMEDIATE = "layers.0.feed_forward.intermediate.bias"
_WITH_GATE = "layers.0.feed_forward.input_and_gate.weight"


def fitted_config(config: ConfigT, path: Path) -> ConfigT:
    """Holds a configuration against the weights; spare rows of the word table become part of it.

    Args:
        config: as read.
        path: the weights, as `restore` takes them.

    Returns:
        The configuration, with as many rows of words as the weights have where that is a few more.

    Raises:
        CheckpointError: the configuration asks for more than the weights have.
    """
    sizes = _stored_sizes(path, family_of(config))
    for name, found in sizes.items():
        asked = config.num_stored_layers if name == "num_hidden_layers" else getattr(config, name)
        if asked > found:
            if name == "embedding_size" and config.embedding_size == config.hidden_size:
                name = "hidden_size"  # as its file calls it  # noqa: PLW2901
            hint = "the config.json and vocab.txt" if name == "vocab_size" else "the config.json"
            raise CheckpointError(
                f"{path} does not fit its configuration: {name} is {asked:,} there, the weights have {found:,}",
                hint=f"use {hint} that came with these weights",
            )
    rows = sizes.get("vocab_size", config.vocab_size)
    return replace(config, vocab_size=rows) if rows - config.vocab_size <= MAX_SPARE_ROWS else config


@dataclass(frozen=True)
class _Stored:
    """What the headers of a checkpoint tell.

    Args:
        layers: numbers of the layers that have any tensor.
        shapes: by the names of the encoder's parameters.
    """

    layers: set[int]
    shapes: Mapping[str, tuple[int, ...]]


def _stored_sizes(path: Path, family: Family[Any]) -> dict[str, int]:
    """Returns the sizes by the names of the configuration's fields, as far as the file tells them."""
    prefix = find_prefix(path)
    stored = _in_safetensors(path, family) if prefix is None else _in_tensorflow(prefix)
    sizes = {"num_hidden_layers": max(stored.layers, default=-1) + 1}
    for field, parameter in {**_TABLES, "intermediate_size": _INTERMEDIATE}.items():
        if stored.shapes.get(parameter):
            sizes[field] = stored.shapes[parameter][0]
    if stored.shapes.get(_WITH_GATE):
        sizes["intermediate_size"] = stored.shapes[_WITH_GATE][0] // 2
    if len(stored.shapes.get(_TABLES["vocab_size"], ())) == 2:
        sizes["embedding_size"] = stored.shapes[_TABLES["vocab_size"]][1]
    return sizes


def _in_safetensors(path: Path, family: Family[Any]) -> _Stored:
    files = TensorFiles(find_tensor_files(path))
    names = names_in(path, files, family)
    wanted = (*_TABLES.values(), _INTERMEDIATE, _WITH_GATE)
    found = {name: locate(names, name) for name in wanted if family.names.has(name)}
    return _Stored(
        _layers(family.names, (name.removeprefix(names.prefix) for name in names.stored)),
        {name: files.tensors[keys[0]].shape for name, keys in found.items() if keys},
    )


def _in_tensorflow(prefix: Path) -> _Stored:
    bundle = TensorBundle(prefix)
    keys = encoder_names(bundle).keys
    found = {name: keys.get(*tensorflow_names(name)) for name in (*_TABLES.values(), _INTERMEDIATE)}
    return _Stored(
        _layers(TENSORFLOW_NAMES, keys), {name: bundle.tensors[key].shape for name, key in found.items() if key}
    )


def _layers(table: NameTable, names: Iterable[str]) -> set[int]:
    return {number for name in names if (number := table.layer_of(name)) is not None}
