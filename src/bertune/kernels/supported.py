"""Which encoders the compiled kernels compute; every other one is computed by its modules."""

from collections.abc import Iterator

import torch
from torch import nn

from bertune.kernels.build import NoKernelsError
from bertune.kernels.interface import ACTIVATION_CODES, COLUMN_MULTIPLE, HEAD_MULTIPLE, MAX_HIDDEN
from bertune.kernels.layer_kinds import kind_of
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.nn.attention import SelfAttention
from bertune.nn.dense import Dense, Table
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.dropout import Dropout
from bertune.nn.embeddings import Embeddings
from bertune.nn.feed_forward import ACTIVATIONS, FeedForward
from bertune.nn.layer import TransformerLayer
from bertune.nn.norm import Norm
from bertune.nn.pooling import Pooler
from bertune.nn.relative_bias import RelativeBias
from bertune.nn.relative_positions import RelativePositions

_KNOWN = frozenset(
    {
        *(Encoder, Embeddings, TransformerLayer, SelfAttention, FeedForward, Pooler, Dense, Dropout, Norm),
        *(DisentangledSelfAttention, RelativePositions, RelativeBias),
        *(Table, nn.Embedding, nn.LayerNorm, nn.ModuleList),
    }
)
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
    for name, module in encoder.named_modules():
        if type(module) not in _KNOWN:
            raise NoKernelsError(f"the encoder's {name or 'class'} is a {type(module).__name__}")
        _check_hooks(name or "encoder", module)
    for name, parameter in encoder.named_parameters():
        if parameter.device.type != "cpu" or parameter.dtype != torch.float32 or not parameter.is_contiguous():
            raise NoKernelsError("the encoder's parameters are not all float32 in the processor's memory")
        _check_hooks(name, parameter)
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
    activation = ACTIVATIONS[encoder.config.hidden_act]
    for layer in encoder.layers:
        kind_of(encoder, layer)
        assert isinstance(layer, TransformerLayer)
        if layer.feed_forward.activation is not activation:
            raise NoKernelsError("the encoder's activation is not that of its configuration")
        if layer.attention.num_heads != encoder.config.num_attention_heads:
            raise NoKernelsError("the encoder's heads are not as many as in its configuration")


def _expected_shapes(encoder: Encoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    h, n = encoder.config.hidden_size, encoder.config.intermediate_size
    if not len(encoder.layers):
        raise NoKernelsError("the encoder has no layer")
    yield from _shapes_of_embeddings(encoder)
    yield from kind_of(encoder, encoder.layers[0]).expected_shapes(encoder)
    norms = []
    for index in range(len(encoder.layers)):
        layer = f"layers.{index}"
        norms += [f"{layer}.attention_norm", f"{layer}.output_norm"]
        for part, outputs, inputs in (
            ("attention.qkv", 3 * h, h),
            ("attention.output", h, h),
            ("feed_forward.intermediate", n, h),
            ("feed_forward.output", h, n),
        ):
            yield f"{layer}.{part}.weight", (outputs, inputs)
            yield f"{layer}.{part}.bias", (outputs,)
    for norm in norms:
        yield f"{norm}.weight", (h,)
        yield f"{norm}.bias", (h,)


def _shapes_of_embeddings(encoder: Encoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    config, e, table = encoder.config, encoder.embeddings, encoder.input_embeddings
    width = config.hidden_size if e.projection is None else config.embedding_size
    is_compact = isinstance(table, Table) and table.row_of is not None
    yield "embeddings.token.weight", (len(table.weight) if is_compact else config.vocab_size, width)
    if e.position is not None:
        yield "embeddings.position.weight", (config.max_position_embeddings, width)
    if e.token_type is not None:
        yield "embeddings.token_type.weight", (config.type_vocab_size, width)
    for kind in ("weight", "bias"):
        yield f"embeddings.norm.{kind}", (width,)
    if e.projection is not None:
        yield "embeddings.projection.weight", (config.hidden_size, width)
        yield "embeddings.projection.bias", (config.hidden_size,)
