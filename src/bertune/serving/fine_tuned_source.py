"""A run or model, served by torch and the compiled kernels; the one module of the server that imports torch."""

from pathlib import Path
from typing import Final

from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import load
from bertune.evaluation.classifier_predictor import kept_ready
from bertune.nn.device import DeviceName, choose_device
from bertune.nn.precision import Precision
from bertune.serving.served_model import ModelSource

# The kernels compute no padding, so that lengths may differ; what is long has its own turn.
_PACKED: Final = (128, 512)


def open_fine_tuned(name: str, folder: Path, precision: Precision, device: DeviceName) -> ModelSource:
    """Reads a run or a model.

    Args:
        name: by which it is asked for.
        folder: of the run or model.
        precision: in which the layers compute.
        device: where.

    Raises:
        ConfigError: there is no such device.
        DataError, CheckpointError: there is no model, or its files do not belong together.
    """
    model_folder = find_model_folder(folder)
    model = load(model_folder)
    model.classifier.to(choose_device(device))
    return ModelSource(
        name=name,
        folder=model_folder,
        run=folder if (folder / "run.toml").is_file() else None,
        signature=model.signature,
        tokenizer=model.tokenizer,
        opened=lambda: kept_ready(model, precision),
        bounds=_PACKED,
    )
