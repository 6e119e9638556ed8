"""The training loop: epochs of steps, evaluations at their ends and within, the best kept."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bertune.batches.dataset import Dataset, Inputs, as_dataset
from bertune.data.task import usual_metrics
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.models.encoder import computing_in
from bertune.nn.precision import choose_precision
from bertune.optim.adamw import TorchAdamW
from bertune.optim.create import create_optimizer
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.optim.parameter_groups import decay_groups
from bertune.optim.schedule import LinearWarmUpDecay
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.adapters import Adapters, adapters_only, check_lora, lora_sizes
from bertune.training.callback import Callback, OnBest
from bertune.training.class_weights import class_weights_of
from bertune.training.compact_vocabulary import CompactVocabulary
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.fitted_parts import FittedParts
from bertune.training.fitting import Fitting
from bertune.training.frozen_layers import check_freeze, layers_frozen
from bertune.training.history import Evaluation, History
from bertune.training.keeper import Keeper
from bertune.training.kept_memory import freed_memory_kept
from bertune.training.layer_settings import draw_top_layers, rate_scale_by_depth
from bertune.training.objective import Objective, kind_of
from bertune.training.plan import TrainingPlan, plan_of
from bertune.training.progress_shown import watched_by

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
    on_best: Callable[[Evaluation], None] | None = None,
) -> History:
    """Trains a classifier and leaves it with the weights of its best evaluation, in evaluation mode.

    The same first weights, data, settings, machine and number of threads give the same weights, bit for bit: the order
    of the examples depends on seed and epoch alone, dropout on seed and step. The first weights of the head are drawn
    when it is built: `classifier_model(…, seed=…)`.

    Args:
        classifier: trained in place. One output makes it a regressor.
        train: examples with targets, in any form `as_dataset` takes.
        validation: scored after each epoch, and within epochs as `config` says; it never trains.
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
        metrics: computed on the validation data; the first chooses the best evaluation, on equal values the lower loss
            does. None takes the usual ones.
        label_names: of the labels, for scores and class weights.
        target_range: lowest and highest target of a regression; predictions are clipped to it before they are scored.
        dynamics: records what the model says of each training row when it is trained on it.
        verbose: whether progress is shown: in a notebook below the cell, elsewhere on standard error. None shows it in
            a notebook and on a terminal.
        observer: as one of `callbacks`; deprecated.
        on_best: as `Callback.on_best`; deprecated.

    Returns:
        Losses, rates and gradient norms of the steps, losses and scores of the evaluations and epochs.

    Raises:
        ConfigError: targets are missing, an optimizer or scheduler cannot be used, or `config` has a setting that a
            given optimizer has itself, or one about evaluations without validation data.
        DataError: targets that are not of the kind, one outside the classifier's labels, or no example.
        DivergedError: the loss or the gradient was not finite in three steps one after another, none of which was
            applied; the classifier then holds the weights before them.
        ResourceError: not enough memory for one example at a time. Where it is not enough for a micro-batch, half as
            many examples are computed at a time from then on.

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
    return fit_objective(
        classifier,
        train_set,
        None if validation is None else as_dataset(validation),
        Objective(kind, metrics or usual_metrics(kind), label_names, target_range),
        config or TrainingConfig(),
        FitOptions(optimizer, scheduler, tuple(callbacks), dynamics, verbose),
    )


@dataclass(frozen=True)
class FitOptions:
    """What a training has beside data, task and settings.

    Args:
        optimizer: see `fit`, as for the next four.
        scheduler: of an optimizer of torch.
        callbacks: watch.
        dynamics: records.
        verbose: whether progress is shown.
        keeper: asked at each boundary whether to keep the state, and whether to go on.
        group: of the processes that train together.
        adapters_start: see `Adapters`, `start`.
        on_adapters: told of the adapters at the end, as they were at the best evaluation, where there are any.
    """

    optimizer: Optimizer | None = None
    scheduler: LRScheduler | None = None
    callbacks: tuple[Callback, ...] = ()
    dynamics: Dynamics | None = None
    verbose: bool | None = None
    keeper: Keeper = field(default_factory=Keeper)
    group: ProcessGroup = ALONE
    adapters_start: Mapping[str, Tensor] | None = None
    on_adapters: Callable[[Adapters], None] | None = None


def fit_objective(
    classifier: Classifier,
    train: Dataset,
    validation: Dataset | None,
    objective: Objective,
    config: TrainingConfig,
    options: FitOptions,
) -> History:
    """Does what `fit` does, for a task that is known; for arguments and errors see there."""
    optimizer = options.optimizer
    train = objective.checked(train, "train", classifier)
    validation = None if validation is None else objective.checked(validation, "validation", classifier)
    assert train.targets is not None
    if validation is None and config.evaluate_every is not None:
        raise ConfigError(
            "evaluate_every needs validation data",
            hint="give fit some, or leave evaluate_every out of the configuration",
        )
    if optimizer is not None:
        _refuse_its_settings(config, optimizer)
        config = replace(config, recipe="lesson") if config.recipe == "auto" else config
    plan = plan_of(config, classifier, len(train), has_validation=validation is not None)
    names = objective.names_of(classifier)
    class_weights = class_weights_of(plan.class_weights, kind=objective.kind, names=names, targets=train.targets)
    check_lora(plan, classifier.encoder.config)
    check_freeze(plan.freeze, plan.reinit_layers, classifier.encoder.config)
    if plan.reinit_layers:
        draw_top_layers(classifier, plan.reinit_layers, seed=plan.seed)
    device = classifier.device
    objective = replace(
        objective,
        label_smoothing=plan.label_smoothing,
        class_weights=None if class_weights is None else class_weights.to(device),
    )
    with (
        layers_frozen(classifier, plan.frozen_layers),
        adapters_only(classifier, is_on=plan.lora is not None),
        freed_memory_kept(),
        computing_in(classifier.encoder, choose_precision(plan.precision, device)),
        _own_draws(device),
        watched_by(options.callbacks, options.verbose) as told,
    ):
        adapters = _new_adapters(classifier, plan, options)
        vocabulary, updates = _updates_of(classifier, train, plan, options, adapters)
        parts = FittedParts(classifier, vocabulary, updates, train, validation, objective, options.dynamics, adapters)
        fitting = Fitting(parts, plan, told, options.keeper, group=options.group)
        fitting.run()
        if adapters is not None and options.on_adapters is not None:
            options.on_adapters(adapters)
    classifier.eval()
    return fitting.history


def _new_adapters(classifier: Classifier, plan: TrainingPlan, options: FitOptions) -> Adapters | None:
    sizes = lora_sizes(plan)
    if sizes is None:
        return None
    start = options.adapters_start
    return Adapters(classifier, sizes, first_layer=plan.frozen_layers or 0, seed=plan.seed, start=start)


def _updates_of(
    classifier: Classifier, train: Dataset, plan: TrainingPlan, options: FitOptions, adapters: Adapters | None
) -> tuple[CompactVocabulary, ScheduledAdam | GivenOptimizer]:
    """Takes the optimizer that was given, or makes one, and the token table that goes with it."""
    if options.optimizer is not None:  # it has the whole table
        return CompactVocabulary(classifier, None), _taken(options.optimizer, options.scheduler, plan)
    vocabulary = CompactVocabulary(classifier, train.encoded.token_ids)
    with vocabulary.in_use():
        total_steps = plan.steps_of_schedule(len(train))
        made = _made_for(optimizer_of(classifier, plan, total_steps, adapters), options.scheduler)
    vocabulary.follow(made)
    return vocabulary, made


def _made_for(optimizer: ScheduledAdam, scheduler: LRScheduler | None) -> ScheduledAdam:
    if scheduler is not None:
        raise ConfigError("the scheduler has no optimizer", hint="give fit the optimizer that it was made with as well")
    return optimizer


def _refuse_its_settings(config: TrainingConfig, optimizer: Optimizer) -> None:
    """Refuses settings that an optimizer that is given has itself: they would have no effect.

    Raises:
        ConfigError: names one.
    """
    if config.lora is not None:
        raise ConfigError("lora trains parameters that the optimizer does not have", hint="leave the optimizer out")
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


def _of_arguments(observer: Callback | None, on_best: Callable[[Evaluation], None] | None) -> list[Callback]:
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


def optimizer_of(
    classifier: Classifier, plan: TrainingPlan, total_steps: int, adapters: Adapters | None = None
) -> ScheduledAdam:
    """Makes the optimizer that a plan describes, with its schedule.

    `adamw` is the lesson's call. `adamw_torch` is AdamW with the schedule and the epsilon of transformers' Trainer, so
    that the same numbers train alike.
    """
    warmup_steps = int(total_steps * plan.warmup_fraction)
    rate_scale_of = rate_scale_by_depth(classifier, plan.layer_decay) if plan.layer_decay != 1 else None
    limit = plan.max_gradient_norm or None
    trained = classifier if adapters is None else adapters
    if plan.optimizer == "adamw_torch":
        groups = decay_groups(trained, plan.weight_decay, rate_scale_of=rate_scale_of)
        schedule = LinearWarmUpDecay(plan.learning_rate, warmup_steps, total_steps)
        return TorchAdamW(groups, schedule, gradient_clip_norm=limit)
    return create_optimizer(
        plan.learning_rate,
        total_steps,
        warmup_steps,
        model=trained,
        weight_decay_rate=plan.weight_decay,
        gradient_clip_norm=limit,
        rate_scale_of=rate_scale_of,
    )
