"""A run or model, served by torch and the compiled kernels; the one module of the server that imports torch."""

from pathlib import Path
from typing import Final

from bertune.checkpoints.mapped_model import lay_out, load_mapped
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import LoadedModel, load
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
    return _source(name, load(model_folder), model_folder, _run(folder), precision, device)


def lay_out_fine_tuned(folder: Path, out: Path, precision: Precision, device: DeviceName) -> tuple[Path, Path | None]:
    """Lays a run or a model out for several processes, and compiles what they compute with.

    Args:
        folder: of the run or model.
        out: a new folder.
        precision: in which the layers compute.
        device: where.

    Returns:
        The folders of the model and of its run, if it is of one.

    Raises:
        ResourceError: there is no room in `out`.
        BertuneError: see `open_fine_tuned`.
    """
    model_folder = find_model_folder(folder)
    model = load(model_folder)
    lay_out(model, out)
    model.classifier.to(choose_device(device))
    with kept_ready(model, precision):  # compiles what each of them would compile
        pass
    return model_folder, _run(folder)


def open_mapped_model(
    name: str, folder: Path, run: Path | None, mapped: Path, precision: Precision, device: DeviceName
) -> ModelSource:
    """Reads a model that is laid out.

    Args:
        name: by which it is asked for.
        folder: of the model, as it was given.
        run: of which it is.
        mapped: where it is laid out.
        precision: in which the layers compute.
        device: where; on a GPU each process has weights of its own.

    Raises:
        BertuneError: see `open_fine_tuned`.
    """
    return _source(name, load_mapped(mapped), folder, run, precision, device)


def _source(
    name: str, model: LoadedModel, folder: Path, run: Path | None, precision: Precision, device: DeviceName
) -> ModelSource:
    model.classifier.to(choose_device(device))
    return ModelSource(
        name=name,
        folder=folder,
        run=run,
        signature=model.signature,
        tokenizer=model.tokenizer,
        opened=lambda: kept_ready(model, precision),
        bounds=_PACKED,
    )


def _run(folder: Path) -> Path | None:
    return folder if (folder / "run.toml").is_file() else None
