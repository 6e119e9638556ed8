"""One step of Adam over all parameters at once, by compiled kernels: one pass for the norm, one for the update."""

import ctypes
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.kernels.build import NoKernelsError
from bertune.kernels.interface import Parameter, pointer
from bertune.kernels.library import kernels_for
from bertune.optim.scheduled_adam import ScheduledAdam


@dataclass
class Source:
    """Source of a parameter's gradient, if it is not `parameter.grad`.

    Args:
        gradient: in the parameter's shape, float32 or bfloat16; for a table, the rows that were touched.
        bf16_copy: bfloat16 copy that follows the parameter; None for none.
    """

    gradient: Tensor
    bf16_copy: Tensor | None = None


@dataclass
class TableSource:
    """An embedding of which each step touches some rows: the gradient of the others is zero, and is not kept.

    Args:
        gradient: (touched, width) float32, of the rows touched in this step.
        slots: (rows,) int32, where each row's gradient lies in `gradient`, -1 for none.
    """

    gradient: Tensor
    slots: NDArray[np.int32]


@dataclass
class _Entries:
    """Parameters as the kernels read them.

    Args:
        array: all of them, group by group.
        groups: where each of the optimizer's groups begins, and how many entries it has.
        without_place: entries with parameters whose gradient may lie elsewhere in each step.
    """

    array: "ctypes.Array[Parameter]"
    groups: list[tuple[int, int]]
    without_place: list[tuple[Parameter, Tensor]]


class KernelStep:
    """Takes the steps of an optimizer by compiled kernels, with its arithmetic.

    Parameters, moments, and what `sources` and `tables` name stay where they lie in memory; a table's gradient may
    move.

    Args:
        optimizer: its schedule, clip, coefficients, moments and step counter hold.
        sources: gradients by `id` of the parameter; parameters not named here have theirs in `.grad`.
        tables: the same for embeddings.

    Raises:
        NoKernelsError: there are no kernels here, or a parameter is not float32 in the processor's memory.
    """

    def __init__(
        self, optimizer: ScheduledAdam, sources: dict[int, Source], tables: dict[int, TableSource] | None = None
    ) -> None:
        _check_parameters(optimizer)
        self.optimizer = optimizer
        self.sources = sources
        self.tables = tables or {}
        self.kernels = kernels_for(torch.float32)
        self.threads = torch.get_num_threads()
        every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._with_grad = [p for p in every if id(p) not in self.sources and id(p) not in self.tables]
        self._entries: _Entries | None = None
        self._moving: list[bool] = []

    def step(self) -> float:
        """Clips and updates; leaves everything as it is where the norm is not finite.

        Returns:
            The global norm before clipping.
        """
        optimizer, kernels = self.optimizer, self.kernels
        entries = self._entries_of_step()
        squares = kernels.sum_of_squares(entries.array, len(entries.array), self.threads)
        norm = math.sqrt(squares) if squares >= 0 else math.nan
        count, rate = optimizer.begin_step(norm)
        if not math.isfinite(norm):
            return norm
        divisor = optimizer.clip_divisor(norm)
        for group, (first_entry, number) in zip(optimizer.param_groups, entries.groups, strict=True):
            by = optimizer.coefficients(group, count + 1, rate)
            first = 1.0 if math.isinf(by.step) else 1 - by.beta_1**by.step
            second = 1.0 if math.isinf(by.step) else 1 - by.beta_2**by.step
            kernels.adamw_step(
                ctypes.byref(entries.array, first_entry * ctypes.sizeof(Parameter)),
                number,
                by.rate * by.weight_decay,
                divisor,
                by.beta_1,
                by.beta_2,
                by.rate / first,
                1 / math.sqrt(second),
                by.epsilon,
                self.threads,
            )
        return norm

    def _entries_of_step(self) -> _Entries:
        """Returns the parameters that have a gradient in this step, with the places of those that may move."""
        moving = [parameter.grad is not None for parameter in self._with_grad]
        if self._entries is None or moving != self._moving:
            self._moving, self._entries = moving, self._new_entries()
        for entry, parameter in self._entries.without_place:
            _point(entry, self._gradient(parameter))
        return self._entries

    def _new_entries(self) -> _Entries:
        known = {**self.sources, **self.tables}
        parameters, groups = list[Tensor](), list[tuple[int, int]]()
        for group in self.optimizer.param_groups:
            own = [parameter for parameter in group["params"] if id(parameter) in known or parameter.grad is not None]
            groups.append((len(parameters), len(own)))
            parameters += own
        array = (Parameter * len(parameters))(*map(self._new_entry, parameters))
        pairs = zip(array, parameters, strict=True)
        return _Entries(array, groups, [(entry, p) for entry, p in pairs if id(p) not in self.sources])

    def _gradient(self, parameter: Tensor) -> Tensor:
        source: Source | TableSource | None = self.sources.get(id(parameter)) or self.tables.get(id(parameter))
        if source is not None:
            return source.gradient
        assert parameter.grad is not None
        return parameter.grad

    def _new_entry(self, parameter: Tensor) -> Parameter:
        entry = Parameter(value=pointer(parameter))
        _point(entry, self._gradient(parameter))
        entry.m, entry.v = map(pointer, self.optimizer.moments_of(parameter))
        table = self.tables.get(id(parameter))
        if table is not None:
            entry.slot_of = table.slots.ctypes.data
            entry.count, entry.width = parameter.shape
        else:
            source = self.sources.get(id(parameter))
            entry.bf16_copy = pointer(source.bf16_copy if source else None)
            entry.count, entry.width = 1, parameter.numel()
        return entry


def _check_parameters(optimizer: ScheduledAdam) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.device.type != "cpu" or parameter.dtype != torch.float32 or not parameter.is_contiguous():
                raise NoKernelsError("the parameters are not all float32 in the processor's memory")


def _point(entry: Parameter, gradient: Tensor) -> None:
    entry.gradient, entry.gradients = pointer(gradient), gradient.numel()
    entry.narrow = int(gradient.dtype == torch.bfloat16)
