"""Parameter groups for weight decay: matrices and embeddings decay, norms and biases never do."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from bertune.errors import ConfigError

_NORM_MODULES = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._NormBase,
)
# The original's three patterns, then our own names (`norm`, `attention_norm`, `output_norm`).
_NEVER_DECAYS = re.compile(r"LayerNorm|layer_norm|bias|(?:^|[._])norm\.")


def decay_groups(
    model: nn.Module,
    weight_decay_rate: float,
    *,
    include_in_weight_decay: Sequence[str] = (),
    exclude_from_weight_decay: Sequence[str] = (),
    rate_scale_of: Callable[[str], float] | None = None,
) -> list[dict[str, Any]]:
    """Splits the trainable parameters of a model into those that decay and those that do not.

    A parameter does not decay if its name says norm or bias, or if it belongs to a norm module, whatever that is
    called. Everything else with two or more dimensions decays: linear and embedding weights. A vector that is known
    neither by name nor by module is not guessed at.

    Args:
        model: any module. Frozen parameters are left out; a parameter used in two places counts once.
        weight_decay_rate: of those that decay.
        include_in_weight_decay: regular expressions; a parameter whose name one of them finds decays. Goes before
            everything else, as in the original.
        exclude_from_weight_decay: regular expressions; a parameter whose name one of them finds does not decay.
        rate_scale_of: tells of a parameter's name what its learning rate is multiplied by; None trains all at one rate.

    Returns:
        Two groups for an optimizer, each with "params" as (name, parameter) pairs in the model's order and its
        "weight_decay_rate". A group without parameters is left out. With `rate_scale_of` each of the two is divided
        further, by "rate_scale".

    Raises:
        ConfigError: nothing is trainable, a vector of unknown kind, or a pattern that finds nothing.

    Example:
        >>> decaying, others = bertune.decay_groups(classifier, weight_decay_rate=0.01)
        >>> decaying["weight_decay_rate"], others["weight_decay_rate"]
        (0.01, 0.0)
        >>> optimizer = bertune.AdamWeightDecay([decaying, others], learning_rate=2e-5)
    """
    _require_matches(model, [*include_in_weight_decay, *exclude_from_weight_decay])
    of_norms = set(_parameters_of_norms(model))
    decays: list[tuple[str, nn.Parameter]] = []
    stays: list[tuple[str, nn.Parameter]] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if _finds(include_in_weight_decay, name):
            decays.append((name, parameter))
        elif _finds(exclude_from_weight_decay, name) or _NEVER_DECAYS.search(name) or id(parameter) in of_norms:
            stays.append((name, parameter))
        elif parameter.dim() >= 2:
            decays.append((name, parameter))
        else:
            raise ConfigError(
                f"cannot tell whether {name} {tuple(parameter.shape)} decays: neither a matrix, nor a norm, nor a bias",
                hint="name it in include_in_weight_decay or in exclude_from_weight_decay",
            )
    if not decays and not stays:
        raise ConfigError("the model has no trainable parameter", hint="set requires_grad on what is to be trained")
    groups = ((decays, weight_decay_rate), (stays, 0.0))
    if rate_scale_of is None:
        return [{"params": params, "weight_decay_rate": rate} for params, rate in groups if params]
    return [
        {"params": alike, "weight_decay_rate": rate, "rate_scale": scale}
        for params, rate in groups
        for scale, alike in _by_scale(params, rate_scale_of).items()
    ]


def _by_scale(
    params: Sequence[tuple[str, nn.Parameter]], rate_scale_of: Callable[[str], float]
) -> dict[float, list[tuple[str, nn.Parameter]]]:
    alike: dict[float, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in params:
        alike.setdefault(rate_scale_of(name), []).append((name, parameter))
    return alike


def _parameters_of_norms(model: nn.Module) -> Iterator[int]:
    for module in model.modules():
        if isinstance(module, _NORM_MODULES):
            yield from (id(parameter) for parameter in module.parameters())


def _finds(patterns: Sequence[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _require_matches(model: nn.Module, patterns: Sequence[str]) -> None:
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            raise ConfigError(f"no parameter's name matches the weight-decay pattern {pattern!r}")
