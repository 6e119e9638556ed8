"""`create_optimizer`: the tutorial's one call for schedule, parameter groups and optimizer."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import nn

from bertune.errors import ConfigError
from bertune.optim.adamw import AdamWeightDecay, TorchAdamW
from bertune.optim.parameter_groups import decay_groups
from bertune.optim.schedule import PolynomialDecay, Schedule, WarmUp
from bertune.optim.scheduled_adam import ScheduledAdam

OptimizerType = Literal["adamw", "adamw_torch"]


def create_schedule(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int | None,
    end_lr: float = 0.0,
    poly_power: float = 1.0,
) -> Schedule:
    """Makes the tutorial's schedule: a rise to `init_lr` during warm-up, then polynomial decay to `end_lr`.

    Args:
        init_lr: the peak, which the rise points at and from which the decay counts, both since step 0.
        num_train_steps: optimizer steps of the whole run; the decay ends there.
        num_warmup_steps: steps of the rise; 0 or `None` is decay alone.
        end_lr: the last rate.
        poly_power: of the decay; 1.0 is a straight line.

    Raises:
        ConfigError: a value outside its range, or a warm-up longer than the run.
    """
    decay = PolynomialDecay(init_lr, num_train_steps, end_learning_rate=end_lr, power=poly_power)
    if not num_warmup_steps:
        return decay
    if num_warmup_steps > num_train_steps:
        raise ConfigError(
            f"num_warmup_steps ({num_warmup_steps}) exceeds num_train_steps ({num_train_steps})",
            hint="the lesson warms up over a tenth of the steps",
        )
    return WarmUp(init_lr, decay, num_warmup_steps)


def create_optimizer(  # noqa: PLR0913 (a name of the tutorial)
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int | None,
    end_lr: float = 0.0,
    optimizer_type: OptimizerType = "adamw",
    beta_1: float = 0.9,
    poly_power: float = 1.0,
    *,
    model: nn.Module,
    weight_decay_rate: float = 0.01,
    gradient_clip_norm: float | None = 1.0,
    include_in_weight_decay: Sequence[str] = (),
    exclude_from_weight_decay: Sequence[str] = (),
    rate_scale_of: Callable[[str], float] | None = None,
) -> ScheduledAdam:
    """Makes the tutorial's optimizer for a model.

    The positional arguments are those of `official.nlp.optimization.create_optimizer` (tf-models-official 2.20.0), and
    so are the values it fixes: beta_2 0.999, epsilon 1e-6, norms and biases do not decay.

    Args:
        init_lr: see `create_schedule`, as for the next two, `end_lr` and `poly_power`.
        num_train_steps: optimizer steps of the whole run.
        num_warmup_steps: steps of warm-up; 0 or `None` for none.
        end_lr: the last rate.
        optimizer_type: "adamw" is `AdamWeightDecay`, the original's arithmetic; "adamw_torch" is `TorchAdamW`.
        beta_1: decay of the first moment.
        poly_power: of the decay.
        model: whose trainable parameters are updated.
        weight_decay_rate: of matrices and embeddings.
        gradient_clip_norm: the greatest global norm of the gradients; `None` clips nothing.
        include_in_weight_decay: see `decay_groups`.
        exclude_from_weight_decay: see `decay_groups`.
        rate_scale_of: see `decay_groups`.

    Raises:
        ConfigError: a value outside its range, or a model `decay_groups` refuses.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> classifier, encoder = bertune.classifier_model(config, num_labels=2)
        >>> optimizer = bertune.create_optimizer(2e-5, num_train_steps=345, num_warmup_steps=34, model=classifier)
        >>> f"{optimizer.learning_rate_at(17):.1e}"
        '1.0e-05'
    """
    flavours = {"adamw": AdamWeightDecay, "adamw_torch": TorchAdamW}
    if optimizer_type not in flavours:
        raise ConfigError(
            f"unknown optimizer_type {optimizer_type!r}", hint=f"choose one of: {', '.join(get_args(OptimizerType))}"
        )
    groups = decay_groups(
        model,
        weight_decay_rate,
        include_in_weight_decay=include_in_weight_decay,
        exclude_from_weight_decay=exclude_from_weight_decay,
        rate_scale_of=rate_scale_of,
    )
    return flavours[optimizer_type](
        groups,
        create_schedule(init_lr, num_train_steps, num_warmup_steps, end_lr, poly_power),
        beta_1=beta_1,
        epsilon=1e-6,
        gradient_clip_norm=gradient_clip_norm,
    )
