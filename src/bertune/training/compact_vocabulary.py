"""The token table of a run: only the rows of tokens that occur in its training data."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertune.kernels.supported import has_hooks
from bertune.models.classifier import Classifier
from bertune.nn.dense import Table
from bertune.optim.scheduled_adam import ScheduledAdam

_TOKENS_AT_ONCE = 1 << 24


class CompactVocabulary:
    """Lets a token table train with the rows of the training data alone.

    A token that never occurs has no gradient, so that weight decay is all that happens to its row. While `in_use`, the
    table holds the other rows, and knows which row is whose; optimizer and engine see a parameter like any other, small
    and with a plain state. Outside it, and in any `state_dict`, the table is whole: the decay of the rows that were
    left out is then made up for, in closed form.

    Args:
        classifier: to be trained.
        token_ids: of the training data; None leaves the table whole.
    """

    def __init__(self, classifier: Classifier, token_ids: NDArray[Any] | None) -> None:
        table = classifier.encoder.input_embeddings
        self._table = table
        self._whole = cast("nn.Parameter", table.weight)  # what torch says is less
        self._optimizer: ScheduledAdam | None = None
        self._settled = 0
        self._rows: Tensor | None = None
        is_plain = isinstance(table, Table) and _is_plain(classifier, self._whole)
        seen = None if token_ids is None or not is_plain else _seen(token_ids, len(table.weight))
        if seen is None or seen.all():
            return
        self._rows = torch.from_numpy(np.flatnonzero(seen))
        self._others = torch.from_numpy(~seen)
        self._row_of = torch.full((len(seen),), -1)
        self._row_of[self._rows] = torch.arange(len(self._rows))
        self._small = nn.Parameter(torch.empty(len(self._rows), self._whole.shape[1]))

    def follow(self, optimizer: ScheduledAdam) -> None:
        """Takes the optimizer that was made for the table in use; its decay is that of the rows left out."""
        self._optimizer, self._settled = optimizer, optimizer.step_count

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Puts the small table in the place of the whole one, and makes it whole again however the block ends."""
        if self._rows is None:
            yield
            return
        # Whoever had the whole table since may have changed it.
        self._small.detach().copy_(self._whole.detach()[self._rows])
        self._table.weight, self._table.row_of = self._small, self._row_of

        def as_whole(_table: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
            self._settle()
            state[f"{prefix}weight"] = self._whole.detach()

        hook = self._table.register_state_dict_post_hook(as_whole)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            hook.remove()
            self._settle()
            self._table.weight, self._table.row_of = self._whole, None

    def _settle(self) -> None:
        """Brings every row of the whole table up to date."""
        assert self._rows is not None
        whole = self._whole.detach()
        whole[self._rows] = self._small.detach()
        if self._optimizer is None:
            return
        # A step whose gradients were not finite was counted, and left everything as it was.
        taken, last = self._optimizer.step_count, self._optimizer.last_gradient_norm
        steps = range(self._settled, taken if math.isfinite(last) else taken - 1)
        factor = self._optimizer.decay_over(self._small, steps)
        self._settled = taken
        if factor != 1:
            whole.mul_(torch.where(self._others, factor, 1.0)[:, None])


def _is_plain(classifier: Classifier, weight: nn.Parameter) -> bool:
    """Whether nobody would miss the parameter: it trains on a processor, in one place, and no hook waits for it."""
    uses = sum(parameter is weight for _, parameter in classifier.named_parameters(remove_duplicate=False))
    return weight.requires_grad and weight.device.type == "cpu" and uses == 1 and not has_hooks(weight)


def _seen(token_ids: NDArray[Any], size: int) -> NDArray[np.bool_] | None:
    """Tells of each id below `size` whether it occurs; None where others do, which are refused in their batch."""
    seen = np.zeros(size, bool)
    for start in range(0, len(token_ids), _TOKENS_AT_ONCE):
        some = np.asarray(token_ids[start : start + _TOKENS_AT_ONCE])
        if not 0 <= int(some.min()) <= int(some.max()) < size:
            return None
        seen[some] = True
    return seen
