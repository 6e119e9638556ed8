"""Locations of the files beside a model's weights: Hugging Face, Google and SavedModel folders differ."""

import os
from pathlib import Path

from bertune.checkpoints.file_names import EXPORT_PROOF_FILE
from bertune.checkpoints.signature import SIGNATURE_FILE
from bertune.checkpoints.transformers_classifier import DIGESTS_FILE, is_of_transformers
from bertune.data.missing_path import near_path
from bertune.errors import DataError
from bertune.models.registry import FAMILIES
from bertune.system.atomic import stepped_aside
from bertune.tokenization.tokenizer_files import VOCABULARY_FILES

_CONFIGS = ("config.json", "bert_config.json")
# The model folder inside the folder of a run.
_MODEL_OF_RUN = "model"
_RUNS_SHOWN = 5


def files_folder(model: Path) -> Path:
    """Returns the folder of a model that may be named by a folder, by a file in it or by a checkpoint's prefix."""
    return model if model.is_dir() else model.parent


def config_file(model: Path) -> Path:
    """Returns the path of a model's configuration: `config.json`, or `bert_config.json` where only that is there."""
    candidates = [files_folder(model) / name for name in _CONFIGS]
    return next((path for path in candidates if path.is_file()), candidates[0])


def holds_model(folder: Path) -> bool:
    """Tells whether a folder has any file of a model: a configuration, a vocabulary or weights."""
    names = (*_CONFIGS, *VOCABULARY_FILES, "saved_model.pb", "variables/variables.index")
    return any((folder / name).is_file() for name in names) or any(
        next(folder.glob(pattern), None)
        for pattern in ("*.safetensors", "*.index", "pytorch_model*.bin", "tf_model.h5")
    )


def tokenizer_folder(model: Path) -> Path:
    """Returns the folder of a model's vocabulary: its own, or `assets` of a SavedModel."""
    folder = files_folder(model)
    assets = folder / "assets"
    has_own, has_assets = (any((place / name).exists() for name in VOCABULARY_FILES) for place in (folder, assets))
    return assets if not has_own and has_assets else folder


def is_fine_tuned(folder: Path) -> bool:
    """Tells whether a folder holds a classifier: one of bertune's, or one that transformers saved."""
    return (folder / SIGNATURE_FILE).is_file() or is_of_transformers(folder)


def find_model_folder(path: Path) -> Path:
    """Returns the model folder of a run, or the folder itself if it is one; also that of a classifier of transformers.

    Raises:
        DataError: neither.
    """
    for folder in (path, path / _MODEL_OF_RUN):
        if is_fine_tuned(folder):
            return folder
    if not path.exists():
        raise DataError(
            f"{path}: no such folder", hint=near_path(path) or "name a run or a model folder that bertune train made"
        )
    if (path / EXPORT_PROOF_FILE).is_file():
        raise DataError(
            f"{path}: an export; bertune predict takes those to onnx, and this takes none",
            hint="name the run that was exported",
        )
    # One of bertune's that lost its signature has digests still.
    if config_file(path).is_file() and not (path / DIGESTS_FILE).is_file():
        known = " or ".join(family.architecture for family in FAMILIES)
        raise DataError(
            f"{path}: an encoder, or a model for another task, without a classifier of texts (no {SIGNATURE_FILE}, and "
            f"its {config_file(path).name} does not name {known})",
            hint=f"fine-tune it first: bertune train --model {path} --data FILE --text-a NAME --label NAME --out RUN",
        )
    runs = sorted(inner for inner in path.iterdir() if inner.is_dir()) if path.is_dir() else []
    runs = [inner for inner in runs if is_fine_tuned(inner) or is_fine_tuned(inner / _MODEL_OF_RUN)]
    if len(runs) == 1:
        raise DataError(f"{path}: no model in this folder, but one in {runs[0]}", hint=f"name that one: {runs[0]}")
    if runs:
        shown = ", ".join(map(str, runs[:_RUNS_SHOWN])) + (", …" if len(runs) > _RUNS_SHOWN else "")
        raise DataError(f"{path}: no model in this folder, but {len(runs)} in it", hint=f"name one of them: {shown}")
    folder = Path(os.path.realpath(path))
    if earlier := next((aside for aside in stepped_aside(folder) if is_fine_tuned(aside / _MODEL_OF_RUN)), None):
        raise DataError(
            f"{path}: no model in this folder yet: the run that replaces an earlier one has not ended its first epoch",
            hint=f"the earlier run is in {earlier} until the new one ends",
        )
    raise DataError(
        f"{path}: no model in this folder (no {SIGNATURE_FILE}, and no {_MODEL_OF_RUN}/{SIGNATURE_FILE})",
        hint="name a run or a model folder that bertune train made; did the run end before its first epoch?",
    )
