"""The same step with each of its parts in a pass over memory of its own, to measure what one pass is worth."""

from torch import Tensor

from bertune.optim.native_step import NativeStep, Source, TableSource
from bertune.optim.scheduled_adam import ScheduledAdam


class StepInPasses(NativeStep):
    """Widens gradients to float32, clips them, updates, and copies the weights to bfloat16, one after the other.

    Args:
        optimizer: see `NativeStep`.
        sources: see `NativeStep`.
        tables: see `NativeStep`.
    """

    def __init__(
        self, optimizer: ScheduledAdam, sources: dict[int, Source], tables: dict[int, TableSource] | None = None
    ) -> None:
        self._given = sources
        super().__init__(optimizer, {key: Source(given.gradient.float()) for key, given in sources.items()}, tables)

    def step(self) -> float:
        """See `NativeStep`."""
        for key, given in self._given.items():
            self.sources[key].gradient.copy_(given.gradient)
        norm = super().step()
        for parameter in self._parameters():
            source = self._given.get(id(parameter))
            if source is not None and source.shadow is not None:
                source.shadow.copy_(parameter.detach())
        return norm

    def _divisor(self, norm: float) -> float:
        divisor = super()._divisor(norm)
        if divisor > 1:
            for parameter in self._parameters():
                if self._has_gradient(parameter):
                    self._gradient(parameter).div_(divisor)
        return 1.0

    def _has_gradient(self, parameter: Tensor) -> bool:
        return id(parameter) in self.sources or id(parameter) in self.tables or parameter.grad is not None

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
