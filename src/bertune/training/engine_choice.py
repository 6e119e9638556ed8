"""Which engine computes a training."""

import torch

from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import require_kernels
from bertune.models.classifier import Classifier
from bertune.nn.varlen_attention import attention_kernel
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.adapters import Adapters
from bertune.training.engine import Engine, NativeEngine, TorchEngine
from bertune.training.frozen_layers import FrozenLayers


def engine_for(
    classifier: Classifier,
    optimizer: ScheduledAdam | GivenOptimizer,
    *,
    in_parts: bool = False,
    group: ProcessGroup = ALONE,
    frozen: FrozenLayers | None = None,
    adapters: Adapters | None = None,
) -> Engine:
    """Chooses what computes; the encoder's `compute_dtype` is the type of the layers.

    Args:
        classifier: trained in place.
        optimizer: takes the steps.
        in_parts: whether batches are computed in parts whose gradients add up.
        group: of the processes that compute a part of each batch.
        frozen: computes what lies below the layers that train; None where all do.
        adapters: that train in the place of the encoder's weights; None where there are none.
    """
    engine = _engine_for(classifier, optimizer, in_parts=in_parts, group=group, frozen=frozen, adapters=adapters)
    engine.adapters = adapters
    return engine


def _engine_for(
    classifier: Classifier,
    optimizer: ScheduledAdam | GivenOptimizer,
    *,
    in_parts: bool,
    group: ProcessGroup,
    frozen: FrozenLayers | None,
    adapters: Adapters | None,
) -> Engine:
    device = classifier.device
    if device.type != "cpu":
        return TorchEngine(classifier, optimizer, name=_on_device(classifier, device), group=group, frozen=frozen)
    try:
        if frozen is None or not frozen.is_all:
            if adapters is None:
                _check_all_train(classifier, optimizer, frozen)
            return NativeEngine(classifier, optimizer, in_parts=in_parts, group=group, frozen=frozen)
        # What is above the layers is torch's in any case.
        require_kernels(classifier.encoder, classifier.encoder.compute_dtype)
        return TorchEngine(classifier, optimizer, name="compiled kernels", group=group, frozen=frozen)
    except NoKernelsError as reason:
        return TorchEngine(classifier, optimizer, name=f"torch operators: {reason}", group=group, frozen=frozen)


def _on_device(classifier: Classifier, device: torch.device) -> str:
    """Says which device computes, and by which attention; why not by a better one."""
    encoder = classifier.encoder
    size = encoder.config.hidden_size // encoder.config.num_attention_heads
    if encoder.relative is not None:
        return f"{device.type}, plain attention (a relative bias is added to its scores)"
    kernel = attention_kernel(device, encoder.compute_dtype, size)
    how = {"varlen": "variable-length flash", "padded": "padded", "plain": "plain"}[kernel.name] + " attention"
    return f"{device.type}, {how}" + (f" ({kernel.reason})" if kernel.reason else "")


def _check_all_train(
    classifier: Classifier, optimizer: ScheduledAdam | GivenOptimizer, frozen: FrozenLayers | None
) -> None:
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    unused = () if classifier.uses_pooler or classifier.encoder.pooler is None else ("pooler.",)
    for name, parameter in classifier.encoder.named_parameters():
        if frozen is not None and classifier.encoder.lies_below(name, frozen.count):
            continue
        if not name.startswith(unused) and not (parameter.requires_grad and id(parameter) in known):
            raise NoKernelsError(f"the encoder's {name} is not trained")
