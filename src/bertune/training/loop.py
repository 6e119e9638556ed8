"""The training loop: epochs of steps, an evaluation after each, the best kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bertune.batches.dataset import Dataset, Inputs, as_dataset
from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.encoder.precision import choose_precision, computing_in, name_of
from bertune.errors import ConfigError, DataError
from bertune.evaluation.logits import predict_logits
from bertune.evaluation.scores import Scores, score
from bertune.heads.classifier import Classifier
from bertune.optim.create import create_optimizer
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.text.task import TaskKind
from bertune.training.config import TrainingConfig
from bertune.training.paths import TrainingPath, training_path
from bertune.training.step import StepResult, take_step

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
    """

    epoch: int
    train_loss: float
    train_seconds: float
    examples_per_second: float
    scores: Scores | None
    is_best: bool


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
    metrics: tuple[str, ...] = ("accuracy",),
    label_names: tuple[str, ...] | None = None,
    observer: Observer | None = None,
    on_best: Callable[[EpochResult], None] | None = None,
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
        metrics: computed on the validation data; the first chooses the best epoch.
        label_names: of the classes, for the scores.
        observer: watches.
        on_best: called each time the metric is the best so far, while the classifier holds those weights.

    Raises:
        ConfigError: targets are missing, or the optimizer was used before.
        DataError: a target outside the classifier's labels, or no example.
        DivergedError: the loss is not finite; the classifier then holds the weights before that step.
    """
    config = config or TrainingConfig()
    kind: TaskKind = "regression" if classifier.num_labels == 1 else "classification"
    train_set = _checked(train, "train", classifier, kind)
    validation_set = None if validation is None else _checked(validation, "validation", classifier, kind)
    total_steps = config.epochs * steps_in_epoch(len(train_set), config.batch_size)
    keeps_state = optimizer is not None
    if optimizer is None:
        optimizer = optimizer_of(classifier, config, total_steps)
    if optimizer.step_count:
        raise ConfigError(
            f"the optimizer has already taken {optimizer.step_count} steps", hint="make a new one with create_optimizer"
        )
    device = classifier.classifier.weight.device
    history = History()
    best_weights: dict[str, Tensor] | None = None
    with computing_in(classifier.encoder, choose_precision(config.precision, device)), torch.random.fork_rng():
        path = training_path(classifier, optimizer, train_set, keeps_state=keeps_state)
        if observer is not None:
            how = f"{name_of(classifier.encoder.compute_dtype)}, {path.name}"
            observer.on_start(total_steps, total_steps // config.epochs, how)
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            try:
                steps = list(_train_epoch(classifier, path, optimizer, train_set, config, kind, epoch, observer))
            finally:  # where it diverged or was interrupted as well: the classifier is then the one before that step
                path.settle()
            seconds = time.perf_counter() - started
            history.steps += steps
            scores = _scores(classifier, validation_set, train_set, kind, metrics, label_names)
            result = _epoch_result(epoch, steps, seconds, scores, history)
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
    )


def _train_epoch(
    classifier: Classifier,
    path: TrainingPath,
    optimizer: ScheduledAdam,
    train: Dataset,
    config: TrainingConfig,
    kind: TaskKind,
    epoch: int,
    observer: Observer | None,
) -> Iterator[StepResult]:
    classifier.train()
    device = classifier.classifier.weight.device
    # The order's own count begins at 0, like that of the steps.
    order = epoch_order(len(train), seed=config.seed, epoch=epoch - 1)
    first_step = (epoch - 1) * steps_in_epoch(len(train), config.batch_size)
    for step, indices in enumerate(batches_of(order, config.batch_size), start=first_step):
        # Seeded by step, so that dropout needs no replay of earlier steps.
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1, np.uint64)[0]))
        result = take_step(
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
        )
        if observer is not None:
            observer.on_step(result)
        yield result


def _epoch_result(
    epoch: int, steps: list[StepResult], seconds: float, scores: Scores | None, history: History
) -> EpochResult:
    examples = sum(step.examples for step in steps)
    loss = sum(step.loss * step.examples for step in steps) / examples
    earlier = [result.scores.chosen_value for result in history.epochs if result.scores is not None]
    is_best = scores is None or all(scores.chosen_value > value for value in earlier)
    return EpochResult(epoch, loss, seconds, examples / seconds, scores, is_best)


def _is_out_of_patience(history: History, patience: int | None) -> bool:
    if patience is None or history.epochs[-1].scores is None:
        return False
    return len(history.epochs) - history.best.epoch >= patience


def _scores(
    classifier: Classifier,
    validation: Dataset | None,
    train: Dataset,
    kind: TaskKind,
    metrics: tuple[str, ...],
    label_names: tuple[str, ...] | None,
) -> Scores | None:
    if validation is None:
        return None
    assert validation.targets is not None
    # In fp32, as the saved model will be used, so that later evaluation gives these numbers again.
    with computing_in(classifier.encoder, torch.float32):
        logits = predict_logits(classifier, validation)
    return score(
        logits,
        validation.targets,
        task_kind=kind,
        metrics=metrics,
        label_names=label_names,
        train_targets=train.targets,
    )


def _checked(data: AnyData, name: str, classifier: Classifier, kind: TaskKind) -> Dataset:
    dataset = as_dataset(data)
    if dataset.targets is None:
        raise ConfigError(f"the {name} data have no targets", hint="pass (inputs, labels)")
    if len(dataset) == 0:
        raise DataError(f"the {name} data hold no example")
    if kind == "classification" and not np.issubdtype(dataset.targets.dtype, np.integer):
        raise DataError(f"the {name} data have {dataset.targets.dtype} targets, classes need whole numbers")
    targets = dataset.targets.astype(np.float32 if kind == "regression" else np.int64)
    if kind == "classification" and not 0 <= int(targets.min()) <= int(targets.max()) < classifier.num_labels:
        raise DataError(
            f"the {name} data have class ids {int(targets.min())}..{int(targets.max())}, "
            f"the classifier has labels 0..{classifier.num_labels - 1}"
        )
    return Dataset(dataset.encoded, targets)
