"""A layer to whose scores a number for each distance and head is added, the same in all layers: MPNet's."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bertune.kernels.calls import Calls
from bertune.kernels.relative_layer import RelativeLayerPlan
from bertune.models.encoder import Encoder


def expected_shapes(encoder: Encoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the shapes of what such an encoder has beside BERT's parameters."""
    assert encoder.relative is not None
    yield "relative.table.weight", (encoder.relative.num_buckets, encoder.config.num_attention_heads)


class BiasedLayerPlan(RelativeLayerPlan):
    """Adds the calls of such a layer. The first one lays out the numbers by distance, and on the way back adds up."""

    def _rows_with_distances(self, calls: Calls, x: Tensor) -> Tensor:
        relative = self.workspace.encoder.relative
        assert relative is not None
        self.numbers, self.gradient = (
            self.workspace.buffer(f"relative.{name}", self.heads, self.places, dtype=torch.float32)
            for name in ("numbers", "dnumbers")
        )
        longest = self.shape.longest
        buckets = relative.buckets(longest)
        # By falling distances, as the kernels read them; behind them something finite.
        self.bucket_of = torch.zeros(self.places, dtype=torch.long)
        self.bucket_of[: 2 * longest - 1] = torch.cat([buckets[1:, 0].flip(0), buckets[0]])
        if self.index == self.workspace.first_layer:
            table = relative.table.weight.detach()
            calls.add_operation(torch.index_select, table.t(), 1, self.bucket_of, out=self.numbers)
        return x

    def _distance_fields(self) -> dict[str, Tensor | int]:
        return {
            "numbers": self.numbers,
            "dnumbers": self.gradient,
            "gradients": self._gradients_of_heads(self.places),
        }

    def _attend_backward(
        self, calls: Calls, d_context: Tensor, dx: Tensor, *, accumulate: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.is_last:
            calls.add_zeros(self.gradient)
        return super()._attend_backward(calls, d_context, dx, accumulate=accumulate)

    def _distances_backward(self, calls: Calls, behind: Tensor, *, accumulate: bool) -> None:
        del behind
        into = self.workspace.gradients["relative.table.weight"]
        if not accumulate:
            calls.add_zeros(into)
        if self.index == 0:
            calls.add_operation(into.index_add_, 0, self.bucket_of, self.gradient.t())
