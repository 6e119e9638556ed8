"""Which encoders the compiled kernels compute; every other one is computed by its modules."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from bertune.kernels.build import NoKernelsError
from bertune.kernels.interface import ACTIVATION_CODES, COLUMN_MULTIPLE, HEAD_MULTIPLE, MAX_HIDDEN
from bertune.kernels.layer_kinds import CLASSES, kind_of
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.nn.dense import Dense, Table
from bertune.nn.dropout import Dropout
from bertune.nn.embeddings import Embeddings
from bertune.nn.feed_forward import ACTIVATIONS, FeedForward
from bertune.nn.gated_feed_forward import GatedFeedForward
from bertune.nn.layer import TransformerLayer
from bertune.nn.norm import Norm
from bertune.nn.pooling import Pooler
from bertune.nn.pre_norm_layer import PreNormLayer
from bertune.nn.relative_positions import RelativePositions

Shapes = Iterator[tuple[str, tuple[int, ...]]]
# What torch keeps a module's or a parameter's hooks in.
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_post_accumulate_grad_hooks",
)


def check_computable(encoder: Encoder) -> None:
    """Refuses an encoder that the kernels would compute otherwise than its modules do.

    The kernels read parameters by address, so that shapes other than the configuration's would be read out of bounds;
    and they call no module, so that hooks and modules put in the place of others (adapters) would be passed over.

    Raises:
        NoKernelsError: says what is in the way.
    """
    if reason := encoder.family.why_not_kernels:
        raise NoKernelsError(reason)
    _check_sizes(encoder.config)
    if not len(encoder.layers):
        raise NoKernelsError("the encoder has no layer")
    for name, module in encoder.named_modules():
        if type(module) not in _KNOWN:
            raise NoKernelsError(f"the encoder's {name or 'class'} is a {type(module).__name__}")
        _check_hooks(name or "encoder", module)
    for name, parameter in encoder.named_parameters():
        if parameter.device.type != "cpu" or parameter.dtype != torch.float32 or not parameter.is_contiguous():
            raise NoKernelsError("the encoder's parameters are not all float32 in the processor's memory")
        _check_hooks(name, parameter)
    _check_layers(encoder)
    _check_shapes(encoder)


def _check_sizes(config: EncoderConfig) -> None:
    for name, size, multiple in (
        ("hidden_size", config.hidden_size, COLUMN_MULTIPLE),
        ("embedding_size", config.embedding_size, COLUMN_MULTIPLE),
        ("intermediate_size", config.intermediate_size, COLUMN_MULTIPLE),
        ("the size of a head", config.hidden_size // config.num_attention_heads, HEAD_MULTIPLE),
    ):
        if size % multiple:
            raise NoKernelsError(f"{name} ({size}) is no multiple of {multiple}")
    if config.hidden_act not in ACTIVATION_CODES:
        raise NoKernelsError(f"hidden_act {config.hidden_act} has no kernel")
    for name, size in (("hidden_size", config.hidden_size), ("embedding_size", config.embedding_size)):
        if size > MAX_HIDDEN:
            raise NoKernelsError(f"{name} ({size}) is above {MAX_HIDDEN}")


def has_hooks(of: nn.Module | nn.Parameter) -> bool:
    """Returns whether someone's own code is called when a module or the gradient of a parameter is computed."""
    return any(getattr(of, kind, None) for kind in _HOOKS)


def _check_hooks(name: str, of: nn.Module | nn.Parameter) -> None:
    if has_hooks(of):
        raise NoKernelsError(f"the encoder's {name} has a hook")


def _check_shapes(encoder: Encoder) -> None:
    found = {name: tuple(parameter.shape) for name, parameter in encoder.named_parameters(remove_duplicate=False)}
    if len(found) != sum(1 for _ in encoder.parameters()):
        raise NoKernelsError("the encoder uses a parameter in two places")
    for name, shape in _expected_shapes(encoder):
        if found.get(name) != shape:
            raise NoKernelsError(f"the encoder's {name} has not the shape of its configuration")


def _check_layers(encoder: Encoder) -> None:
    config, kind = encoder.config, type(encoder.layers[0])
    for index, layer in enumerate(encoder.layers):
        kind_of(encoder, layer)
        if type(layer) is not kind:
            raise NoKernelsError(f"the encoder's layers.{index} is a {type(layer).__name__}")
        attention, feed_forward = layer.get_submodule("attention"), layer.get_submodule("feed_forward")
        if type(feed_forward) is not _PARTS_OF[kind].feed_forward:
            raise NoKernelsError(f"the encoder's layers.{index}.feed_forward is a {type(feed_forward).__name__}")
        if feed_forward.activation is not ACTIVATIONS[config.hidden_act]:
            raise NoKernelsError("the encoder's activation is not that of its configuration")
        if attention.num_heads != config.num_attention_heads:
            raise NoKernelsError("the encoder's heads are not as many as in its configuration")


def _expected_shapes(encoder: Encoder) -> Shapes:
    yield from _shapes_of_embeddings(encoder)
    if encoder.final_norm is not None:
        yield from _shapes_of_norm(encoder, "final_norm", encoder.config.hidden_size)
    yield from kind_of(encoder, encoder.layers[0]).expected_shapes(encoder)
    for index, layer in enumerate(encoder.layers):
        for name, shape in _PARTS_OF[type(layer)].shapes(encoder.config, layer):
            yield f"layers.{index}.{name}", shape


def _shapes_of_embeddings(encoder: Encoder) -> Shapes:
    config, e, table = encoder.config, encoder.embeddings, encoder.input_embeddings
    width = config.hidden_size if e.projection is None else config.embedding_size
    is_compact = isinstance(table, Table) and table.row_of is not None
    yield "embeddings.token.weight", (len(table.weight) if is_compact else config.vocab_size, width)
    if e.position is not None:
        yield "embeddings.position.weight", (config.max_position_embeddings, width)
    if e.token_type is not None:
        yield "embeddings.token_type.weight", (config.type_vocab_size, width)
    yield from _shapes_of_norm(encoder, "embeddings.norm", width)
    if e.projection is not None:
        yield "embeddings.projection.weight", (config.hidden_size, width)
        yield "embeddings.projection.bias", (config.hidden_size,)


def _shapes_of_transformer_layer(config: EncoderConfig, _layer: nn.Module) -> Shapes:
    h, n = config.hidden_size, config.intermediate_size
    for part, outputs, inputs in (
        ("attention.qkv", 3 * h, h),
        ("attention.output", h, h),
        ("feed_forward.intermediate", n, h),
        ("feed_forward.output", h, n),
    ):
        yield f"{part}.weight", (outputs, inputs)
        yield f"{part}.bias", (outputs,)
    for norm in ("attention_norm", "output_norm"):
        yield f"{norm}.weight", (h,)
        yield f"{norm}.bias", (h,)


def _shapes_of_pre_norm_layer(config: EncoderConfig, layer: nn.Module) -> Shapes:
    """Gives those of the biases that there are."""
    h, n = config.hidden_size, config.intermediate_size
    for part, outputs, inputs in (
        ("attention.qkv", 3 * h, h),
        ("attention.output", h, h),
        ("feed_forward.input_and_gate", 2 * n, h),
        ("feed_forward.output", h, n),
    ):
        yield f"{part}.weight", (outputs, inputs)
        if layer.get_submodule(part).bias is not None:
            yield f"{part}.bias", (outputs,)
    assert isinstance(layer, PreNormLayer)
    for norm in (*(() if layer.attention_norm is None else ("attention_norm",)), "feed_forward_norm"):
        yield from _shapes_of_norm(layer, norm, h)


def _shapes_of_norm(within: nn.Module, norm: str, size: int) -> Shapes:
    yield f"{norm}.weight", (size,)
    if within.get_submodule(norm).bias is not None:
        yield f"{norm}.bias", (size,)


class _Parts(NamedTuple):
    """What a kind of layer that the kernels compute is made of, beside its attention.

    Args:
        feed_forward: its class.
        shapes: gives the shapes of a layer's parameters, by their names in it.
    """

    feed_forward: type[nn.Module]
    shapes: Callable[[EncoderConfig, nn.Module], Shapes]


_PARTS_OF: dict[type[nn.Module], _Parts] = {
    TransformerLayer: _Parts(FeedForward, _shapes_of_transformer_layer),
    PreNormLayer: _Parts(GatedFeedForward, _shapes_of_pre_norm_layer),
}
_KNOWN = frozenset(
    {
        *(Encoder, Embeddings, Pooler, Dense, Dropout, Norm, Table, nn.Embedding, nn.LayerNorm, nn.ModuleList),
        *(RelativePositions, *CLASSES),
        *(part.feed_forward for part in _PARTS_OF.values()),
    }
)
