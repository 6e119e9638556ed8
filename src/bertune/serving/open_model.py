"""Folders that can be served: runs, models, and exports to ONNX, the last without torch."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bertune.errors import ConfigError
from bertune.evaluation.predictor import Predictor
from bertune.runtime.export_files import is_export
from bertune.runtime.exported_model import ExportedModel
from bertune.runtime.verification import verify
from bertune.serving.served_model import ModelSource

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Rows of an ONNX file are padded to the longest, so that lengths stay close together.
PADDED_BOUNDS: Final = (32, 48, 64, 96, 128, 192, 256, 384, 512)


def named_folders(given: tuple[str, ...]) -> dict[str, Path]:
    """Reads `FOLDER` and `NAME=FOLDER`.

    Raises:
        ConfigError: a name cannot stand in an address, or is given twice.
    """
    folders: dict[str, Path] = {}
    for word in given:
        name, equals, folder = word.partition("=")
        if not equals or Path(word).exists():
            name, folder = "", word
        path = Path(folder)
        name = name or path.resolve().name
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot be the name of a served model: letters, digits, points, - and _ can",
                hint=f"give it another: NAME={folder}",
            )
        if name in folders:
            raise ConfigError(f"two models are called {name}", hint=f"give one another name: NAME={folder}")
        folders[name] = path
    return folders


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How a run or a model computes; an export has settled it.

    Args:
        precision: of the layers.
        device: where.
    """

    precision: Literal["auto", "bf16", "fp32"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"


def refuse_computing(export: Path, computing: Computing) -> None:
    """Refuses what has no effect on an export.

    Raises:
        ConfigError: names the flag.
    """
    for flag, is_set in {"precision": computing.precision != "fp32", "device": computing.device != "auto"}.items():
        if is_set:
            raise ConfigError(f"{export} is an export, on which --{flag} has no effect", hint=f"leave --{flag} out")


def open_model(name: str, folder: Path, computing: Computing = Computing()) -> ModelSource:
    """Reads what is served.

    Args:
        name: by which it is asked for.
        folder: a run, a model, or an export to ONNX.
        computing: how a run or model does; an export has settled it.

    Raises:
        DataError, CheckpointError: it cannot be read, or was changed.
        BertuneError: an export that does not answer as its model did, on this machine.
        ConfigError: an export to another format, or a setting that has no effect on an export.
    """
    if not is_export(folder):
        from bertune.serving.fine_tuned_source import open_fine_tuned

        return open_fine_tuned(name, folder, computing.precision, computing.device)
    refuse_computing(folder, computing)
    # What is right on one processor, in int8, can be wrong on another.
    verify(folder)
    model = ExportedModel.load(folder)

    @contextmanager
    def opened() -> Iterator[Predictor]:
        yield model

    return ModelSource(
        name=name,
        folder=folder,
        run=None,
        signature=model.signature,
        tokenizer=model.tokenizer,
        opened=opened,
        bounds=PADDED_BOUNDS,
    )
