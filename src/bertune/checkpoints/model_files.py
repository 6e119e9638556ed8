"""Where the files beside a model's weights are: Hugging Face, Google and SavedModel folders differ."""

from pathlib import Path

from bertune.checkpoints.contract import CONTRACT_FILE
from bertune.errors import DataError

_CONFIGS = ("config.json", "bert_config.json")
_TOKENIZERS = ("vocab.txt", "tokenizer.json")
# The model folder inside the folder of a run.
_MODEL_OF_RUN = "model"


def files_folder(model: Path) -> Path:
    """Returns the folder of a model that may be named by a folder, by a file in it or by a checkpoint's prefix."""
    return model if model.is_dir() else model.parent


def config_file(model: Path) -> Path:
    """Returns the path of a model's configuration: `config.json`, or `bert_config.json` where only that is there."""
    candidates = [files_folder(model) / name for name in _CONFIGS]
    return next((path for path in candidates if path.is_file()), candidates[0])


def tokenizer_folder(model: Path) -> Path:
    """Returns the folder of a model's vocabulary: its own, or `assets` of a SavedModel."""
    folder = files_folder(model)
    assets = folder / "assets"
    has_own = any((folder / name).exists() for name in _TOKENIZERS)
    return assets if not has_own and (assets / _TOKENIZERS[0]).is_file() else folder


def find_model_folder(path: Path) -> Path:
    """Returns the model folder of a run, or the folder itself if it is one.

    Raises:
        DataError: neither.
    """
    for folder in (path, path / _MODEL_OF_RUN):
        if (folder / CONTRACT_FILE).is_file():
            return folder
    if not path.exists():
        raise DataError(f"{path}: no such folder", hint="name a run or a model folder that bertune train made")
    raise DataError(
        f"{path}: no model in this folder (no {CONTRACT_FILE}, and no {_MODEL_OF_RUN}/{CONTRACT_FILE})",
        hint="name a run or a model folder that bertune train made; did the run end before its first epoch?",
    )
