"""The part of an encoder that does not train: embeddings and lowest layers, computed forward alone, once where it fits.

Nothing is dropped in them: their weights do not learn from it, and without it what they give for a row is the same in
every epoch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertune.batches.batch import ROW_MULTIPLE, Batch, pack, with_filler
from bertune.batches.sampler import batches_by_tokens
from bertune.errors import ConfigError
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass, require_kernels
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder, lower_encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.tokenization.encoded_examples import EncodedExamples, ragged_positions

MOST_KEPT_BYTES: Final = 1 << 30
"""What the frozen layers give for all training rows is kept if it takes no more memory than this: 1 GiB."""

# As many as where nothing is trained: enough to keep the matrix products busy.
_BATCH_TOKENS = 4096


def check_freeze(count: int | None, reinit_layers: int, config: EncoderConfig) -> None:
    """Refuses layers that are not there, or cannot be frozen.

    Args:
        count: of the lowest layers, frozen with the embeddings; None freezes nothing.
        reinit_layers: top layers that start from new weights.
        config: of the encoder.

    Raises:
        ConfigError: names the numbers.
    """
    if count is None:
        return
    layers = config.num_hidden_layers
    if count > layers:
        raise ConfigError(f"freeze ({count}) exceeds the encoder's {layers} layers")
    if config.num_stored_layers < layers and count not in (0, layers):
        raise ConfigError(
            f"freeze ({count}): the encoder's {layers} layers share their weights, so that some cannot be frozen alone",
            hint=f"freeze 0, the embeddings alone, or all {layers}",
        )
    if reinit_layers and count > config.num_stored_layers - reinit_layers:
        raise ConfigError(
            f"freeze ({count}) and reinit_layers ({reinit_layers}) overlap in an encoder of {layers} layers: "
            "a new layer that is not trained stays noise"
        )


@contextmanager
def layers_frozen(classifier: Classifier, count: int | None) -> Iterator[None]:
    """Freezes the embeddings and the lowest layers, and lets train afterwards what trained before.

    Vectors of distances that all layers share are frozen with the embeddings.

    Args:
        classifier: whose parameters are marked.
        count: of the layers; None freezes nothing.
    """
    frozen = [] if count is None else frozen_parameters(classifier.encoder, count)
    before = [parameter.requires_grad for parameter in frozen]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, trains in zip(frozen, before, strict=True):
            parameter.requires_grad_(trains)


def frozen_parameters(encoder: Encoder, count: int) -> list[nn.Parameter]:
    """Returns the parameters of the embeddings and of so many of the lowest layers."""
    return [parameter for name, parameter in encoder.named_parameters() if encoder.lies_below(name, count)]


def trained_part(encoder: Encoder, count: int | None, *, lora: int | None = None) -> str:
    """Says in words what trains; nothing where all does.

    Args:
        encoder: of the run.
        count: of the frozen layers; None freezes nothing.
        lora: rank of adapters; None for none.
    """
    layers = encoder.config.num_hidden_layers
    if lora is not None:
        where = f" on all but the lowest {count} of {layers} layers" if count else ""
        return f"adapters of rank {lora} (LoRA){where}, merged into the weights, and what stands above the layers"
    if count is None:
        return ""
    if count == 0:
        return "all but the embeddings"
    if count == layers:
        return f"what stands above the {layers} layers"
    return f"all but the embeddings and the lowest {count} of {layers} layers"


def frozen_line(classifier: Classifier, count: int) -> str:
    """Says what is frozen, and how much of the model that is."""
    frozen = sum(parameter.numel() for parameter in frozen_parameters(classifier.encoder, count))
    whole = sum(parameter.numel() for parameter in classifier.parameters())
    layers = "" if count == 0 else f" and the lowest {count} of {classifier.encoder.config.num_hidden_layers} layers"
    return f"frozen: the embeddings{layers}, {frozen:,} of {whole:,} parameters"


class FrozenLayers:
    """Computes what lies below the layers that train.

    Args:
        classifier: whose weights are read when the first batch is computed.
        count: of the layers; the embeddings are always below.
        train: the rows.
        keeps: whether what they give is kept for the next epochs, in at most `MOST_KEPT_BYTES`.

    Attributes:
        name: what computes.
    """

    def __init__(self, classifier: Classifier, count: int, train: EncodedExamples, *, keeps: bool) -> None:
        self.encoder, self.count = classifier.encoder, count
        self.is_all = count == self.encoder.config.num_hidden_layers
        self._sequences, self._examples = train.sequences, train
        size = torch.empty(0, dtype=self.encoder.compute_dtype).element_size()
        needed = len(train.token_ids) * self.encoder.config.hidden_size * size
        # Embeddings are looked up as fast as what was kept of them.
        self._keeps = keeps and count > 0 and needed <= MOST_KEPT_BYTES
        self._kept: Tensor | None = None
        self._compute: Callable[[Batch], Tensor] | None = None

    def add_to(self, batch: Batch, rows: NDArray[np.int64]) -> Batch:
        """Returns a batch with what the frozen layers give for it.

        Args:
            batch: of training rows.
            rows: their numbers.
        """
        if self._keeps and self._kept is None:
            self._kept = self._states_of_all(batch.token_ids.device)
        states = self._states(batch) if self._kept is None else self._kept[self._tokens_of(rows)]
        return replace(batch, lower_states=states, lower_layers=self.count)

    def _tokens_of(self, rows: NDArray[np.int64]) -> Tensor:
        bounds, examples = self._examples.offsets, self._examples.example_offsets
        if examples is not None:
            rows = ragged_positions(examples[:-1][rows], np.diff(examples)[rows])
        return torch.from_numpy(ragged_positions(bounds[:-1][rows], np.diff(bounds)[rows]))

    def _states_of_all(self, device: torch.device) -> Tensor:
        """Computes all rows in batches that do not depend on where training stands: so a resumed run has its bits."""
        rows = self._sequences
        kept = torch.empty(
            (len(rows.token_ids), self.encoder.config.hidden_size), dtype=self.encoder.compute_dtype, device=device
        )
        for indices in batches_by_tokens(rows.lengths, _BATCH_TOKENS):
            batch = pack(rows, indices, device=device)
            places = ragged_positions(rows.offsets[:-1][indices], rows.lengths[indices])
            kept[torch.from_numpy(places)] = self._states(batch)
        return kept

    def _states(self, batch: Batch) -> Tensor:
        """Maps a batch to (tokens, hidden_size), in the type of the layers."""
        if self._compute is None:
            self._compute = self._new_computation()
        with torch.no_grad():
            return self._compute(batch)

    def _new_computation(self) -> Callable[[Batch], Tensor]:
        dtype, encoder = self.encoder.compute_dtype, self.encoder
        if self.count == 0:
            return self._embed
        lower = lower_encoder(encoder, self.count)
        try:
            require_kernels(encoder, dtype)
            native = KernelPass(lower, dtype, prepack=True)
        except NoKernelsError:
            return lambda batch: _encoded(lower, batch)
        return lambda batch: native.forward(batch).to(dtype)

    def _embed(self, batch: Batch) -> Tensor:
        embeddings = self.encoder.embeddings.eval()
        embeddings.check_ids(batch)
        states: Tensor = embeddings(batch)
        return states.to(self.encoder.compute_dtype)


def _encoded(lower: Encoder, batch: Batch) -> Tensor:
    lower.eval()
    tokens = batch.layout.num_tokens
    # In few shapes on a processor, as the layers above are computed.
    filled = with_filler(batch, ROW_MULTIPLE) if batch.token_ids.device.type == "cpu" else batch
    return lower.encode(filled)[:tokens].to(lower.compute_dtype)
