"""The token table of a run: only the rows of tokens that occur in its training data."""

from collections.abc import Iterator, Mapping
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
        self._classifier = classifier
        self._optimizer: ScheduledAdam | None = None
        self._settled = 0
        self._rows: Tensor | None = None
        is_plain = isinstance(table, Table) and _is_plain(classifier, self._whole)
        seen = None if token_ids is None or not is_plain else _seen(token_ids, len(table.weight))
        if seen is None or seen.all():
            return
        self._name = next(name for name, parameter in classifier.named_parameters() if parameter is self._whole)
        self._rows = torch.from_numpy(np.flatnonzero(seen))
        self._others = torch.from_numpy(~seen)
        self._row_of = torch.full((len(seen),), -1)
        self._row_of[self._rows] = torch.arange(len(self._rows))
        self._small = nn.Parameter(torch.empty(len(self._rows), self._whole.shape[1]))

    def follow(self, optimizer: ScheduledAdam) -> None:
        """Takes the optimizer that was made for the table in use; its decay is that of the rows left out."""
        self._optimizer, self._settled = optimizer, optimizer.step_count

    @property
    def settled(self) -> int:
        """Steps whose decay the rows that were left out have been given."""
        return self._settled

    def trained(self) -> dict[str, nn.Parameter]:
        """Returns the classifier's parameters by name, the small table in the place of the whole one."""
        found = dict(self._classifier.named_parameters())
        return found if self._rows is None else found | {self._name: self._small}

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights by name as they are at this step; the rows left out are those of step `settled`.

        Settling them here would round once more than a run that is not looked at.
        """
        found = {name: parameter.detach() for name, parameter in self.trained().items()}
        if self._rows is not None:
            found[self._name] = self._whole.detach().clone()
            if self._table.weight is self._small:
                found[self._name][self._rows] = self._small.detach()
        return found

    def load(self, tensors: Mapping[str, Tensor], settled: int) -> None:
        """Takes over what `tensors` and `settled` gave; while the table is not in use."""
        for name, parameter in self._classifier.named_parameters():
            parameter.detach().copy_(tensors[name])
        self._settled = settled

    def skip_step(self) -> None:
        """Leaves the step that the optimizer has just counted out of the decay: it left everything as it was."""
        if self._rows is not None and self._optimizer is not None:
            self._settle(self._optimizer.step_count - 1)
            self._settled = self._optimizer.step_count

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

    @contextmanager
    def shown_whole(self) -> Iterator[None]:
        """Shows the whole table while it is `in_use`, as it is after this step, and leaves no trace of that.

        The rows that were left out are brought up to date for as long as the block lasts: that they stay so would round
        them once more than in a run that is not looked at. What is done to the table meanwhile is lost.
        """
        if self._rows is None:
            yield
            return
        others, settled = self._whole.detach().clone(), self._settled
        self._settle()
        self._table.weight, self._table.row_of = self._whole, None
        try:
            yield
        finally:
            self._table.weight, self._table.row_of = self._small, self._row_of
            self._whole.detach().copy_(others)
            self._settled = settled

    def _settle(self, taken: int | None = None) -> None:
        """Brings every row of the whole table up to date, or to a number of steps."""
        assert self._rows is not None
        whole = self._whole.detach()
        whole[self._rows] = self._small.detach()
        if self._optimizer is None:
            return
        taken = self._optimizer.step_count if taken is None else taken
        factor = self._optimizer.decay_over(self._small, range(self._settled, taken))
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
