"""Steps of Adam whose numbers all lie on the device: nothing is sent there or asked, so they can be recorded."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bertune.optim.scheduled_adam import ScheduledAdam


@dataclass(frozen=True)
class _GroupNumbers:
    """What changes from step to step for a group of parameters, each (steps,) float32 on the device.

    Args:
        rates: the kernel's rates.
        decays: share that weight decay takes.
        counts: the step as the kernel's bias correction counts it; infinite for none.
    """

    rates: Tensor
    decays: Tensor
    counts: Tensor


class DeviceStep:
    """Takes the steps of an optimizer, with its arithmetic, by numbers computed beforehand for the whole run.

    Once a loss or a gradient norm is not finite, this step and all later ones leave parameters and moments as they are.
    The processor learns of it when it next looks, and finds the model before that step.

    Args:
        optimizer: its schedule, clip, moments and coefficients hold. All its parameters lie on one device.
        steps: of the run; no more can be taken.
        device: where the parameters lie.
    """

    def __init__(self, optimizer: ScheduledAdam, steps: int, device: torch.device) -> None:
        self.optimizer = optimizer
        self.parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"] if parameter.requires_grad
        ]
        self.norm = torch.zeros((), device=device)
        self._number = torch.zeros(1, dtype=torch.int64, device=device)
        self._diverged = torch.zeros((), dtype=torch.bool, device=device)
        first = optimizer.step_count
        of_run = range(first, first + steps)
        self._numbers = [_numbers(optimizer, group, of_run, device) for group in optimizer.param_groups]

    def take(self, loss: Tensor, gradients: tuple[Tensor | None, ...]) -> None:
        """Clips and updates; the norm before clipping is in `norm` afterwards.

        Args:
            loss: of the step; not finite, it stops all updates as a norm does.
            gradients: of `parameters`, in order; None for those that had no part in the loss.
        """
        known = {
            id(parameter): gradient.contiguous()
            for parameter, gradient in zip(self.parameters, gradients, strict=True)
            if gradient is not None
        }
        with torch.no_grad():
            norm = self.optimizer.norm_of(list(known.values()))
            self.norm.copy_(norm)
            self._diverged.logical_or_(torch.isfinite(norm + loss.detach()).logical_not())
            for group, numbers in zip(self.optimizer.param_groups, self._numbers, strict=True):
                moving = [parameter for parameter in group["params"] if id(parameter) in known]
                if moving:
                    self._update(group, moving, [known[id(parameter)] for parameter in moving], numbers)
            self._number.add_(1)

    def _update(
        self, group: dict[str, Any], variables: list[Tensor], gradients: list[Tensor], numbers: _GroupNumbers
    ) -> None:
        by = self.optimizer.coefficients(group, 1, 0.0)  # of which only what never changes is used
        rate, decay, count = (
            row.index_select(0, self._number).squeeze(0) for row in (numbers.rates, numbers.decays, numbers.counts)
        )
        if group["weight_decay_rate"]:
            # The kernel takes its rate from the device but not its decay, whose bias correction changes with the step.
            decay = torch.where(self._diverged, 0.0, decay)
            torch._foreach_sub_(variables, torch._foreach_mul(variables, decay))
        moments = [self.optimizer.moments_of(variable) for variable in variables]
        torch._fused_adamw_(
            variables,
            gradients,
            [first for first, _ in moments],
            [second for _, second in moments],
            [],
            [count] * len(variables),
            lr=rate,
            beta1=by.beta_1,
            beta2=by.beta_2,
            weight_decay=0.0,
            eps=by.epsilon,
            amsgrad=False,
            maximize=False,
            grad_scale=self.optimizer.clip_divisor_of(self.norm),
            found_inf=self._diverged.to(torch.float32),
        )


def _numbers(optimizer: ScheduledAdam, group: dict[str, Any], steps: range, device: torch.device) -> _GroupNumbers:
    rows = []
    for step in steps:
        by = optimizer.coefficients(group, step + 1, optimizer.learning_rate_at(step))
        rows.append((by.rate, by.rate * by.weight_decay, by.step))
    rates, decays, counts = (torch.tensor(column, dtype=torch.float32) for column in zip(*rows, strict=True))
    return _GroupNumbers(rates.to(device), decays.to(device), counts.to(device))
