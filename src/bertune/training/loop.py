"""The training loop: epochs of steps, an evaluation after each, the best kept."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bertune.batches.dataset import Dataset, Inputs, as_dataset
from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.data.task import usual_metrics
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.errors import ConfigError
from bertune.evaluation.scores import Scores
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.nn.precision import choose_precision, name_of
from bertune.optim.adamw import TorchAdamW
from bertune.optim.create import create_optimizer
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.optim.parameter_groups import decay_groups
from bertune.optim.schedule import LinearWarmUpDecay
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.training.callback import Callback, OnBest
from bertune.training.class_weights import class_weights_of
from bertune.training.compact_vocabulary import CompactVocabulary
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.engine import Engine, engine_for
from bertune.training.history import EpochResult, History
from bertune.training.kept_memory import freed_memory_kept
from bertune.training.layer_settings import draw_top_layers, rate_scale_by_depth
from bertune.training.objective import Objective, kind_of
from bertune.training.plan import TrainingPlan, plan_of
from bertune.training.progress_shown import watched_by
from bertune.training.step import StepPlace, StepResult, seed_of_step, take_step

AnyData = Dataset | tuple[Inputs, Any]


def fit(  # noqa: PLR0913 (a name of the lesson)
    classifier: Classifier,
    train: AnyData,
    validation: AnyData | None = None,
    *,
    config: TrainingConfig | None = None,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    callbacks: Iterable[Callback] = (),
    kind: TaskKind | TaskKindName | None = None,
    metrics: tuple[str, ...] | None = None,
    label_names: tuple[str, ...] | None = None,
    target_range: tuple[float, float] | None = None,
    dynamics: Dynamics | None = None,
    verbose: bool | None = None,
    observer: Callback | None = None,
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
        config: how to train. What it leaves open is its recipe's; without one everything is chosen by recipe `auto`,
            from the size of the encoder and the number of examples.
        optimizer: decides rates and decay instead of `config`, and what that leaves open is as in the lesson: steps
            were counted before. One from `create_optimizer`, not yet used, which has a schedule and a clip of its own;
            or any of torch, whose gradients are clipped to the norm that `config` says. None makes one from the
            configuration.
        scheduler: of torch, of the rates of an optimizer of torch; it steps after each optimizer step.
        callbacks: watch the run: progress, journals, early ends.
        kind: of the task. None takes multi-label for targets of (examples, labels), regression for a classifier with
            one output, else classification.
        metrics: computed on the validation data; the first chooses the best epoch, on equal values the lower loss does.
            None takes the usual ones.
        label_names: of the labels, for scores and class weights.
        target_range: lowest and highest target of a regression; predictions are clipped to it before they are scored.
        dynamics: records what the model says of each training row when it is trained on it.
        verbose: whether progress is shown: in a notebook below the cell, elsewhere on standard error. None shows it in
            a notebook and on a terminal.
        observer: as one of `callbacks`; deprecated.
        on_best: as `Callback.on_best`; deprecated.

    Returns:
        Losses, rates and gradient norms of the steps, losses and scores of the epochs.

    Raises:
        ConfigError: targets are missing, an optimizer or scheduler cannot be used, or `config` has a setting that a
            given optimizer has itself.
        DataError: targets that are not of the kind, one outside the classifier's labels, or no example.
        DivergedError: the loss is not finite; the classifier then holds the weights before that step.

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> inputs = bertune.encode_examples(["good film", "bad", "nice film", "sad"], None, tokenizer, 16)
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> classifier, encoder = bertune.classifier_model(config, num_labels=2, seed=1)
        >>> settings = bertune.TrainingConfig(epochs=2, batch_size=2)
        >>> history = bertune.fit(classifier, (inputs, [1, 0, 1, 0]), config=settings)
        >>> len(history.steps), len(history.epochs)
        (4, 2)
    """
    if observer is not None or on_best is not None:
        callbacks = [*callbacks, *_of_arguments(observer, on_best)]
        verbose = bool(verbose) if observer is not None else verbose
    train_set = as_dataset(train)
    kind = kind_of(classifier, train_set) if kind is None else TaskKind.of(kind)
    objective = Objective(kind, metrics or usual_metrics(kind), label_names, target_range)
    train_set = objective.checked(train_set, "train", classifier)
    validation_set = None if validation is None else objective.checked(as_dataset(validation), "validation", classifier)
    assert train_set.targets is not None
    given = config or TrainingConfig()
    if optimizer is not None:
        _refuse_its_settings(given, optimizer)
        given = replace(given, recipe="lesson") if given.recipe == "auto" else given
    plan = plan_of(given, classifier, len(train_set), has_validation=validation_set is not None)
    names = objective.names_of(classifier)
    class_weights = class_weights_of(plan.class_weights, kind=kind, names=names, targets=train_set.targets)
    if plan.reinit_layers:
        draw_top_layers(classifier, plan.reinit_layers, seed=plan.seed)
    total_steps = plan.epochs * steps_in_epoch(len(train_set), plan.batch_size)
    # An optimizer that is given has the whole table.
    vocabulary = CompactVocabulary(classifier, None if optimizer is not None else train_set.encoded.token_ids)
    if optimizer is None:
        with vocabulary.in_use():
            made = _made_for(optimizer_of(classifier, plan, total_steps), scheduler)
        vocabulary.follow(made)
        updates: ScheduledAdam | GivenOptimizer = made
    else:
        updates = _taken(optimizer, scheduler, plan)
    device = classifier.device
    objective = replace(
        objective,
        label_smoothing=plan.label_smoothing,
        class_weights=None if class_weights is None else class_weights.to(device),
    )
    history = History()
    best_weights: dict[str, Tensor] | None = None
    precision = choose_precision(plan.precision, device)
    with (
        freed_memory_kept(),
        computing_in(classifier.encoder, precision),
        _own_draws(device),
        watched_by(callbacks, verbose) as told,
    ):
        with vocabulary.in_use():
            engine = engine_for(classifier, updates, in_parts=plan.in_parts)
        loop = _Loop(classifier, engine, updates, train_set, plan, objective, told, dynamics)
        history.engine = f"{name_of(classifier.encoder.compute_dtype)}, {engine.name}"
        told.on_start(total_steps, total_steps // plan.epochs, history.engine)
        for epoch in range(1, plan.epochs + 1):
            started = time.perf_counter()
            with vocabulary.in_use():
                steps = list(loop.epoch(epoch))
            seconds = time.perf_counter() - started
            history.steps += steps
            if dynamics is not None:
                dynamics.end_epoch()
            scores, logits = None, None
            if validation_set is not None:
                scores, logits = objective.score(classifier, validation_set, train_set.targets)
            result = _epoch_result(epoch, steps, seconds, scores, logits, history)
            history.epochs.append(result)
            if result.is_best:
                best_weights = None
                if epoch < plan.epochs:
                    best_weights = {name: value.clone() for name, value in classifier.state_dict().items()}
                told.on_best(result)
            told.on_epoch(result)  # after the model is kept: a callback may end the run here
            if _is_out_of_patience(history, plan.patience):
                history.stopped_early = True
                break
        if best_weights is not None and not history.epochs[-1].is_best:
            classifier.load_state_dict(best_weights)
    classifier.eval()
    return history


def _made_for(optimizer: ScheduledAdam, scheduler: LRScheduler | None) -> ScheduledAdam:
    if scheduler is not None:
        raise ConfigError("the scheduler has no optimizer", hint="give fit the optimizer that it was made with as well")
    return optimizer


def _refuse_its_settings(config: TrainingConfig, optimizer: Optimizer) -> None:
    """Refuses settings that an optimizer that is given has itself: they would have no effect.

    Raises:
        ConfigError: names one.
    """
    if config.layer_decay not in (None, 1):
        raise ConfigError("layer_decay is the optimizer's", hint="give create_optimizer a rate_scale_of instead")
    # One of torch has no clip; its gradients are clipped as the configuration says.
    clip = ("max_gradient_norm",) if isinstance(optimizer, ScheduledAdam) else ()
    for name in ("learning_rate", "warmup_fraction", "weight_decay", "optimizer", *clip):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"an optimizer is given, so {name} has no effect",
                hint=f"leave {name} out of the configuration, or the optimizer out of the call",
            )


def _taken(optimizer: Optimizer, scheduler: LRScheduler | None, plan: TrainingPlan) -> ScheduledAdam | GivenOptimizer:
    """Takes an optimizer that was given."""
    if not isinstance(optimizer, ScheduledAdam):
        return GivenOptimizer(optimizer, scheduler, gradient_clip_norm=plan.max_gradient_norm)
    if scheduler is not None:
        raise ConfigError(
            f"{type(optimizer).__name__} has a schedule of its own",
            hint="leave the scheduler out, or take torch's AdamW",
        )
    if optimizer.step_count:
        raise ConfigError(
            f"the optimizer has already taken {optimizer.step_count} steps", hint="make a new one with create_optimizer"
        )
    return optimizer


def _of_arguments(observer: Callback | None, on_best: Callable[[EpochResult], None] | None) -> list[Callback]:
    """Makes callbacks of the arguments that were there before them."""
    warnings.warn(
        "observer= and on_best= of fit are deprecated: give callbacks=[…] of bertune.Callback",
        DeprecationWarning,
        stacklevel=3,
    )
    found: list[Callback] = [] if observer is None else [_Watched(observer)]
    return found if on_best is None else [*found, OnBest(on_best)]


class _Watched(Callback):
    """An observer, which has no `on_best`."""

    def __init__(self, observer: Callback) -> None:
        self.on_start = observer.on_start  # type: ignore[method-assign]
        self.on_step = observer.on_step  # type: ignore[method-assign]
        self.on_epoch = observer.on_epoch  # type: ignore[method-assign]


def _own_draws(device: torch.device) -> AbstractContextManager[None]:
    """Leaves the random state of the process as it is."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _seed_draws(device: torch.device, seed: int) -> None:
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:  # every device's; without one this takes a third of a millisecond, as it notes down who called
        torch.manual_seed(seed)


def optimizer_of(classifier: Classifier, plan: TrainingPlan, total_steps: int) -> ScheduledAdam:
    """Makes the optimizer that a plan describes, with its schedule.

    `adamw` is the lesson's call. `adamw_torch` is AdamW with the schedule and the epsilon of transformers' Trainer, so
    that the same numbers train alike.
    """
    warmup_steps = int(total_steps * plan.warmup_fraction)
    rate_scale_of = rate_scale_by_depth(classifier, plan.layer_decay) if plan.layer_decay != 1 else None
    limit = plan.max_gradient_norm or None
    if plan.optimizer == "adamw_torch":
        groups = decay_groups(classifier, plan.weight_decay, rate_scale_of=rate_scale_of)
        schedule = LinearWarmUpDecay(plan.learning_rate, warmup_steps, total_steps)
        return TorchAdamW(groups, schedule, gradient_clip_norm=limit)
    return create_optimizer(
        plan.learning_rate,
        total_steps,
        warmup_steps,
        model=classifier,
        weight_decay_rate=plan.weight_decay,
        gradient_clip_norm=limit,
        rate_scale_of=rate_scale_of,
    )


@dataclass(frozen=True)
class _Loop:
    """What the epochs of a run have in common."""

    classifier: Classifier
    engine: Engine
    updates: ScheduledAdam | GivenOptimizer
    train: Dataset
    plan: TrainingPlan
    objective: Objective
    told: Callback
    dynamics: Dynamics | None

    def epoch(self, number: int) -> Iterator[StepResult]:
        """Trains an epoch, from 1; tells the callbacks of each step."""
        self.classifier.train()
        # The order's own count begins at 0, like that of the steps.
        order = epoch_order(len(self.train), seed=self.plan.seed, epoch=number - 1)
        for result in self._steps(number, order):
            self.told.on_step(result)
            yield result

    def _steps(self, epoch: int, order: NDArray[np.int64]) -> Iterator[StepResult]:
        plan = self.plan
        first_step = (epoch - 1) * steps_in_epoch(len(self.train), plan.batch_size)
        for step, indices in enumerate(batches_of(order, plan.batch_size), start=first_step):
            _seed_draws(self.engine.device, seed_of_step(plan.seed, step))
            yield take_step(
                self.engine,
                self.objective,
                self.train,
                indices,
                place=StepPlace(step, epoch, self.updates.learning_rate_at(step)),
                micro_batch_size=plan.micro_batch_size or plan.batch_size,
                on_logits=None if self.dynamics is None else self.dynamics.record,
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
    earlier = [result.scores.rank for result in history.epochs if result.scores is not None]
    is_best = scores is None or all(scores.rank > rank for rank in earlier)
    return EpochResult(epoch, loss, seconds, examples / seconds, scores, is_best, logits if is_best else None)


def _is_out_of_patience(history: History, patience: int) -> bool:
    if not patience or history.epochs[-1].scores is None:
        return False
    return len(history.epochs) - history.best.epoch >= patience
