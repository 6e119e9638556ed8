"""From ids to vectors: token, position and type embeddings."""

from torch import Tensor, nn

from bertune.batches.batch import Batch
from bertune.nn.dense import Table, vectors_of
from bertune.nn.dropout import Dropout


class Embeddings(nn.Module):
    """Sums the embeddings of a token, of its position and of its type, then normalizes.

    Source: Devlin et al., 2018, section 3 (https://arxiv.org/abs/1810.04805).
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        max_positions: int,
        num_types: int,
        norm_eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.token = Table(vocab_size, hidden_size)
        self.position = Table(max_positions, hidden_size)
        self.token_type = Table(num_types, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, batch: Batch, *, token_vectors: Tensor | None = None) -> Tensor:
        """Embeds a packed batch.

        Args:
            batch: the sequences.
            token_vectors: (tokens, hidden_size), taken in the place of the token table's rows; None looks them up.

        Returns:
            (tokens, hidden_size), fp32.
        """
        summed = (
            (vectors_of(self.token, batch.token_ids) if token_vectors is None else token_vectors)
            + vectors_of(self.position, batch.position_ids)
            + vectors_of(self.token_type, batch.token_type_ids)
        )
        embedded: Tensor = self.dropout(self.norm(summed))
        return embedded
