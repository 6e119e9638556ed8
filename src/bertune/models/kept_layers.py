"""A shallower encoder of some layers of another: its own layers in their order, with everything around them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from bertune.errors import ConfigError
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig

_LAYER: Final = re.compile(r"^layers\.(\d+)\.")
_KINDS: Final = "layer_types"


def cut_config(config: EncoderConfig, kept: Sequence[int]) -> EncoderConfig:
    """Returns the sizes of an encoder that has some of the layers alone.

    Args:
        config: of the whole encoder.
        kept: numbers of the layers, from 0 and upwards.

    Raises:
        ConfigError: the layers share their weights.
    """
    if config.num_stored_layers != config.num_hidden_layers:
        raise ConfigError(
            f"--keep-layers: the {config.num_hidden_layers} layers of this encoder share one set of weights, so there "
            "are none to leave out",
            hint="take an encoder whose layers have weights of their own, such as BERT or RoBERTa",
        )
    changes: dict[str, Any] = {"num_hidden_layers": len(kept)}
    if hasattr(config, _KINDS):  # which layers attend to the whole text: each stays what it was
        changes[_KINDS] = tuple(getattr(config, _KINDS)[number] for number in kept)
    return replace(config, **changes)


def kept_name(name: str, kept: Sequence[int]) -> str | None:
    """Returns what a parameter is called in the shallower encoder; None for one of a layer that is left out."""
    found = _LAYER.match(name)
    if found is None:
        return name
    number = int(found[1])
    return f"layers.{kept.index(number)}.{name[found.end() :]}" if number in kept else None


def copy_kept(whole: Encoder, shallow: Encoder, kept: Sequence[int]) -> None:
    """Gives a shallower encoder the weights of the layers it keeps, and of all that is not in a layer.

    Args:
        whole: the encoder that is cut.
        shallow: of the sizes that `cut_config` gives.
        kept: numbers of the layers.

    Raises:
        ConfigError: a layer cannot stand in the place that it would have.
    """
    given = {
        own: parameter for name, parameter in whole.named_parameters() if (own := kept_name(name, kept)) is not None
    }
    wanted = dict(shallow.named_parameters())
    if missing := sorted(wanted.keys() ^ given.keys()):
        found = _LAYER.match(missing[0])
        place = 0 if found is None else int(found[1])
        raise ConfigError(
            f"--keep-layers {','.join(map(str, kept))}: layer {kept[place]} cannot be layer {place}, since these have "
            f"other parts ({missing[0]})",
            hint="the first layer of this family is not like the others: keep layer 0",
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])
