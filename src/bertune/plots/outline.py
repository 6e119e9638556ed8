"""Outline of a model: its blocks with shapes and parameter counts, taken from the modules themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.nn.attention import SelfAttention
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.layer import TransformerLayer
from bertune.nn.pooling import Pooler
from bertune.nn.pre_norm_layer import PreNormLayer
from bertune.nn.rotary_attention import RotaryAttention

TIMES = "\N{MULTIPLICATION SIGN}"

BlockKind = Literal["embedding", "norm", "attention", "feed_forward", "pooling", "head", "unused"]


@dataclass(frozen=True)
class Block:
    """One box.

    Args:
        path: the module's name in the encoder (the head's in the classifier), for a layer's blocks in their layer.
        kind: gives the colour; `unused` is drawn dashed and linked to nothing.
        name: what it is.
        detail: what it does, with its sizes.
        parameters: how many numbers it learns. A parameter that two blocks share counts in the first alone.
        frozen: how many of them do not train.
        output: the shape of what it gives, in words and numbers.
    """

    path: str
    kind: BlockKind
    name: str
    detail: str
    parameters: int
    frozen: int
    output: str


@dataclass(frozen=True)
class LayerRun:
    """Layers one after another that are alike, drawn once.

    Args:
        first: index of the first of them.
        count: how many.
        steps: of one layer, top to bottom: the blocks of each residual step, in whose last the residual is added.
    """

    first: int
    count: int
    steps: tuple[tuple[Block, ...], ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Of one layer, top to bottom."""
        return tuple(block for step in self.steps for block in step)

    @property
    def parameters(self) -> int:
        """Of one layer."""
        return sum(block.parameters for block in self.blocks)


@dataclass(frozen=True)
class Outline:
    """A model, top to bottom.

    Args:
        title: the class.
        tables: the embedding tables, side by side.
        embedding_ends: what follows on their sum: a norm, and a dense layer where they are narrower than the layers.
        layers: the transformer layers.
        hidden: what the last layer gives, for the arrow that leaves it.
        shared: what the attention of every layer reads, the table of distances.
        ends: blocks after the layers.
        unused: blocks that hold parameters and compute nothing.
        parameters: of the model, the sum over all blocks (a run of layers counts each of its layers).
        frozen: how many of them do not train.
        num_bytes: what all parameters take.
        kinds: their types, for instance float32.
    """

    title: str
    tables: tuple[Block, ...]
    embedding_ends: tuple[Block, ...]
    layers: tuple[LayerRun, ...]
    hidden: str
    shared: tuple[Block, ...]
    ends: tuple[Block, ...]
    unused: tuple[Block, ...]
    parameters: int
    frozen: int
    num_bytes: int
    kinds: tuple[str, ...]


def outline_of(model: Encoder | Classifier) -> Outline:
    """Lists the blocks of a model.

    Raises:
        ConfigError: it is neither an encoder nor a classifier.
    """
    if not isinstance(model, Encoder | Classifier):
        raise ConfigError(
            f"plot_model draws an Encoder or a Classifier, not {type(model).__name__}",
            hint="of a loaded model take model.classifier",
        )
    encoder = model if isinstance(model, Encoder) else model.encoder
    tally = _Tally()
    tables, embedding_ends = _embedding_blocks(encoder, tally)
    shared = tuple(_shared_blocks(encoder, tally))
    layers = tuple(_runs(_steps(layer, encoder, tally) for layer in encoder.layers_in_order))
    ends = list(_ends(model, encoder, tally))
    unused = [block for block in ends if block.kind == "unused"]
    rest = tally.block([model], "other", "unused", "Other parameters", "of modules added to the model", "")
    if rest.parameters:
        unused.append(rest)
    numbers = list(model.parameters())
    return Outline(
        title=type(model).__name__,
        tables=tables,
        embedding_ends=embedding_ends,
        layers=layers,
        hidden=_hidden(model, encoder) if encoder.final_norm is None else _per_token(encoder),
        shared=shared,
        ends=tuple(block for block in ends if block.kind != "unused"),
        unused=tuple(unused),
        parameters=sum(number.numel() for number in numbers),
        frozen=sum(number.numel() for number in numbers if not number.requires_grad),
        num_bytes=sum(number.numel() * number.element_size() for number in numbers),
        kinds=tuple(sorted({str(number.dtype).removeprefix("torch.") for number in numbers})),
    )


class _Tally:
    """Counts parameters, each once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def block(
        self, modules: Iterable[nn.Module], path: str, kind: BlockKind, name: str, detail: str, output: str
    ) -> Block:
        fresh = {id(number): number for module in modules for number in module.parameters()}
        numbers = [number for key, number in fresh.items() if key not in self._seen]
        self._seen |= fresh.keys()
        frozen = sum(number.numel() for number in numbers if not number.requires_grad)
        return Block(path, kind, name, detail, sum(number.numel() for number in numbers), frozen, output)


def _embedding_blocks(encoder: Encoder, tally: _Tally) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    embeddings = encoder.embeddings
    narrow = f"tokens {TIMES} {embeddings.token.embedding_dim:,}"
    tables = tuple(
        tally.block([table], f"embeddings.{path}", "embedding", name, _product(*table.weight.shape), narrow)
        for path, name, table in (
            ("token", "Token embedding", embeddings.token),
            ("position", "Position embedding", embeddings.position),
            ("token_type", "Type embedding", embeddings.token_type),
        )
        if table is not None
    )
    if encoder.relative is not None:
        table, detail = encoder.relative.table, "to attention"
        size = _product(*table.weight.shape)
        tables += (tally.block([table], "relative", "embedding", "Relative positions", size, detail),)
    summed = "Sum, layer norm" if embeddings.position is not None or embeddings.token_type is not None else "Layer norm"
    detail = f"{summed}{_dropout(embeddings.dropout.probability)}"
    norm = tally.block([embeddings.norm], "embeddings.norm", "norm", detail, "", narrow)
    wider = embeddings.projection
    if wider is None:
        return tables, (norm,)
    words = f"Dense {wider.in_features:,} → {wider.out_features:,}"
    return tables, (norm, tally.block([wider], "embeddings.projection", "embedding", words, "", _per_token(encoder)))


def _steps(layer: nn.Module, encoder: Encoder, tally: _Tally) -> tuple[tuple[Block, ...], ...]:
    if isinstance(layer, PreNormLayer):
        return _pre_norm_steps(layer, encoder, tally)
    assert isinstance(layer, TransformerLayer)
    hidden = _per_token(encoder)
    add = f"{_dropout(layer.dropout.probability, 'dropout {:g}, ')}add, layer norm".capitalize()
    wide = layer.feed_forward.intermediate
    return (
        (
            _attention(layer.attention, encoder, tally),
            tally.block([layer.attention_norm], "attention_norm", "norm", add, "", hidden),
        ),
        (
            _feed_forward(layer.feed_forward, wide.out_features, "", encoder, tally),
            tally.block([layer.output_norm], "output_norm", "norm", add, "", hidden),
        ),
    )


def _shared_blocks(encoder: Encoder, tally: _Tally) -> Iterator[Block]:
    positions = encoder.relative_positions
    if positions is None:
        return
    size = _product(*positions.table.weight.shape)
    detail = f"{size}{'' if positions.norm is None else ', layer norm'}; every layer's attention reads it"
    yield tally.block([positions], "relative_positions", "embedding", "Distance embedding", detail, "")


def _pre_norm_steps(layer: PreNormLayer, encoder: Encoder, tally: _Tally) -> tuple[tuple[Block, ...], ...]:
    hidden, wide = _per_token(encoder), layer.feed_forward.input_and_gate
    norms = [
        tally.block([norm], path, "norm", "Layer norm", "", hidden)
        for path, norm in (("attention_norm", layer.attention_norm), ("feed_forward_norm", layer.feed_forward_norm))
        if norm is not None
    ]
    add = f"{_dropout(layer.dropout.probability, 'dropout {:g}, ')}add".capitalize()
    return (
        (
            *norms[:-1],
            _attention(layer.attention, encoder, tally),
            tally.block([], "attention_add", "norm", add, "", hidden),
        ),
        (
            norms[-1],
            _feed_forward(layer.feed_forward, wide.out_features // 2, " with a gate", encoder, tally),
            tally.block([], "feed_forward_add", "norm", "Add", "", hidden),
        ),
    )


def _attention(attention: SelfAttention | DisentangledSelfAttention, encoder: Encoder, tally: _Tally) -> Block:
    heads, size = attention.num_heads, encoder.config.hidden_size
    inner = f"{heads} {'head' if heads == 1 else 'heads'} of {size // heads:,}"
    if isinstance(attention, RotaryAttention):
        seen = "whole sequences" if attention.reach is None else f"{attention.reach:,} tokens on each side"
        inner += f", {seen}, rotary positions"
    inner += _dropout(attention.dropout.probability)
    kind = "Disentangled attention" if isinstance(attention, DisentangledSelfAttention) else "Self-attention"
    return tally.block([attention], "attention", "attention", kind, inner, _per_token(encoder))


def _feed_forward(module: nn.Module, inner: int, gate: str, encoder: Encoder, tally: _Tally) -> Block:
    size = encoder.config.hidden_size
    through = f"{size:,} → {inner:,}{gate} → {size:,}, {encoder.config.hidden_act}"
    return tally.block([module], "feed_forward", "feed_forward", "Feed-forward", through, _per_token(encoder))


def _runs(layers: Iterable[tuple[tuple[Block, ...], ...]]) -> Iterator[LayerRun]:
    run: LayerRun | None = None
    for index, steps in enumerate(layers):
        if run is not None and run.steps == steps:
            run = LayerRun(run.first, run.count + 1, steps)
            continue
        if run is not None:
            yield run
        run = LayerRun(index, 1, steps)
    if run is not None:
        yield run


def _ends(model: Encoder | Classifier, encoder: Encoder, tally: _Tally) -> Iterator[Block]:
    size = encoder.config.hidden_size
    if encoder.final_norm is not None:
        yield tally.block([encoder.final_norm], "final_norm", "norm", "Layer norm", "", _hidden(model, encoder))
    pooled = f"sequences {TIMES} {size:,}"
    if not isinstance(model, Classifier):
        if encoder.pooler is not None:
            yield _pooler(encoder.pooler, tally, "pooling", f"pooled: {pooled}")
        return
    if not model.first_only:
        yield tally.block([], "pooling", "pooling", "Mean pooling", "average of all tokens of a sequence", pooled)
    if encoder.pooler is not None:
        kind: BlockKind = "pooling" if model.uses_pooler else "unused"
        yield _pooler(encoder.pooler, tally, kind, pooled if model.uses_pooler else "", first_only=model.first_only)
    dense = model.classifier
    detail = (
        f"{_dropout(model.dropout.probability, 'dropout {:g}, ')}dense {dense.in_features:,} → {dense.out_features:,}"
    )
    output = f"logits: sequences {TIMES} {dense.out_features:,}"
    yield tally.block([dense], "classifier", "head", "Classifier head", detail, output)


def _hidden(model: Encoder | Classifier, encoder: Encoder) -> str:
    """The shape of what the encoder gives."""
    return _per_token(encoder) if isinstance(model, Classifier) else f"last_hidden_state: {_per_token(encoder)}"


def _pooler(pooler: Pooler, tally: _Tally, kind: BlockKind, output: str, *, first_only: bool = True) -> Block:
    norm = "" if pooler.norm is None else ", layer norm"
    detail = f"{'[CLS] of each sequence, ' if first_only else ''}dense, {pooler.activation}{norm}"
    if kind == "unused":
        detail = "not used with mean pooling"
    return tally.block([pooler], "pooler", kind, "Pooler", detail, output)


def _per_token(encoder: Encoder) -> str:
    return f"tokens {TIMES} {encoder.config.hidden_size:,}"


def _product(*sizes: int) -> str:
    return f" {TIMES} ".join(f"{size:,}" for size in sizes)


def _dropout(probability: float, form: str = ", dropout {:g}") -> str:
    return form.format(probability) if probability else ""
