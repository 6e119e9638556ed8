"""The training loop: epochs of steps, an evaluation after each, the best kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.batches.dataset import Dataset, Inputs, as_dataset
from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.encoder.precision import choose_precision, computing_in, name_of
from bertune.errors import ConfigError
from bertune.evaluation.scores import Scores
from bertune.heads.classifier import Classifier
from bertune.optim.create import create_optimizer
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.text.task import TaskKind, usual_metrics
from bertune.training.class_weights import class_weights_of
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.goal import Goal, kind_of
from bertune.training.kept_memory import freed_memory_kept
from bertune.training.layer_settings import draw_top_layers, rate_scale_by_depth
from bertune.training.paths import TorchTrainingPath, TrainingPath, training_path
from bertune.training.resident import NotResidentError, ResidentTraining
from bertune.training.step import StepResult, seed_of_step, take_step

AnyData = Dataset | tuple[Inputs, Any]


@dataclass(frozen=True)
class EpochResult:
    """What one epoch was.

    Args:
        epoch: from 1.
        train_loss: mean over the epoch's examples, each before the update it belongs to.
        train_seconds: of the epoch's steps, without evaluation.
        examples_per_second: trained.
        scores: on the validation data; None without any.
        is_best: whether the chosen metric is the best so far.
        logits: (rows, labels) on the validation data, where it is the best so far.
    """

    epoch: int
    train_loss: float
    train_seconds: float
    examples_per_second: float
    scores: Scores | None
    is_best: bool
    logits: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)


@dataclass
class History:
    """What a training run was, step by step and epoch by epoch."""

    steps: list[StepResult] = field(default_factory=list)
    epochs: list[EpochResult] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def best(self) -> EpochResult:
        """The epoch with the best metric; the last one where there was no validation."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.is_best), self.epochs[-1])


class Observer(Protocol):
    """Watches a run: progress bars and journals."""

    def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
        """Called before the first step."""

    def on_step(self, result: StepResult) -> None:
        """Called after each optimizer step."""

    def on_epoch(self, result: EpochResult) -> None:
        """Called after each epoch's evaluation, when the best model so far is kept; what it raises ends the run."""


def fit(
    classifier: Classifier,
    train: AnyData,
    validation: AnyData | None = None,
    *,
    config: TrainingConfig | None = None,
    optimizer: ScheduledAdam | None = None,
    kind: TaskKind | None = None,
    metrics: tuple[str, ...] | None = None,
    label_names: tuple[str, ...] | None = None,
    target_range: tuple[float, float] | None = None,
    observer: Observer | None = None,
    on_best: Callable[[EpochResult], None] | None = None,
    dynamics: Dynamics | None = None,
) -> History:
    """Trains a classifier and leaves it with the weights of its best epoch, in evaluation mode.

    The same first weights, data, settings, machine and number of threads give the same weights, bit for bit: the order
    of the examples depends on seed and epoch alone, dropout on seed and step. The first weights of the head are drawn
    when it is built: `classifier_model(…, seed=…)`.

    Args:
        classifier: trained in place. One output makes it a regressor.
        train: examples with targets, in any form `as_dataset` takes.
        validation: scored after each epoch; it never trains.
        config: how to train.
        optimizer: from `create_optimizer`, not yet used; it then decides rates, decay and clip instead of `config`.
            None makes one from the configuration.
        kind: of the task. None takes multi-label for targets of (examples, labels), regression for a classifier with
            one output, else classification.
        metrics: computed on the validation data; the first chooses the best epoch. None takes the usual ones.
        label_names: of the labels, for scores and class weights.
        target_range: lowest and highest target of a regression; predictions are clipped to it before they are scored.
        observer: watches.
        on_best: called each time the metric is the best so far, while the classifier holds those weights.
        dynamics: records what the model says of each training row when it is trained on it.

    Raises:
        ConfigError: targets are missing, or the optimizer was used before.
        DataError: targets that are not of the kind, one outside the classifier's labels, or no example.
        DivergedError: the loss is not finite; the classifier then holds the weights before that step.
    """
    config = config or TrainingConfig()
    train_set = as_dataset(train)
    kind = kind or kind_of(classifier, train_set)
    goal = Goal(kind, metrics or usual_metrics(kind), label_names, target_range)
    train_set = goal.checked(train_set, "train", classifier)
    validation_set = None if validation is None else goal.checked(as_dataset(validation), "validation", classifier)
    assert train_set.targets is not None
    class_weights = class_weights_of(
        config.class_weights, kind=kind, names=goal.names_of(classifier), targets=train_set.targets
    )
    if config.reinit_layers:
        draw_top_layers(classifier, config.reinit_layers, seed=config.seed)
    total_steps = config.epochs * steps_in_epoch(len(train_set), config.batch_size)
    keeps_state = optimizer is not None
    if optimizer is None:
        optimizer = optimizer_of(classifier, config, total_steps)
    if optimizer.step_count:
        raise ConfigError(
            f"the optimizer has already taken {optimizer.step_count} steps", hint="make a new one with create_optimizer"
        )
    if config.layer_decay != 1 and keeps_state:
        raise ConfigError("layer_decay is the optimizer's", hint="give create_optimizer a rate_scale_of instead")
    device = classifier.classifier.weight.device
    class_weights = None if class_weights is None else class_weights.to(device)
    history = History()
    best_weights: dict[str, Tensor] | None = None
    precision = choose_precision(config.precision, device)
    with freed_memory_kept(), computing_in(classifier.encoder, precision), _own_draws(device):
        path = _path(classifier, optimizer, train_set, config, kind, class_weights, keeps_state=keeps_state)
        if observer is not None:
            how = f"{name_of(classifier.encoder.compute_dtype)}, {path.name}"
            observer.on_start(total_steps, total_steps // config.epochs, how)
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            try:
                steps = list(
                    _train_epoch(
                        classifier, path, optimizer, train_set, config, kind, class_weights, epoch, observer, dynamics
                    )
                )
            finally:  # where it diverged or was interrupted as well: the classifier is then the one before that step
                path.settle()
            seconds = time.perf_counter() - started
            history.steps += steps
            if dynamics is not None:
                dynamics.end_epoch()
            scores, logits = None, None
            if validation_set is not None:
                scores, logits = goal.score(classifier, validation_set, train_set.targets)
            result = _epoch_result(epoch, steps, seconds, scores, logits, history)
            history.epochs.append(result)
            if result.is_best:
                best_weights = None
                if epoch < config.epochs:
                    best_weights = {name: value.clone() for name, value in classifier.state_dict().items()}
                if on_best is not None:
                    on_best(result)
            if observer is not None:  # after the model is kept: an observer may end the run here
                observer.on_epoch(result)
            if _is_out_of_patience(history, config.patience):
                history.stopped_early = True
                break
        if best_weights is not None and not history.epochs[-1].is_best:
            classifier.load_state_dict(best_weights)
    classifier.eval()
    return history


def _own_draws(device: torch.device) -> AbstractContextManager[None]:
    """Leaves the random state of the process as it is."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _seed_draws(device: torch.device, seed: int) -> None:
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:  # every device's; without one this takes a third of a millisecond, as it notes down who called
        torch.manual_seed(seed)


def optimizer_of(classifier: Classifier, config: TrainingConfig, total_steps: int) -> ScheduledAdam:
    """Makes the optimizer that a configuration describes."""
    return create_optimizer(
        config.learning_rate,
        total_steps,
        int(total_steps * config.warmup_fraction),
        optimizer_type=config.optimizer,
        model=classifier,
        weight_decay_rate=config.weight_decay,
        gradient_clip_norm=config.max_gradient_norm or None,
        rate_scale_of=rate_scale_by_depth(classifier, config.layer_decay) if config.layer_decay != 1 else None,
    )


def _path(
    classifier: Classifier,
    optimizer: ScheduledAdam,
    train: Dataset,
    config: TrainingConfig,
    kind: TaskKind,
    class_weights: Tensor | None,
    *,
    keeps_state: bool,
) -> TrainingPath | ResidentTraining:
    if classifier.classifier.weight.device.type != "cuda":
        return training_path(classifier, optimizer, train, keeps_state=keeps_state)
    try:
        return ResidentTraining(classifier, optimizer, train, config, kind, class_weights)
    except NotResidentError as reason:
        return TorchTrainingPath(classifier, optimizer, reason=f"the data do not stay on the device: {reason}")


def _train_epoch(
    classifier: Classifier,
    path: TrainingPath | ResidentTraining,
    optimizer: ScheduledAdam,
    train: Dataset,
    config: TrainingConfig,
    kind: TaskKind,
    class_weights: Tensor | None,
    epoch: int,
    observer: Observer | None,
    dynamics: Dynamics | None,
) -> Iterator[StepResult]:
    classifier.train()
    # The order's own count begins at 0, like that of the steps.
    order = epoch_order(len(train), seed=config.seed, epoch=epoch - 1)
    if isinstance(path, ResidentTraining):
        results = path.epoch(order, epoch)
    else:
        results = _step_by_step(classifier, path, optimizer, train, config, kind, class_weights, epoch, order, dynamics)
    for result in results:
        if observer is not None:
            observer.on_step(result)
        yield result
    if dynamics is not None and isinstance(path, ResidentTraining):
        dynamics.record(np.arange(len(train)), path.logits, path.targets)


def _step_by_step(
    classifier: Classifier,
    path: TrainingPath,
    optimizer: ScheduledAdam,
    train: Dataset,
    config: TrainingConfig,
    kind: TaskKind,
    class_weights: Tensor | None,
    epoch: int,
    order: NDArray[np.int64],
    dynamics: Dynamics | None,
) -> Iterator[StepResult]:
    device = classifier.classifier.weight.device
    first_step = (epoch - 1) * steps_in_epoch(len(train), config.batch_size)
    for step, indices in enumerate(batches_of(order, config.batch_size), start=first_step):
        _seed_draws(device, seed_of_step(config.seed, step))
        yield take_step(
            path,
            train,
            indices,
            step=step,
            epoch=epoch,
            rate=optimizer.learning_rate_at(step),
            device=device,
            micro_batch_size=config.micro_batch_size or config.batch_size,
            kind=kind,
            label_smoothing=config.label_smoothing,
            class_weights=class_weights,
            on_logits=None if dynamics is None else dynamics.record,
        )


def _epoch_result(
    epoch: int,
    steps: list[StepResult],
    seconds: float,
    scores: Scores | None,
    logits: NDArray[np.float32] | None,
    history: History,
) -> EpochResult:
    examples = sum(step.examples for step in steps)
    loss = sum(step.loss * step.examples for step in steps) / examples
    earlier = [result.scores.chosen_value for result in history.epochs if result.scores is not None]
    is_best = scores is None or all(scores.chosen_value > value for value in earlier)
    return EpochResult(epoch, loss, seconds, examples / seconds, scores, is_best, logits if is_best else None)


def _is_out_of_patience(history: History, patience: int | None) -> bool:
    if patience is None or history.epochs[-1].scores is None:
        return False
    return len(history.epochs) - history.best.epoch >= patience
