"""Outline of a model: its blocks with shapes and parameter counts, taken from the modules themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.nn.disentangled_attention import DisentangledSelfAttention
from bertune.nn.layer import TransformerLayer
from bertune.nn.pooling import Pooler

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
        blocks: of one layer, top to bottom.
    """

    first: int
    count: int
    blocks: tuple[Block, ...]

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
        embedding_norm: what follows on their sum.
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
    embedding_norm: Block
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
    tables, norm = _embedding_blocks(encoder, tally)
    shared = tuple(_shared_blocks(encoder, tally))
    layers = tuple(_runs(tuple(_layer_blocks(layer, encoder, tally)) for layer in encoder.layers))
    ends = list(_ends(model, encoder, tally))
    unused = [block for block in ends if block.kind == "unused"]
    rest = tally.block([model], "other", "unused", "Other parameters", "of modules added to the model", "")
    if rest.parameters:
        unused.append(rest)
    numbers = list(model.parameters())
    return Outline(
        title=type(model).__name__,
        tables=tables,
        embedding_norm=norm,
        layers=layers,
        hidden=_per_token(encoder) if isinstance(model, Classifier) else f"last_hidden_state: {_per_token(encoder)}",
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


def _embedding_blocks(encoder: Encoder, tally: _Tally) -> tuple[tuple[Block, ...], Block]:
    embeddings, hidden = encoder.embeddings, _per_token(encoder)
    tables = tuple(
        tally.block([table], f"embeddings.{path}", "embedding", name, _product(*table.weight.shape), hidden)
        for path, name, table in (
            ("token", "Token embedding", embeddings.token),
            ("position", "Position embedding", embeddings.position),
            ("token_type", "Type embedding", embeddings.token_type),
        )
        if table is not None
    )
    detail = f"Sum, layer norm{_dropout(embeddings.dropout.probability)}"
    return tables, tally.block([embeddings.norm], "embeddings.norm", "norm", detail, "", hidden)


def _shared_blocks(encoder: Encoder, tally: _Tally) -> Iterator[Block]:
    positions = encoder.relative_positions
    if positions is None:
        return
    size = _product(*positions.table.weight.shape)
    detail = f"{size}{'' if positions.norm is None else ', layer norm'}; every layer's attention reads it"
    yield tally.block([positions], "relative_positions", "embedding", "Distance embedding", detail, "")


def _layer_blocks(layer: nn.Module, encoder: Encoder, tally: _Tally) -> Iterator[Block]:
    assert isinstance(layer, TransformerLayer)
    hidden, dropout = _per_token(encoder), _dropout(layer.dropout.probability, "dropout {:g}, ")
    attention, wide = layer.attention, layer.feed_forward.intermediate
    heads, size = attention.num_heads, wide.in_features
    word = "head" if heads == 1 else "heads"
    inner = f"{heads} {word} of {size // heads:,}{_dropout(attention.dropout.probability)}"
    kind = "Disentangled attention" if isinstance(attention, DisentangledSelfAttention) else "Self-attention"
    yield tally.block([attention], "attention", "attention", kind, inner, hidden)
    add = f"{dropout}add, layer norm".capitalize()
    yield tally.block([layer.attention_norm], "attention_norm", "norm", add, "", hidden)
    through = f"{size:,} → {wide.out_features:,} → {size:,}, {encoder.config.hidden_act}"
    yield tally.block([layer.feed_forward], "feed_forward", "feed_forward", "Feed-forward", through, hidden)
    yield tally.block([layer.output_norm], "output_norm", "norm", add, "", hidden)


def _runs(layers: Iterable[tuple[Block, ...]]) -> Iterator[LayerRun]:
    run: LayerRun | None = None
    for index, blocks in enumerate(layers):
        if run is not None and run.blocks == blocks:
            run = LayerRun(run.first, run.count + 1, blocks)
            continue
        if run is not None:
            yield run
        run = LayerRun(index, 1, blocks)
    if run is not None:
        yield run


def _ends(model: Encoder | Classifier, encoder: Encoder, tally: _Tally) -> Iterator[Block]:
    size = encoder.config.hidden_size
    pooled = f"sequences {TIMES} {size:,}"
    if not isinstance(model, Classifier):
        if encoder.pooler is not None:
            yield _pooler(encoder.pooler, tally, "pooling", f"pooled: {pooled}")
        return
    if model.pooling == "cls":
        assert encoder.pooler is not None
        yield _pooler(encoder.pooler, tally, "pooling", pooled)
    else:
        yield tally.block([], "pooling", "pooling", "Mean pooling", "average of all tokens of a sequence", pooled)
        if encoder.pooler is not None:
            yield _pooler(encoder.pooler, tally, "unused", "")
    dense = model.classifier
    detail = (
        f"{_dropout(model.dropout.probability, 'dropout {:g}, ')}dense {dense.in_features:,} → {dense.out_features:,}"
    )
    output = f"logits: sequences {TIMES} {dense.out_features:,}"
    yield tally.block([dense], "classifier", "head", "Classifier head", detail, output)


def _pooler(pooler: Pooler, tally: _Tally, kind: BlockKind, output: str) -> Block:
    detail = "not used with mean pooling" if kind == "unused" else f"[CLS] of each sequence, dense, {pooler.activation}"
    return tally.block([pooler], "pooler", kind, "Pooler", detail, output)


def _per_token(encoder: Encoder) -> str:
    return f"tokens {TIMES} {encoder.config.hidden_size:,}"


def _product(*sizes: int) -> str:
    return f" {TIMES} ".join(f"{size:,}" for size in sizes)


def _dropout(probability: float, form: str = ", dropout {:g}") -> str:
    return form.format(probability) if probability else ""
