"""AdamWeightDecay as tf-models-official computes it, and AdamW as torch computes it."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertune.optim.schedule import Schedule
from bertune.optim.scheduled_adam import Coefficients, ScheduledAdam


class AdamWeightDecay(ScheduledAdam):
    """The optimizer of the released BERT, with its arithmetic.

    A step number t (from 1), at the schedule's rate of step t - 1:

    1. clip: with n the global norm of all gradients, `g = g * gradient_clip_norm / max(n, gradient_clip_norm)`
    2. decay, in groups that decay: `var -= rate * weight_decay_rate * var`
    3. moments: `m = beta_1 * m + (1 - beta_1) * g` and `v = beta_2 * v + (1 - beta_2) * g * g`
    4. update: `var -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`

    `epsilon` is the "epsilon hat" of Kingma and Ba, added before the bias correction of v. In early steps it weighs up
    to `1 / sqrt(1 - beta_2)`, about 32 times, more than the epsilon of `torch.optim.AdamW`; `TorchAdamW` has that one.

    Deviation from the original: its word embedding has a sparse gradient, whose norm in step 1 it takes before the
    occurrences of a token are summed; here n is the norm of the true gradient. See docs/concepts/optimizer.md.

    Source: `official/modeling/optimization/legacy_adamw.py` of tf-models-official 2.20.0, on Keras' legacy `Adam`; the
    defaults are theirs (the tutorial's own values come from `create_optimizer`). For saving and errors see
    `ScheduledAdam`.

    Args:
        params: parameters, (name, parameter) pairs, or groups of them as `decay_groups` makes them.
        learning_rate: a number, or a schedule from the step, counted from 0, to a number.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: keeps the division finite, above 0.
        weight_decay_rate: of groups that do not bring their own; at least 0.
        gradient_clip_norm: the greatest global norm; `None` or 0 clips nothing.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = bertune.AdamWeightDecay([weight], learning_rate=1e-3, weight_decay_rate=0.01)
        >>> weight.sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[Any],
        learning_rate: float | Schedule = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay_rate: float = 0.0,
        gradient_clip_norm: float | None = 1.0,
    ) -> None:
        super().__init__(
            params,
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay_rate=weight_decay_rate,
            gradient_clip_norm=gradient_clip_norm,
        )

    def _clip_divisor(self, norm: Tensor, limit: float) -> Tensor:
        return (norm / limit).clamp(min=1.0)

    def _norm_parts(self, gradients: list[Tensor]) -> list[Tensor]:
        # Over the 23 million numbers of a word embedding torch's processor kernel loses a thousandth of the norm to
        # rounding, TensorFlow's does not. Over rows, and then over their norms, nothing is lost.
        return [
            torch.linalg.vector_norm(gradient, dim=-1)
            if gradient.dim() > 1 and gradient.device.type == "cpu"
            else gradient
            for gradient in gradients
        ]

    def _decay(self, variables: list[Tensor], by: Coefficients) -> float:
        if variables[0].device.type != "cpu":
            return by.weight_decay
        # torch's processor kernel multiplies by 1 - rate * decay, and beside 1 float32 holds 2e-7 to one digit only.
        if by.weight_decay:
            torch._foreach_add_(variables, variables, alpha=-by.rate * by.weight_decay)
        return 0.0

    def _coefficients(self, group: dict[str, Any], step: int, rate: float) -> Coefficients:
        # Everything in float32, as in Keras: 1 - 0.999^t has five good digits at first, and 1 - beta_2 of the float32
        # beta_2 is off by 1e-5. Over 200 steps at a rate of 0.01 the difference would show in the sixth digit.
        one, power = np.float32(1.0), np.float32(step)
        beta_1, beta_2 = np.float32(group["beta_1"]), np.float32(group["beta_2"])
        first, second = one - beta_1**power, np.sqrt(one - beta_2**power)
        # At step infinity the kernel corrects nothing: the correction is in the rate, and taken out of the decay again.
        return Coefficients(
            rate=float(np.float32(rate) * (second / first)),
            beta_1=float(beta_1),
            beta_2=float(beta_2),
            weight_decay=group["weight_decay_rate"] * float(first) / float(second),
            epsilon=group["epsilon"],
            step=math.inf,
        )


class TorchAdamW(ScheduledAdam):
    """`torch.optim.AdamW` after `torch.nn.utils.clip_grad_norm_`, with the schedule and the interface of this package.

    Differs from `AdamWeightDecay` in where epsilon is added (`m / c1 / (sqrt(v / c2) + epsilon)`, with the bias
    corrections c1 and c2 inside), in float64 for the bias corrections, and in the clip, which divides by
    `(n + 1e-6) / gradient_clip_norm`. Differs from torch in one point: the step counter belongs to the optimizer, so a
    parameter without a gradient in some steps meets the bias correction of all steps.

    For arguments and the rest see `ScheduledAdam`; the defaults are torch's, and nothing is clipped by default.
    """

    def __init__(
        self,
        params: Iterable[Any],
        learning_rate: float | Schedule = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay_rate: float = 0.01,
        gradient_clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            params,
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay_rate=weight_decay_rate,
            gradient_clip_norm=gradient_clip_norm,
        )

    def _clip_divisor(self, norm: Tensor, limit: float) -> Tensor:
        return torch.clamp((norm + 1e-6) / limit, min=1.0)

    def _coefficients(self, group: dict[str, Any], step: int, rate: float) -> Coefficients:
        return Coefficients(
            rate=rate,
            beta_1=group["beta_1"],
            beta_2=group["beta_2"],
            weight_decay=group["weight_decay_rate"],
            epsilon=group["epsilon"],
            step=float(step),
        )
