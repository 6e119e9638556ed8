"""Which plan computes which kind of layer."""

from collections.abc import Callable, Iterable, Iterator
from types import NoneType
from typing import Final, NamedTuple

from torch import nn

from bertune.kernels import biased_layer, disentangled_layer
from bertune.kernels.biased_layer import BiasedLayerPlan
from bertune.kernels.build import NoKernelsError
from bertune.kernels.calls import Shape
from bertune.kernels.disentangled_layer import DisentangledLayerPlan
from bertune.kernels.encoder_layer import LayerPlan
from bertune.kernels.first_only_layer import FirstOnlyLayerPlan
from bertune.kernels.layer_calls import LayerCalls
from bertune.kernels.pre_norm_plan import FirstOnlyPreNormLayerPlan, PreNormLayerPlan
from bertune.kernels.workspace import Workspace
from bertune.models.encoder import Encoder
from bertune.nn.attention import SelfAttention
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.layer import TransformerLayer
from bertune.nn.pre_norm_layer import PreNormLayer
from bertune.nn.relative_bias import RelativeBias
from bertune.nn.rotary_attention import RotaryAttention

Shapes = Iterable[tuple[str, tuple[int, ...]]]


class LayerKind(NamedTuple):
    """What computes a kind of layer.

    Args:
        plan: of all tokens.
        first_only: of a last layer of which only the first token of each sequence is wanted.
        expected_shapes: returns the shapes of the parameters that an encoder of such layers has beside BERT's; raises
            `NoKernelsError` for what is not computed.
    """

    plan: Callable[..., LayerCalls]
    first_only: Callable[..., LayerCalls]
    expected_shapes: Callable[[Encoder], Shapes] = lambda _encoder: ()


# By the classes of a layer, of its attention, and of what the encoder adds to the scores of all layers.
_KINDS: Final[dict[tuple[type, ...], LayerKind]] = {
    (TransformerLayer, SelfAttention, NoneType): LayerKind(LayerPlan, FirstOnlyLayerPlan),
    (TransformerLayer, SelfAttention, RelativeBias): LayerKind(
        BiasedLayerPlan, BiasedLayerPlan, biased_layer.expected_shapes
    ),
    (TransformerLayer, DisentangledSelfAttention, NoneType): LayerKind(
        DisentangledLayerPlan, DisentangledLayerPlan, disentangled_layer.expected_shapes
    ),
    (PreNormLayer, RotaryAttention, NoneType): LayerKind(PreNormLayerPlan, FirstOnlyPreNormLayerPlan),
}
#: All of these classes.
CLASSES: Final = frozenset(each for key in _KINDS for each in key if each is not NoneType)


def kind_of(encoder: Encoder, layer: nn.Module) -> LayerKind:
    """Returns the kind of an encoder's layer.

    Raises:
        NoKernelsError: no plan computes it.
    """
    attention = getattr(layer, "attention", None)
    kind = _KINDS.get((type(layer), type(attention), type(encoder.relative)))
    if kind is None:
        raise NoKernelsError(f"there is no kernel for a {type(layer).__name__} with a {type(attention).__name__}")
    return kind


def plans_of_layers(workspace: Workspace, shape: Shape) -> Iterator[LayerCalls]:
    """Yields a plan for each layer that is computed here, in the order they compute."""
    layers = workspace.encoder.layers_in_order
    for index, layer in list(enumerate(layers))[workspace.first_layer :]:
        kind = kind_of(workspace.encoder, layer)
        plan = kind.first_only if shape.first_only and index + 1 == len(layers) else kind.plan
        yield plan(workspace, layer, index, shape)
