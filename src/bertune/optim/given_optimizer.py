"""Any optimizer of torch, with a scheduler and a clip, in the place of one of this package."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bertune.errors import ConfigError


class GivenOptimizer:
    """Takes steps as `ScheduledAdam` does: clip by the global norm, update, next rate.

    Gradients that are not finite leave parameters, state and scheduler as they are.

    Args:
        optimizer: of torch, or with its interface.
        scheduler: of its rates; steps once after each optimizer step.
        gradient_clip_norm: the greatest global norm; None or 0 clips nothing.

    Raises:
        ConfigError: an optimizer that needs a closure, or a scheduler that is another optimizer's or needs a metric.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler | None,
        *,
        gradient_clip_norm: float | None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ConfigError(
                "LBFGS computes the loss several times a step, which fit does not", hint="take another optimizer"
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ConfigError(
                "ReduceLROnPlateau follows a metric, and a scheduler of fit is stepped after each optimizer step",
                hint="step it in a callback: on_epoch(self, result) has the scores",
            )
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ConfigError("the scheduler is that of another optimizer", hint="make it with the one given to fit")
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.gradient_clip_norm = gradient_clip_norm or None
        self.last_gradient_norm = math.nan

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters with their settings."""
        return self.optimizer.param_groups

    def learning_rate_at(self, step: int) -> float:
        """Returns the rate of the step that comes next, of the first group."""
        del step  # the scheduler counts
        return float(self.param_groups[0]["lr"])

    def step(self) -> None:
        """Clips, updates every parameter that has a gradient, and moves the scheduler on.

        Raises:
            ConfigError: no parameter has a gradient.
        """
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            raise ConfigError(
                "no parameter of the optimizer has a gradient", hint="make it with classifier.parameters()"
            )
        norm = torch.nn.utils.get_total_norm(gradients)
        self.last_gradient_norm = norm.item()
        if not math.isfinite(self.last_gradient_norm):
            return
        if self.gradient_clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip_norm, norm)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
