"""Where a model computes."""

from typing import TYPE_CHECKING, Literal

from bertune.errors import ConfigError

# The command line's help reads the names below and must not wait for torch.
if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: DeviceName) -> "torch.device":
    """Returns the device to compute on.

    Args:
        wanted: `auto` takes the GPU where torch finds one.

    Raises:
        ConfigError: an unknown name, or `cuda` where torch finds no GPU.
    """
    import torch

    if wanted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, not {wanted!r}")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        without = "was built without CUDA" if torch.version.cuda is None else "finds no GPU"
        raise ConfigError(f"device cuda: torch {torch.__version__} {without}", hint="use --device cpu")
    return torch.device("cuda", torch.cuda.current_device())
