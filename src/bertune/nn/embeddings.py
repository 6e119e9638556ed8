"""From ids to vectors: token, position and type embeddings."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bertune.batches.batch import Batch
from bertune.errors import DataError
from bertune.nn.dense import Dense, Table, vectors_of
from bertune.nn.dropout import Dropout
from bertune.nn.norm import NormOptions


@dataclass(frozen=True)
class Positions:
    """The positions that a sequence may have, and their learned vectors.

    Args:
        rows: of the table of their vectors.
        offset: row of a sequence's first position.
        learned: whether there is such a table; without, attention tells positions apart.
    """

    rows: int
    offset: int = 0
    learned: bool = True

    @property
    def longest(self) -> int:
        """Tokens that a sequence may have."""
        return self.rows - self.offset


class Embeddings(nn.Module):
    """Sums the embeddings of a token and, where there are any, of its position and of its type, then normalizes.

    Args:
        vocab_size: ids of tokens.
        hidden_size: width of a vector.
        positions: how many, and whether they have vectors.
        num_types: ids of types; with 0 there is no type table, and types are not looked at.
        norm: the kind of norm.
        dropout: behind the norm.
        output_size: width of the hidden states, where a dense layer makes them of narrower embeddings; None where the
            embeddings are as wide.

    Source: Devlin et al., 2018, section 3 (https://arxiv.org/abs/1810.04805).
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        positions: Positions,
        num_types: int,
        norm: NormOptions,
        dropout: float,
        output_size: int | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.positions = positions
        self.num_types = num_types
        self.token = Table(vocab_size, hidden_size)
        self.position = Table(positions.rows, hidden_size) if positions.learned else None
        self.token_type = Table(num_types, hidden_size) if num_types else None
        self.norm = nn.LayerNorm(hidden_size, eps=norm.eps, bias=norm.bias)
        self.dropout = Dropout(dropout)
        self.projection = None if output_size in (None, hidden_size) else Dense(hidden_size, output_size)

    def forward(self, batch: Batch, *, token_vectors: Tensor | None = None) -> Tensor:
        """Embeds a packed batch.

        Args:
            batch: the sequences.
            token_vectors: (tokens, hidden_size), taken in the place of the token table's rows; None looks them up.

        Returns:
            (tokens, width of the hidden states), fp32.
        """
        summed = vectors_of(self.token, batch.token_ids) if token_vectors is None else token_vectors
        if self.position is not None:
            summed = summed + vectors_of(self.position, self.position_rows(batch))
        if self.token_type is not None:
            summed = summed + vectors_of(self.token_type, batch.token_type_ids)
        embedded: Tensor = self.dropout(self.norm(summed))
        return embedded if self.projection is None else self.projection(embedded)

    def position_rows(self, batch: Batch) -> Tensor:
        """Returns the row of the position table for each token, (tokens,)."""
        return batch.position_ids + self.positions.offset if self.positions.offset else batch.position_ids

    def check_ids(self, batch: Batch) -> None:
        """Refuses ids that would read beyond a table; on a processor only: a check would wait for another device.

        Raises:
            DataError: names the kind of id, its value and the limit.
        """
        if batch.token_ids.device.type != "cpu":
            return  # its kernels assert the bounds themselves
        limits = [
            ("token id", batch.token_ids, self.vocab_size, "the tokenizer does not belong to this encoder"),
            ("token type id", batch.token_type_ids, self.num_types, "types are 0 for text a and 1 for text b"),
            ("position", batch.position_ids, self.positions.longest, "encode with a smaller max_length"),
        ]
        for name, ids, limit, hint in limits:
            if name == "token type id" and self.token_type is None:
                continue
            low, high = (int(bound) for bound in torch.aminmax(ids))
            if low < 0 or high >= limit:
                wrong = low if low < 0 else high
                raise DataError(
                    f"{name} {wrong} is outside 0..{limit - 1}, the size of this encoder's table", hint=hint
                )
