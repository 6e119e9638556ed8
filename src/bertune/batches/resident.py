"""A data set that lies on the device as a whole, and its batches: gathered there, in few shapes.

The processor never waits for the device and never tells it more than which examples come: the shape of a batch is known
from its number of tokens, rounded up. One sequence more than there are examples takes up the rest, so that a handful of
shapes serves a whole run and each can be recorded once.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertune.batches.batch import Batch
from bertune.batches.dataset import Dataset
from bertune.batches.layout import AttentionPlan, LengthGroup

# Tokens of a batch are rounded up to a multiple of this: 2 % more of them at 32 pairs of MRPC, in about ten shapes.
BUCKET: Final = 64


def bucket_of(tokens: int) -> int:
    """Returns the tokens of a batch with its filler, which has at least one, so that no sequence is ever empty."""
    return (tokens // BUCKET + 1) * BUCKET


@dataclass(frozen=True)
class BucketLayout:
    """A layout of which the processor knows the shape and the device alone the numbers.

    Args:
        num_tokens: of the whole batch, filler included.
        max_seqlen: no sequence of the data set has more tokens.
        sequence_lengths: (sequences,) int64, tokens of each; the last sequence is the filler.
        sequence_of_token: (tokens,) int64, the sequence each token belongs to.
    """

    num_tokens: int
    max_seqlen: int
    sequence_lengths: Tensor
    sequence_of_token: Tensor

    def __len__(self) -> int:
        return len(self.sequence_lengths)

    @cached_property
    def cu_seqlens(self) -> Tensor:
        """(sequences + 1,) int32, where each sequence starts, and the end of the last."""
        return F.pad(self.sequence_lengths.cumsum(0), (1, 0)).to(torch.int32)

    @cached_property
    def first_tokens(self) -> Tensor:
        """(sequences,) int64, the packed position of each sequence's first token, its [CLS]."""
        return self.cu_seqlens[:-1].long()

    @cached_property
    def attention_plan(self) -> AttentionPlan:
        """One rectangle, as wide as the longest example of the data set."""
        rows, width, device = len(self), self.max_seqlen, self.sequence_lengths.device
        columns, tokens = torch.arange(width, device=device), torch.arange(self.num_tokens, device=device)
        attend = columns < self.sequence_lengths[:, None]
        token_of_cell = torch.where(attend, self.first_tokens[:, None] + columns, 0).reshape(-1)
        place = tokens - self.first_tokens.index_select(0, self.sequence_of_token)
        return AttentionPlan(
            (LengthGroup(0, rows, width, attend),),
            token_of_cell,
            self.sequence_of_token * width + place,
            torch.arange(rows, device=device),
        )


class ResidentData:
    """Examples and targets on a device.

    Args:
        data: with targets, and at least one example.
        device: where they go.
    """

    def __init__(self, data: Dataset, device: torch.device) -> None:
        assert data.targets is not None
        encoded = data.encoded
        lengths = np.diff(encoded.offsets)
        self.max_seqlen = max(int(lengths.max()), BUCKET)
        self.token_ids = torch.from_numpy(np.asarray(encoded.token_ids).astype(np.int32)).to(device)
        self.starts = torch.from_numpy(encoded.offsets[:-1].astype(np.int64)).to(device)
        self.lengths = torch.from_numpy(lengths.astype(np.int64)).to(device)
        self.first_lengths = torch.from_numpy(encoded.first_lengths.astype(np.int64)).to(device)
        self.targets = torch.from_numpy(np.array(data.targets)).to(device)

    def batch(self, indices: Tensor, tokens: int) -> Batch:
        """Gathers examples into a packed batch, in order, and a filler behind them.

        Args:
            indices: (examples,) int64, on the device.
            tokens: of the batch with its filler, more than the examples have; see `bucket_of`.

        Returns:
            A batch of (examples + 1) sequences and `examples` targets. The filler is of copies of one token, all at
            position 0: no example sees it.
        """
        examples = len(indices)
        lengths = self.lengths.index_select(0, indices)
        ends = lengths.cumsum(0)
        token = torch.arange(tokens, device=indices.device)
        sequence = torch.searchsorted(ends, token, right=True)
        place = token - F.pad(ends, (1, 0)).index_select(0, sequence)
        position = torch.where(sequence < examples, place, 0)
        example = F.pad(indices, (0, 1)).index_select(0, sequence)  # the filler takes example 0's first token
        types = position >= self.first_lengths.index_select(0, example)
        return Batch(
            token_ids=self.token_ids.index_select(0, self.starts.index_select(0, example) + position),
            token_type_ids=types.long(),
            position_ids=position,
            layout=BucketLayout(tokens, self.max_seqlen, torch.cat([lengths, tokens - ends[-1:]]), sequence),
            targets=self.targets.index_select(0, indices),
        )
