"""The tensors of one step: packed from encoded examples, or from the tutorial's padded arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.layout import Layout
from bertune.batches.soft_targets import SoftRows
from bertune.errors import ConfigError, DataError
from bertune.tokenization.encode_texts import EncodedExamples

# To this, tokens of a batch are rounded up on a processor.
ROW_MULTIPLE = 64
PADDED_NAMES = ("input_word_ids", "input_mask", "input_type_ids")


@dataclass(frozen=True)
class Batch:
    """Sequences one after another, without padding.

    Args:
        token_ids: (tokens,) int64.
        token_type_ids: (tokens,) int64, of BERT 0 in `[CLS] a [SEP]` and 1 in `b [SEP]`; 0 where a family has no types.
        position_ids: (tokens,) int64, each token's place in its own sequence.
        layout: the boundaries of the sequences.
        targets: (examples,) class ids (int64) or values (float32), (examples, labels) of 0 and 1 (int64); or None.
        example_of_sequence: (sequences,) int64, the example each sequence is a window of; None where each is one.
        lower_states: (tokens, hidden_size) of what embeddings and lowest layers gave, in the type of the layers; None
            lets them compute.
        lower_layers: how many layers gave it; with 0 the embeddings did.
        soft: soft targets, where they are trained on.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    layout: Layout
    targets: Tensor | None = None
    example_of_sequence: Tensor | None = None
    lower_states: Tensor | None = None
    lower_layers: int = 0
    soft: SoftRows | None = None

    def __len__(self) -> int:
        return len(self.layout)


def pack(
    encoded: EncodedExamples,
    indices: NDArray[np.int64] | None = None,
    targets: NDArray[Any] | None = None,
    device: torch.device | str = "cpu",
) -> Batch:
    """Takes examples out of the flat store as one packed batch.

    Args:
        encoded: all examples.
        indices: which of them, in this order; None takes all.
        targets: the targets of all examples, picked by the same indices.
        device: where the tensors go.

    Example:
        >>> inputs = bertune.encode_examples(["good film", "bad"], None, tokenizer, 16)
        >>> batch = bertune.pack(inputs, targets=np.array([1, 0]))
        >>> len(batch), batch.layout.num_tokens, classifier(batch).shape
        (2, 7, torch.Size([2, 2]))
    """
    chosen = encoded if indices is None else encoded.take(indices)
    lengths = np.diff(chosen.offsets)
    positions = np.arange(int(chosen.offsets[-1])) - np.repeat(chosen.offsets[:-1], lengths)
    types = positions >= np.repeat(chosen.first_lengths.astype(np.int64), lengths)
    picked = None
    if targets is not None:
        # A copy: torch warns of arrays that cannot be written to, as those of a mapped file.
        picked = torch.from_numpy(np.array(targets if indices is None else targets[indices])).to(device)
    return Batch(
        token_ids=torch.from_numpy(chosen.token_ids.astype(np.int64)).to(device),
        token_type_ids=torch.from_numpy(types.astype(np.int64)).to(device),
        position_ids=torch.from_numpy(positions).to(device),
        layout=Layout(lengths, device),
        targets=picked,
        example_of_sequence=_examples_of(chosen, device),
    )


def with_filler(batch: Batch, multiple: int) -> Batch:
    """Adds a sequence behind the others that fills the tokens up to a multiple, so that few shapes occur.

    Args:
        batch: whose sequences see nothing of it.
        multiple: which the number of tokens becomes a multiple of.

    Returns:
        A batch with one sequence more, of copies of one token, all at position 0; targets and examples are as before.
    """
    missing = multiple - batch.layout.num_tokens % multiple  # at least one: no sequence is ever empty
    lengths = np.append(batch.layout.sequence_lengths.cpu().numpy(), missing)

    def filled(ids: Tensor) -> Tensor:
        return torch.cat([ids, ids[:1].expand(missing, *ids.shape[1:])])

    return Batch(
        token_ids=filled(batch.token_ids),
        token_type_ids=filled(batch.token_type_ids),
        position_ids=filled(batch.position_ids),
        layout=Layout(lengths, batch.token_ids.device),
        targets=batch.targets,
        example_of_sequence=batch.example_of_sequence,
        lower_states=None if batch.lower_states is None else filled(batch.lower_states),
        lower_layers=batch.lower_layers,
    )


def _examples_of(encoded: EncodedExamples, device: torch.device | str) -> Tensor | None:
    if encoded.example_offsets is None:
        return None
    return torch.from_numpy(np.repeat(np.arange(len(encoded)), encoded.sequence_counts)).to(device)


@dataclass(frozen=True)
class PaddedShape:
    """Positions of a packed batch's tokens in the padded arrays it was made from.

    Args:
        rows: sequences.
        columns: padded length.
        cells: (tokens,) flat index of each token in the (rows, columns) rectangle.
    """

    rows: int
    columns: int
    cells: Tensor

    def unpack(self, packed: Tensor) -> Tensor:
        """Lays (tokens, size) back into (rows, columns, size), zeros where there was no token."""
        flat = packed.new_zeros(self.rows * self.columns, packed.shape[-1])
        return flat.index_copy(0, self.cells, packed).view(self.rows, self.columns, -1)


def pack_padded(inputs: Mapping[str, Any], device: torch.device | str = "cpu") -> tuple[Batch, PaddedShape]:
    """Packs the tutorial's three padded arrays; cells that the mask hides are not computed at all.

    Args:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`, each (rows, columns), numpy or torch.
        device: where the tensors go.

    Raises:
        ConfigError: an array is missing, the shapes differ, or ids or types are not whole numbers.
        DataError: a row's mask is all zero, or holds other numbers than 0 and 1.
    """
    ids, real, types = read_padded(inputs, device)
    lengths = real.sum(dim=1).cpu().numpy()
    if (lengths == 0).any():
        raise DataError(f"row {int(np.argmin(lengths))} of input_mask is all zero: a sequence needs at least one token")
    cells = real.reshape(-1).nonzero().squeeze(1)
    batch = Batch(
        token_ids=ids.reshape(-1)[cells],
        token_type_ids=types.reshape(-1)[cells],
        position_ids=cells % ids.shape[1],
        layout=Layout(lengths, device),
    )
    return batch, PaddedShape(ids.shape[0], ids.shape[1], cells)


def read_padded(inputs: Mapping[str, Any], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Checks the tutorial's three padded arrays.

    Args:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`, each (rows, columns), numpy or torch.
        device: where the tensors go.

    Returns:
        Ids (int64), where real tokens are (bool), and types (int64), each (rows, columns).

    Raises:
        ConfigError: an array is missing, the shapes differ, or ids or types are not whole numbers.
        DataError: the mask holds other numbers than 0 and 1.
    """
    missing = [name for name in PADDED_NAMES if name not in inputs]
    if missing:
        raise ConfigError(f"the inputs lack {', '.join(missing)}", hint="bert_encode makes all three arrays")
    ids, mask, types = (_as_tensor(inputs[name]).to(device) for name in PADDED_NAMES)
    if ids.ndim != 2 or not ids.shape == mask.shape == types.shape:
        shapes = ", ".join(
            f"{name} {tuple(array.shape)}" for name, array in zip(PADDED_NAMES, (ids, mask, types), strict=True)
        )
        raise ConfigError(f"the three input arrays must have one shape (rows, columns), not {shapes}")
    for name, array in (("input_word_ids", ids), ("input_type_ids", types)):
        if array.is_floating_point() or array.is_complex():
            raise ConfigError(f"{name} is {array.dtype}, expected whole numbers")
    real = mask == 1
    # A mask to be added to scores has 0 where this one has 1; taken for this one it would hide every token.
    if not bool((real | (mask == 0)).all()):
        raise DataError("input_mask holds other numbers than 0 (padding) and 1 (a token)")
    return ids.long(), real, types.long()


def _as_tensor(array: Any) -> Tensor:
    # A copy of what is not a tensor: torch warns of arrays that cannot be written to, as those of a mapped file.
    return array if isinstance(array, Tensor) else torch.from_numpy(np.array(array))
