"""A model laid out for several processes on one machine, all of which map its weights from one file."""

import pickle
from pathlib import Path
from typing import Final

import torch

from bertune.checkpoints.model_folder import LoadedModel, write_all_but_weights
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import CheckpointError, ResourceError
from bertune.models.classifier import undrawn_model
from bertune.models.registry import read_config
from bertune.tokenization.read_tokenizer import read_tokenizer

# Each tensor begins at a multiple of 64 bytes, as in memory; model.safetensors also has other names and other parts.
_WEIGHTS: Final = "weights.pt"


def lay_out(model: LoadedModel, folder: Path) -> None:
    """Writes a model as it lies in memory.

    Args:
        model: that was loaded and checked.
        folder: a new one, for this process and those that it starts alone.

    Raises:
        ResourceError: there is no room.
    """
    try:
        folder.mkdir(parents=True)
        write_all_but_weights(folder, model.classifier, model.tokenizer, model.signature)
        torch.save(model.classifier.state_dict(), folder / _WEIGHTS)
    except (OSError, RuntimeError) as error:  # the latter of torch's own writer, which gives no reason
        raise ResourceError(
            f"{folder}: the weights cannot be laid out there for several processes",
            hint="free some space, or name another folder: TMPDIR",
        ) from error


def load_mapped(folder: Path) -> LoadedModel:
    """Loads what `lay_out` wrote; its weights are read where they lie in the file, which all processes share.

    Whoever changed a parameter would change a copy of its own.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    signature = ModelSignature.read(folder)
    classifier, _ = undrawn_model(read_config(folder / "config.json"), signature.num_outputs, pooling=signature.pooling)
    try:
        weights = torch.load(folder / _WEIGHTS, mmap=True, weights_only=True)
        classifier.load_state_dict(weights, assign=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{folder / _WEIGHTS}: cannot be read ({type(error).__name__})") from error
    return LoadedModel(classifier.eval(), read_tokenizer(folder), signature)
