"""Base of both flavours of Adam: one clip, one schedule, one step counter, one kernel launch a group."""

import inspect
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor

from bertune.errors import CheckpointError, ConfigError
from bertune.optim.schedule import Schedule

_MOMENTS = ("m", "v")
# Torch wraps this method in one that imports its compiler, which takes a second and compiles nothing here.
_add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


class Coefficients(NamedTuple):
    """The numbers of one step that torch's AdamW kernel works with.

    The kernel computes, with c1 = 1 - beta_1^step and c2 = 1 - beta_2^step,
    `var -= rate * weight_decay * var`, then `var -= rate / c1 * m / (sqrt(v) / sqrt(c2) + epsilon)`.
    """

    rate: float
    beta_1: float
    beta_2: float
    weight_decay: float
    epsilon: float
    step: float


class ScheduledAdam(torch.optim.Optimizer, ABC):
    """Adam with decoupled weight decay, a clip by global norm and a learning rate that follows a schedule.

    A step takes the global norm of all gradients, clips them to `gradient_clip_norm`, and updates each parameter with
    torch's fused kernel: clip, decay, both moments and the update in one pass over memory. Where the clip acts,
    `parameter.grad` holds the clipped gradient afterwards, as it does after `torch.nn.utils.clip_grad_norm_`.

    **Gradients that are not finite** (or whose norm overflows float32): parameters and moments stay as they are, bit
    for bit; `last_gradient_norm` tells the caller, who decides what to do. The step counts as taken, so that the
    schedule keeps in line with the batches. On an accelerator this needs no wait for the device: reading
    `last_gradient_norm` is what waits.

    **Saving**: `state_dict` holds the moments, each group's settings and the step counter; a run that loads it resumes
    bit for bit. The schedule itself is not in it, as it is code: build the optimizer with the same arguments, then
    load. As with every torch optimizer, loaded tensors are not copied.

    Subclasses give the arithmetic: `AdamWeightDecay` and `TorchAdamW`.

    Args:
        params: parameters, (name, parameter) pairs, or groups of them as `decay_groups` makes them. Contiguous, and
            float32 or float64: for bfloat16 computation keep float32 master weights.
        learning_rate: a number, or a schedule from the step, counted from 0, to a number. A group may bring a
            `rate_scale`, by which it is multiplied there.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: keeps the division finite, above 0.
        weight_decay_rate: of groups that do not bring their own; at least 0.
        gradient_clip_norm: the greatest global norm; `None` or 0 clips nothing.

    Raises:
        ConfigError: a setting outside its range, or parameters that cannot be updated.
    """

    def __init__(
        self,
        params: Iterable[Any],
        learning_rate: float | Schedule,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay_rate: float,
        gradient_clip_norm: float | None,
    ) -> None:
        self.gradient_clip_norm = gradient_clip_norm or None
        self._learning_rate = learning_rate
        self._last_norm: Tensor | None = None
        if not callable(learning_rate) and not (math.isfinite(learning_rate) and learning_rate >= 0):
            raise ConfigError(f"learning_rate must be a finite number that is not negative, and is {learning_rate}")
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise ConfigError(f"gradient_clip_norm must be above 0 (or None), and is {gradient_clip_norm}")
        defaults = {
            "lr": 0.0,
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": epsilon,
            "weight_decay_rate": weight_decay_rate,
            "rate_scale": 1.0,
            "step_count": 0,
        }
        super().__init__(params, defaults)
        self._publish_rate()

    @property
    def step_count(self) -> int:
        """Number of steps taken; also the number, from 0, of the next step."""
        return int(self.param_groups[0]["step_count"])

    @property
    def last_gradient_norm(self) -> float:
        """The global norm of the last step's gradients before clipping; nan before the first step.

        Not a finite number where that step left everything untouched. On an accelerator, reading it waits for the step.
        """
        return math.nan if self._last_norm is None else float(self._last_norm.item())

    def learning_rate_at(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        rate = self._learning_rate
        return float(rate(step)) if callable(rate) else float(rate)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with settings of their own; they join at the step the others are at.

        Raises:
            ConfigError: a setting outside its range, or parameters that cannot be updated.
        """
        if self.param_groups:
            first = self.param_groups[0]
            lr = first["lr"] / first["rate_scale"] * param_group.get("rate_scale", 1.0)
            param_group = {**param_group, "step_count": self.step_count, "lr": lr}
        _add_param_group(self, param_group)
        _check_group(self.param_groups[-1])

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Updates every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients again, as in torch.

        Returns:
            What the closure returned, or `None`.

        Raises:
            ConfigError: no parameter has a gradient, or one is sparse.
        """
        loss: float | None = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over moments, settings and step counter, so that training resumes where it was saved.

        Raises:
            CheckpointError: the state belongs to other parameters or to another optimizer; this one is as it was.
        """
        before = {"state": self.state, "param_groups": self.param_groups}
        names = [group.get("param_names") for group in self.param_groups]
        try:
            super().load_state_dict(state_dict)
            for group, expected in zip(self.param_groups, names, strict=True):
                group.setdefault("rate_scale", 1.0)  # a state saved before groups had rates of their own
                _check_loaded_group(group, expected, self.state)
        except (ValueError, KeyError) as error:
            self.__setstate__(before)
            raise CheckpointError(f"optimizer state does not fit: {error}") from error
        except CheckpointError:
            self.__setstate__(before)
            raise

    def known_moments(self) -> dict[Tensor, tuple[Tensor, Tensor]]:
        """Returns the moments m and v of each parameter that has any: those that were updated."""
        return {parameter: (held["m"], held["v"]) for parameter, held in self.state.items() if "m" in held}

    def take_up(self, step_count: int, moments: Mapping[Tensor, tuple[Tensor, Tensor]]) -> None:
        """Takes over the number of steps taken and the moments, so that the next step is that of a run left there.

        As `load_state_dict` does, by the parameters themselves; the settings of the groups stay as they are made.

        Args:
            step_count: steps taken.
            moments: m and v of each parameter that was updated; kept, not copied.

        Raises:
            CheckpointError: a moment has another shape than its parameter.
        """
        known = {parameter for group in self.param_groups for parameter in group["params"]}
        for parameter, pair in moments.items():
            if parameter not in known or any(moment.shape != parameter.shape for moment in pair):
                raise CheckpointError(f"optimizer state does not fit a parameter of shape {tuple(parameter.shape)}")
            held = (moment.to(device=parameter.device, dtype=parameter.dtype).contiguous() for moment in pair)
            self.state[parameter] = dict(zip(_MOMENTS, held, strict=True))
        for group in self.param_groups:
            group["step_count"] = step_count
        self._publish_rate()

    def begin_step(self, norm: float) -> tuple[int, float]:
        """Counts a step that other code takes in this optimizer's place.

        Args:
            norm: the global norm of its gradients; not finite where it leaves everything untouched.

        Returns:
            The number of the step, from 0, and its rate, of groups whose `rate_scale` is 1.
        """
        self._last_norm = torch.tensor(norm)
        count, rate = self.step_count, self._publish_rate()
        for group in self.param_groups:
            group["step_count"] = count + 1
        return count, rate

    def clip_divisor(self, norm: float) -> float:
        """Returns what gradients of this norm are divided by, at least 1."""
        if self.gradient_clip_norm is None:
            return 1.0
        return float(self._clip_divisor(torch.tensor(norm, dtype=torch.float32), self.gradient_clip_norm))

    def coefficients(self, group: dict[str, Any], step: int, rate: float) -> Coefficients:
        """Returns the numbers of a step, counted from 1, for a group, whose own `rate_scale` multiplies the rate."""
        return self._coefficients(group, step, rate * group["rate_scale"])

    def decay_over(self, parameter: Tensor, steps: range) -> float:
        """Returns what weight decay alone leaves of a parameter over some steps, counted from 0: a factor."""
        (group,) = (group for group in self.param_groups if any(parameter is known for known in group["params"]))
        factor = 1.0
        for step in steps:
            by = self.coefficients(group, step + 1, self.learning_rate_at(step))
            factor *= 1 - by.rate * by.weight_decay
        return factor

    def moments_of(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """Returns a parameter's moments m and v, zeros where it was never updated."""
        state = self.state[parameter]
        for moment in _MOMENTS:
            if moment not in state:
                state[moment] = torch.zeros_like(parameter)
        return state["m"], state["v"]

    def _step(self) -> None:
        pairs = [(group, *_with_gradients(group)) for group in self.param_groups]
        gradients = [gradient for _, _, gradients in pairs for gradient in gradients]
        if not gradients:
            raise ConfigError("no parameter has a gradient", hint="call loss.backward() before step()")
        norm = self._last_norm = _global_norm(self._norm_parts(gradients))
        count, rate = self.step_count, self._publish_rate()
        for group in self.param_groups:
            group["step_count"] = count + 1
        if norm.device.type == "cpu" and not math.isfinite(norm.item()):
            return
        for group, parameters, gradients in pairs:
            self._update(parameters, gradients, self.coefficients(group, count + 1, rate), norm)

    def _norm_parts(self, gradients: list[Tensor]) -> list[Tensor]:
        """Returns tensors whose global norm is that of the gradients; here the gradients, as torch clips them."""
        return gradients

    def _publish_rate(self) -> float:
        """Writes the rate of the step about to be taken where torch's own tools look for it."""
        rate = self.learning_rate_at(self.step_count)
        for group in self.param_groups:
            group["lr"] = rate * group["rate_scale"]
        return rate

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], by: Coefficients, norm: Tensor) -> None:
        alike: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, ...]]] = defaultdict(list)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            alike[parameter.device, parameter.dtype].append((parameter, gradient, *self.moments_of(parameter)))
        for (device, _), rows in alike.items():
            variables, grads, first, second = (list(column) for column in zip(*rows, strict=True))
            steps = [torch.full((), by.step, dtype=torch.float32, device=device)] * len(variables)
            divisor, skip = self._clip(norm, device)
            torch._fused_adamw_(
                variables,
                grads,
                first,
                second,
                [],
                steps,
                lr=by.rate,
                beta1=by.beta_1,
                beta2=by.beta_2,
                weight_decay=self._decay(variables, by),
                eps=by.epsilon,
                amsgrad=False,
                maximize=False,
                grad_scale=divisor,
                found_inf=skip,
            )

    def _decay(self, variables: list[Tensor], by: Coefficients) -> float:
        """Returns the weight decay that is left to the kernel; a subclass may do it itself beforehand."""
        del variables
        return by.weight_decay

    def _clip(self, norm: Tensor, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """Returns what the kernel divides gradients by, and whether it is to leave all as it is; `None` is no."""
        divisor = None
        if self.gradient_clip_norm is not None:
            divisor = self._clip_divisor(norm, self.gradient_clip_norm).to(device=device, dtype=torch.float32)
        if device.type != "cpu":  # Asking for the value would wait for the device, so the kernel asks.
            return divisor, torch.isfinite(norm).logical_not().to(device=device, dtype=torch.float32)
        return (divisor if divisor is not None and divisor.item() > 1 else None), None

    @abstractmethod
    def _clip_divisor(self, norm: Tensor, limit: float) -> Tensor:
        """Returns what gradients of this norm are divided by to respect the limit, at least 1."""

    @abstractmethod
    def _coefficients(self, group: dict[str, Any], step: int, rate: float) -> Coefficients:
        """Returns the kernel's numbers for a step, counted from 1 as Adam's bias correction does."""


def _with_gradients(group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
    for parameter in parameters:
        if parameter.grad.is_sparse:
            raise ConfigError(
                f"a gradient of shape {tuple(parameter.shape)} is sparse", hint="build the embedding with sparse=False"
            )
    # The kernel walks through memory and never looks at strides.
    return parameters, [parameter.grad.contiguous() for parameter in parameters]


def _global_norm(gradients: list[Tensor]) -> Tensor:
    norms = torch._foreach_norm(gradients)
    first = norms[0]
    every = torch.stack([norm.to(device=first.device, dtype=first.dtype) for norm in norms])
    total: Tensor = torch.linalg.vector_norm(every)
    return total


def _check_group(group: dict[str, Any]) -> None:
    ranges = {
        "beta_1": 0 <= group["beta_1"] < 1,
        "beta_2": 0 <= group["beta_2"] < 1,
        "epsilon": 0 < group["epsilon"] < math.inf,
        "weight_decay_rate": 0 <= group["weight_decay_rate"] < math.inf,
        "rate_scale": 0 < group["rate_scale"] < math.inf,
    }
    for name, holds in ranges.items():
        if not holds:
            raise ConfigError(f"{name} is out of range: {group[name]}")
    for parameter in group["params"]:
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"a parameter of shape {tuple(parameter.shape)} is {parameter.dtype}; float32 is needed",
                hint="keep float32 master weights and compute in bfloat16",
            )
        if not parameter.is_contiguous():
            raise ConfigError(f"a parameter of shape {tuple(parameter.shape)} is not contiguous in memory")


def _check_loaded_group(group: dict[str, Any], expected_names: list[str] | None, state: dict[Tensor, Any]) -> None:
    if "step_count" not in group or "beta_1" not in group:
        raise CheckpointError("optimizer state does not fit: it was saved by another kind of optimizer")
    names = group.get("param_names")
    if expected_names is not None and names != expected_names:
        raise CheckpointError("optimizer state does not fit: its parameters have other names, or another order")
    for index, parameter in enumerate(group["params"]):
        for moment in _MOMENTS:
            value = state.get(parameter, {}).get(moment)
            if value is None:
                continue
            if value.shape != parameter.shape:
                name = names[index] if names else f"number {index}"
                raise CheckpointError(
                    f"optimizer state does not fit: parameter {name} is {tuple(parameter.shape)}, "
                    f"its saved {moment} {tuple(value.shape)}"
                )
            state[parameter][moment] = value.contiguous()
