"""Low-rank adapters of an encoder's layers, trained in the place of its weights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bertune.checkpoints.receipt import Receipt, TensorRecord
from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.models.encoder_config import EncoderConfig
from bertune.nn.dense import Dense
from bertune.nn.lora import LoraSizes, LowRankUpdate
from bertune.training.config import TrainingConfig

_ALPHA_BY_RANK = 2.0


def lora_sizes(config: TrainingConfig) -> LoraSizes | None:
    """Returns the sizes of a run's adapters; None where it has none."""
    if config.lora is None:
        return None
    return LoraSizes(config.lora, _ALPHA_BY_RANK * config.lora if config.lora_alpha is None else config.lora_alpha)


def check_lora(config: TrainingConfig, sizes: EncoderConfig) -> None:
    """Refuses adapters that an encoder cannot have.

    Raises:
        ConfigError: names the numbers.
    """
    if config.lora is None:
        return
    least = min(sizes.hidden_size, sizes.intermediate_size)
    if config.lora > least:
        raise ConfigError(f"lora ({config.lora}) exceeds {least}, the smallest dimension of the encoder's matrices")
    if config.reinit_layers:
        raise ConfigError("lora does not train the weights of layers, and reinit_layers makes new ones: leave one out")
    if config.freeze is not None and config.freeze >= sizes.num_hidden_layers:
        raise ConfigError(
            f"freeze ({config.freeze}) leaves no layer to lora: the encoder has {sizes.num_hidden_layers}"
        )


def with_adapters(receipt: Receipt, classifier: Classifier, config: TrainingConfig) -> Receipt:
    """Returns a receipt that has the adapters of a run too, which are new."""
    sizes = lora_sizes(config)
    if sizes is None:
        return receipt
    records = []
    for name, weight in adapted_weights(classifier).items():
        if classifier.encoder.lies_below(name, config.frozen_layers or 0):
            continue
        blocks, (outputs, inputs) = len(classifier.encoder.family.names.stored_names(name)), weight.shape
        shapes = {"lora_a": (blocks, sizes.rank, inputs), "lora_b": (blocks, outputs // blocks, sizes.rank)}
        records += [
            TensorRecord(f"{name}.{kind}", "new", shape, "float32", reason="an adapter, merged when saved")
            for kind, shape in shapes.items()
        ]
    return replace(receipt, records=(*receipt.records, *records))


class Adapters(nn.Module):
    """Adapters of all dense layers of attention and feed-forward, above the frozen layers.

    Args:
        classifier: whose weights follow the adapters.
        sizes: of each.
        first_layer: the lowest that has some, from 0.
        seed: of the draws.
        start: of a run that is resumed, the weights that it began with, by their names in the encoder; None where the
            classifier has them still.
    """

    def __init__(
        self,
        classifier: Classifier,
        sizes: LoraSizes,
        *,
        first_layer: int,
        seed: int,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self._classifier = [classifier]  # in a list, since it is no part of this module
        encoder, generator = classifier.encoder, torch.Generator().manual_seed(seed)
        self.updates: dict[str, LowRankUpdate] = {}
        for name, weight in adapted_weights(classifier).items():
            if not encoder.lies_below(name, first_layer):
                self.updates[name] = LowRankUpdate(
                    weight,
                    sizes,
                    blocks=len(encoder.family.names.stored_names(name)),
                    generator=generator,
                    start=None if start is None else start[name],
                )

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Gives what trains: the adapters, and of the classifier what stands above the layers."""
        for name, update in self.updates.items():
            yield f"encoder.{name}.lora_a", update.a
            yield f"encoder.{name}.lora_b", update.b
        adapted = {f"encoder.{name}" for name in self.updates}
        for name, parameter in self._classifier[0].named_parameters():
            if parameter.requires_grad and name not in adapted:
                yield name, parameter

    def modules(self, *_: Any, **__: Any) -> Iterator[nn.Module]:
        """Gives the classifier's: which of them are norms decides what decays."""
        yield from self._classifier[0].modules()

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """Returns the adapters alone, by their names."""
        return {name: each for name, each in self.named_parameters() if name.endswith((".lora_a", ".lora_b"))}

    def take_gradients(self, gradient_of: Callable[[str], Tensor]) -> None:
        """Sets the adapters' gradients.

        Args:
            gradient_of: returns that of a weight, by its name in the encoder.
        """
        for name, update in self.updates.items():
            update.take_gradient(gradient_of(name))

    def apply_updates(self) -> None:
        """Brings the classifier's weights up to what the adapters are."""
        for update in self.updates.values():
            update.apply_update()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the adapters' values from among others, and brings the weights up to them."""
        for name, parameter in self.own_parameters().items():
            parameter.detach().copy_(tensors[name])
        self.apply_updates()


def adapted_weights(classifier: Classifier) -> dict[str, Tensor]:
    """Returns the weights of the layers that adapters may be added to, by their names in the encoder."""
    modules = classifier.encoder.named_modules()
    return {
        f"{name}.weight": module.weight
        for name, module in modules
        if isinstance(module, Dense) and name.startswith("layers.")
    }


@contextmanager
def adapters_only(classifier: Classifier, *, is_on: bool) -> Iterator[None]:
    """Marks as trained what adapters follow from, and what stands above the layers; lets train afterwards what did.

    Args:
        classifier: whose parameters are marked.
        is_on: whether there are adapters; else nothing is done.
    """
    encoder = classifier.encoder
    layers = encoder.config.num_hidden_layers
    adapted = adapted_weights(classifier)
    marked = {
        parameter: parameter.requires_grad
        for name, parameter in encoder.named_parameters()
        if is_on and encoder.lies_below(name, layers) and name not in adapted
    }
    for parameter in marked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, trains in marked.items():
            parameter.requires_grad_(trains)
