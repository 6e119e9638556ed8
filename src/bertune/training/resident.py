"""Training with everything on the device: data, order, rates, losses. The processor only says which shape comes next.

It never waits within an epoch for what it has just asked for: losses are fetched in chunks, each while the device works
on the next one.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.ablation import without
from bertune.batches.batch import pack
from bertune.batches.dataset import Dataset
from bertune.batches.resident import ResidentData, bucket_of
from bertune.batches.sampler import batches_of, steps_in_epoch
from bertune.encoder.encoder import check_ids
from bertune.encoder.native_conditions import has_hooks
from bertune.encoder.varlen_attention import attention_kernel
from bertune.heads.classifier import Classifier
from bertune.optim.device_step import DeviceStep
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.training.objective import Objective
from bertune.training.plan import TrainingPlan
from bertune.training.step import StepResult, check_finite, seed_of_step
from bertune.training.step_graphs import StepGraphs, cuda_recorder

# Steps whose losses are fetched at a time; the processor is at most two chunks ahead of the device.
_CHUNK: Final = 64
_EXAMPLES_CHECKED_AT_ONCE: Final = 4096


class NotResidentError(Exception):
    """Why a run cannot have everything on the device; the message is one line for the user."""


class ResidentTraining:
    """Trains a classifier where it lies, on data that lie there too.

    Args:
        classifier: trained in place; the encoder's `compute_dtype` is the type of the layers.
        optimizer: takes the steps; all its parameters on the classifier's device.
        train: all data of the run.
        plan: of the run.
        objective: what it learns.

    Raises:
        NotResidentError: says what is in the way.
        DataError: an id outside of the encoder's tables.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: ScheduledAdam,
        train: Dataset,
        plan: TrainingPlan,
        objective: Objective,
    ) -> None:
        device = self.device = classifier.classifier.weight.device
        _check_possible(classifier, optimizer, train, plan)
        _check_ids(train, classifier)
        self.classifier, self.optimizer = classifier, optimizer
        self._plan, self._objective = plan, objective
        self._lengths = np.diff(train.encoded.offsets)
        self._data = ResidentData(train, device)
        self._steps = steps_in_epoch(len(train), plan.batch_size)
        self._update = DeviceStep(optimizer, plan.epochs * self._steps, device)
        # What an epoch's steps read and write: the order, the place in it, the number of the step, loss and norm.
        self._order = torch.zeros(len(train), dtype=torch.int64, device=device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._values = torch.zeros(self._steps, 2, device=device)
        self.targets = self._data.targets
        self.logits = torch.zeros(len(train), classifier.num_labels, device=device)  # of each example's last step
        why_not = "none on a CPU" if device.type != "cuda" else _why_no_graphs(classifier)
        self._how_run = f"no CUDA graphs: {why_not}" if why_not else "CUDA graphs over token buckets"
        self._graphs = StepGraphs(self._step, None if why_not else cuda_recorder(device))

    @property
    def name(self) -> str:
        """How the run is computed, and what is not there and why."""
        encoder = self.classifier.encoder
        size = encoder.config.hidden_size // encoder.config.num_attention_heads
        kernel = attention_kernel(self.device, encoder.compute_dtype, size)
        how = {"varlen": "variable-length flash", "padded": "padded", "plain": "plain"}[kernel.name] + " attention"
        return ", ".join([self.device.type, f"{how} ({kernel.reason})" if kernel.reason else how, self._how_run])

    def epoch(self, order: NDArray[np.int64], number: int) -> Iterator[StepResult]:
        """Trains an epoch.

        Args:
            order: of the examples.
            number: of the epoch, from 1.

        Yields:
            What each step was, in order, some time after it was launched.

        Raises:
            DivergedError: a loss or a gradient norm is not finite; the parameters are those before that step.
        """
        self._order.copy_(torch.from_numpy(order))
        self._place.zero_()
        self._row.zero_()
        launched: list[tuple[int, float, int, int]] = []
        under_way: list[Callable[[], Iterator[StepResult]]] = []
        first = (number - 1) * self._steps
        for step, indices in enumerate(batches_of(order, self._plan.batch_size), start=first):
            tokens = int(self._lengths[indices].sum())
            torch.manual_seed(seed_of_step(self._plan.seed, step))
            self._graphs.run(len(indices), bucket_of(tokens))
            _, rate = self.optimizer.begin_step(self._update.norm)
            launched.append((step, rate, len(indices), tokens))
            if len(launched) == _CHUNK or step == first + self._steps - 1:
                under_way.append(self._fetch(launched, number, first))
                launched = []
            if len(under_way) > 1:
                yield from under_way.pop(0)()
        for results in under_way:
            yield from results()

    def _step(self, examples: int, tokens: int) -> None:
        """Takes a step: device work alone, on tensors that stay where they are."""
        places = self._place + torch.arange(examples, device=self.device)
        indices = self._order.index_select(0, places)
        batch = self._data.batch(indices, tokens)
        assert batch.targets is not None
        logits = self.classifier(batch)[:-1]  # the last sequence is the filler
        loss = self._objective.loss(logits, batch.targets)
        gradients = torch.autograd.grad(loss, self._update.parameters, allow_unused=True)
        self._update.take(loss, gradients)
        self._values.index_copy_(0, self._row, torch.stack([loss.detach(), self._update.norm])[None])
        self.logits.index_copy_(0, indices, logits.detach())
        self._place.add_(examples)
        self._row.add_(1)

    def _fetch(
        self, launched: list[tuple[int, float, int, int]], epoch: int, first: int
    ) -> Callable[[], Iterator[StepResult]]:
        """Asks for the losses of steps; returns what waits for them."""
        wait = _fetch(self._values[launched[0][0] - first : launched[-1][0] - first + 1])

        def results() -> Iterator[StepResult]:
            for (step, rate, examples, tokens), (loss, norm) in zip(launched, wait(), strict=True):
                check_finite(loss, "loss", step, rate)
                check_finite(norm, "gradient norm", step, rate)
                yield StepResult(step, epoch, loss, rate, norm, examples, tokens)

        return results


def _fetch(values: Tensor) -> Callable[[], Any]:
    """Copies from the device while it goes on; returns what waits for the copy alone."""
    if values.device.type != "cuda":
        return values.clone().tolist
    host = torch.empty(values.shape, pin_memory=True)
    host.copy_(values, non_blocking=True)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait() -> Any:
        done.synchronize()
        return host.tolist()

    return wait


def _check_possible(classifier: Classifier, optimizer: ScheduledAdam, train: Dataset, plan: TrainingPlan) -> None:
    if without("resident-data"):
        raise NotResidentError("it is switched off")
    if plan.in_parts:
        raise NotResidentError("a batch is computed in parts (micro_batch_size)")
    if train.encoded.example_offsets is not None:
        raise NotResidentError("texts are read in windows")
    known = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    places = {tensor.device for tensor in (*known, *classifier.parameters())}
    if len(places) > 1 or {parameter.dtype for parameter in known} != {torch.float32}:
        raise NotResidentError("the parameters are not all float32 on one device")
    if any(has_hooks(parameter) for parameter in known):
        raise NotResidentError("a parameter has a hook")


def _why_no_graphs(classifier: Classifier) -> str:
    if without("cuda-graphs"):
        return "they are switched off"
    return "a module has a hook" if any(has_hooks(module) for module in classifier.modules()) else ""


def _check_ids(train: Dataset, classifier: Classifier) -> None:
    """Checks all ids beforehand, as the device cannot be asked while it works."""
    for some in np.array_split(np.arange(len(train)), len(train) // _EXAMPLES_CHECKED_AT_ONCE + 1):
        check_ids(pack(train.encoded, some), classifier.encoder.config)
