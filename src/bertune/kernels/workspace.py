"""The memory of an encoder's passes: buffers, seeds of dropout, copies of the weights, gradients."""

import math
from collections.abc import Callable, Mapping
from ctypes import c_long, c_uint64
from weakref import WeakMethod

import torch
from torch import Tensor

from bertune.kernels.calls import Calls, Shape
from bertune.kernels.interface import NO_DROPOUT, TURN_MULTIPLE, threshold_of
from bertune.kernels.library import kernels_for
from bertune.kernels.prepacked import LatestProduct, PackedMatrix, can_prepack
from bertune.kernels.token_gradient import TokenGradient
from bertune.models.encoder import Encoder

# Below this, turning a matrix costs more than it saves.
_LEAST_ROWS_TO_TURN = 256
# Numbers of a line of the processor's cache, of the narrowest type: each gradient begins with one of its own.
_GRADIENT_MULTIPLE = 32


class Workspace:
    """What the calls of a pass read and write, kept from batch to batch.

    Args:
        encoder: on the CPU, its parameters float32.
        dtype: of activations and matrix products, bfloat16 or float32.
        prepack: whether to lay out each matrix for its product, where that can be had.
        starts_at: how many of the lowest layers others compute, without any gradient; None for nothing at all, so that
            the embeddings are computed here too.
        on_growth: called when a buffer moves to larger memory: calls on the old memory are of no use, and keep it. It
            is held weakly, since whoever keeps calls keeps this too: without a cycle memory is free as soon as it is
            let go.

    Attributes:
        bf16_copies: with bfloat16, a copy of each matrix by its name below `layers`; whoever changes the parameters
            refreshes them.
        gradients: by the parameters' names in the encoder.
        part_gradients: of one part of a batch, where parts are added up in another type than they are computed in.
        joined_gradients: the same as few flat tensors; empty where they were not prepared so.
        token_gradient: None without `prepare_gradients`, and where the embeddings are not computed here.
        tokens: of the batch; read when a call is made.
    """

    def __init__(
        self,
        encoder: Encoder,
        dtype: torch.dtype,
        *,
        prepack: bool,
        starts_at: int | None,
        on_growth: Callable[[], None],
    ) -> None:
        self.encoder = encoder
        self.starts_at = starts_at
        self.dtype = dtype
        self.kernels = kernels_for(dtype)
        self.threads = torch.get_num_threads()
        self.prepacked = prepack and can_prepack(dtype)
        self.product = LatestProduct()
        self.bf16_copies: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.part_gradients: dict[str, Tensor] = {}
        self.joined_gradients: tuple[Tensor, ...] = ()
        self.token_gradient: TokenGradient | None = None
        self.tokens = c_long()
        self._on_growth = WeakMethod(on_growth)
        self._seeds: dict[int, c_uint64] = {}
        self._packed: dict[str, PackedMatrix] = {}
        self._buffers: dict[str, Tensor] = {}
        self.refresh_bf16_copies()

    def refresh_bf16_copies(self) -> None:
        """Copies the matrices to the type of the activations; nothing to do for float32 or where they are packed."""
        if self.dtype == torch.float32 or self.prepacked:
            return
        for name, parameter in self.encoder.layers.named_parameters():
            if parameter.dim() == 2 and self.is_computed(f"layers.{name}"):
                if name not in self.bf16_copies:
                    self.bf16_copies[name] = torch.empty_like(parameter, dtype=self.dtype)
                self.bf16_copies[name].copy_(parameter.detach())

    @property
    def first_layer(self) -> int:
        """The first layer that is computed here, from 0."""
        return self.starts_at or 0

    def is_computed(self, name: str) -> bool:
        """Returns whether a parameter, by its name in the encoder, takes part here."""
        return self.starts_at is None or not self.encoder.lies_below(name, self.starts_at)

    def matrix(self, name: str, parameter: Tensor) -> Tensor:
        """Returns a weight in the type of the activations."""
        return parameter.detach() if self.dtype == torch.float32 else self.bf16_copies[name]

    def packed(self, name: str, parameter: Tensor) -> PackedMatrix:
        """Returns a weight laid out for its product, as it was when it was first asked for."""
        if name not in self._packed:
            self._packed[name] = PackedMatrix(parameter.detach().to(self.dtype))
        return self._packed[name]

    def prepare_gradients(self, *, in_parts: bool = False, joins: bool = False) -> None:
        """Makes room for gradients; see `KernelPass.prepare_gradients`."""
        # Layers that share their weights add up as parts do.
        in_parts = in_parts or len(self.encoder.layers_in_order) > len(self.encoder.layers)
        types: dict[str, torch.dtype] = {}
        for name, parameter in self.encoder.named_parameters():
            if name.startswith("pooler.") or name == "embeddings.token.weight" or not self.is_computed(name):
                continue
            narrow = parameter.dim() == 2 and name.startswith("layers.") and self.dtype != torch.float32
            if narrow and in_parts:
                self.part_gradients[name] = torch.zeros_like(parameter, dtype=self.dtype)
            types[name] = self.dtype if narrow and not in_parts else torch.float32
        parameters = dict(self.encoder.named_parameters())
        shapes = {name: parameters[name].shape for name in types}
        if joins:
            self.gradients, self.joined_gradients = _joined_zeros(shapes, types)
        else:
            self.gradients = {name: torch.zeros(shapes[name], dtype=dtype) for name, dtype in types.items()}
        if self.starts_at is None:
            self.token_gradient = TokenGradient(*self.encoder.input_embeddings.weight.shape)

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Returns a tensor of a shape on memory that is kept under a name; its content is what was left there."""
        dtype = dtype or self.dtype
        size = math.prod(shape)
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < size:
            kept = self._buffers[name] = torch.empty(size + size // 8, dtype=dtype)
            on_growth = self._on_growth()
            assert on_growth is not None
            on_growth()
        return kept[:size].view(shape)

    def gradient_of_part(self, name: str) -> Tensor:
        """Returns where a part's gradient of a parameter is written; in float32 it may be added to what is there."""
        return self.part_gradients.get(name, self.gradients[name])

    def add_parts(self, calls: Calls, prefix: str, *, accumulate: bool) -> None:
        """Adds the sums of the gradients that are of one part alone, of parameters whose name begins so."""
        for name, part in self.part_gradients.items():
            if name.startswith(prefix):
                into = self.gradients[name]
                calls.add_operation(into.add_ if accumulate else into.copy_, part)

    @property
    def cu(self) -> Tensor:
        """(sequences + 1,) where each sequence of the batch starts, and the end of the last."""
        return self._buffers["cu"]

    def draw(self, shape: Shape, probability: float, site: int) -> tuple[int, int | c_uint64]:
        """Returns the dropout of a place in the encoder as a kernel takes it: how much it drops, and its seed.

        Places have numbers, so that each draws bits of its own. The seed is another one in each pass.
        """
        if not shape.drops or probability == 0:
            return NO_DROPOUT
        return threshold_of(probability), self._seeds.setdefault(site, c_uint64())

    def set_seeds(self, seed: int) -> None:
        """Sets the seed of each place from that of a pass."""
        for site, number in self._seeds.items():
            number.value = (seed + site * 0x9E3779B97F4A7C15) % (1 << 64)

    def add_weight_gradient(self, calls: Calls, into: Tensor, g: Tensor, x: Tensor, *, accumulate: bool) -> None:
        """Adds the gradient of a weight to the calls: (outputs, inputs) = g turned, times x.

        It is added to what is there only in float32; what is narrower is a part's own (see `prepare_gradients`).
        """
        turned = g.t()
        rows, columns = g.shape
        fits = rows >= _LEAST_ROWS_TO_TURN and not (rows | columns) % TURN_MULTIPLE
        if g.dtype == torch.bfloat16 and fits:
            turned = self.buffer("turned", columns, rows)
            calls.add(self.kernels.turn16, g, turned, rows, columns, self.threads)
        calls.add_product(into, turned, x, accumulate=accumulate and into.dtype == torch.float32)

    def parts(self, width: int) -> Tensor:
        """Returns room for partial sums, a row a thread."""
        return self.buffer("parts", self.threads, width, dtype=torch.float32)

    def scratch(self, size: int) -> Tensor:
        """Returns room for the numbers that each thread works on."""
        return self.buffer("scratch", self.threads, size, dtype=torch.float32)


def _joined_zeros(
    shapes: Mapping[str, torch.Size], types: Mapping[str, torch.dtype]
) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """Makes a tensor of zeros for each name, those of one type one after another; returns these as well."""
    found, flats = dict[str, Tensor](), list[Tensor]()
    for dtype in dict.fromkeys(types.values()):
        names = [name for name in types if types[name] == dtype]
        sizes = [-(-shapes[name].numel() // _GRADIENT_MULTIPLE) * _GRADIENT_MULTIPLE for name in names]
        flat = torch.zeros(sum(sizes), dtype=dtype)
        for name, part in zip(names, torch.split(flat, sizes), strict=True):
            found[name] = part[: shapes[name].numel()].view(shapes[name])
        flats.append(flat)
    return {name: found[name] for name in types}, tuple(flats)
