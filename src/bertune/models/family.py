"""What sets one family of encoders apart from the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bertune.models.encoder_config import EncoderConfig, Pooling
from bertune.models.names import NameTable

# A configuration is read where torch is not wanted: the parts are imported when a model is built of them.
if TYPE_CHECKING:
    from bertune.nn.embeddings import Embeddings
    from bertune.nn.layer import TransformerLayer
    from bertune.nn.norm import Norm
    from bertune.nn.pooling import Pooler
    from bertune.nn.pre_norm_layer import PreNormLayer
    from bertune.nn.relative_bias import RelativeBias
    from bertune.nn.relative_positions import RelativePositions

ConfigT = TypeVar("ConfigT", bound=EncoderConfig)


@dataclass(frozen=True)
class Family(Generic[ConfigT]):
    """The parts list of a family, and its names in files.

    Args:
        name: for messages.
        model_types: values of `model_type` in `config.json`; the first is written.
        mean_pooling_type: written instead for a classifier with mean pooling where transformers does not know it: under
            a name of its own it refuses the folder, and does not load it with other arithmetic. Empty for a family
            with a `pooling_key`.
        config: the class of its sizes.
        embeddings: from ids to the hidden states that the first layer takes.
        layer: a layer, by its number.
        pooler: from the first token's hidden state to what the last dense layer of a classifier takes. Where `names`
            has its parameters, pretrained checkpoints bring it; else it is a part of the head, named in `head_names`.
        names: the encoder's parameters in transformers' files, without `prefix`.
        prefix: what stands before them in a model with a head.
        head_names: the parameters of a classifier that `names` does not have.
        architecture: transformers' class of such a classifier.
        fixed_keys: of `config.json`, beside the sizes.
        unused: tensors that a checkpoint may hold and a classifier does not want: a pattern of their names, and the
            reason for the receipt.
        relative: what adds to the scores of every layer's attention by how far two tokens lie apart; None for nothing.
        pooling_key: of `config.json`, says how transformers' class of the family pools; the pooler then takes either
            pooling's vector. Empty where that class knows the first token alone.
        final_norm: behind the last layer, where a family has one.
        head_is_pretrained: whether a checkpoint may bring the pooler although it is a part of the head: in
            pre-training it stands before the prediction of tokens.
        why_not_kernels: why the compiled kernels do not compute this family; empty where they do.
        relative_positions: the vectors of distances that all layers share; None for a family without.
    """

    name: str
    model_types: tuple[str, ...]
    mean_pooling_type: str
    config: type[ConfigT]
    embeddings: "Callable[[ConfigT], Embeddings]"
    layer: "Callable[[ConfigT, int], TransformerLayer | PreNormLayer]"
    pooler: "Callable[[ConfigT], Pooler]"
    names: NameTable
    prefix: str
    head_names: NameTable
    architecture: str
    fixed_keys: Mapping[str, str | int]
    unused: tuple[tuple[str, str], ...]
    relative: "Callable[[ConfigT], RelativeBias] | None" = None
    pooling_key: str = ""
    final_norm: "Callable[[ConfigT], Norm] | None" = None
    head_is_pretrained: bool = False
    why_not_kernels: str = ""

    @property
    def type_names(self) -> tuple[str, ...]:
        """All values of `model_type` that are the family's."""
        return (*self.model_types, self.mean_pooling_type) if self.mean_pooling_type else self.model_types

    def knows_pooling(self, pooling: Pooling) -> bool:
        """Whether transformers' class of the family computes a pooling, and the pooler takes what it gives."""
        return pooling == "cls" or bool(self.pooling_key)

    relative_positions: "Callable[[ConfigT], RelativePositions] | None" = None
