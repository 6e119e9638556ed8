"""The golden TensorFlow checkpoints, unpacked for a test."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "tf_checkpoints"
KINDS = ("functional", "dense_einsum", "class_based", "classifier", "tf1", "pretrainer", "hub", "hub_legacy")


def unpack(kind: str, folder: Path) -> Path:
    """Unpacks the checkpoint of a kind, or `dtypes`, and returns its folder."""
    target = folder / kind
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        archive.extractall(target)
    return target


def outputs() -> dict[str, NDArray[Any]]:
    """Returns the input arrays, and the original's outputs as `KIND|sequence_output` and `KIND|pooled_output`."""
    with np.load(FOLDER / "outputs.npz") as stored:
        return {name: stored[name] for name in stored.files}
