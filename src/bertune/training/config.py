"""How to train: the settings of `fit`."""

from dataclasses import dataclass
from typing import Literal

from bertune.encoder.precision import Precision
from bertune.errors import ConfigError

OptimizerName = Literal["adamw", "adamw_torch"]


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run.

    Args:
        epochs: passes over the training data.
        batch_size: examples per optimizer step.
        micro_batch_size: examples computed at a time; smaller than `batch_size` it accumulates gradients, with the same
            result but for rounding and dropout. None takes the whole batch.
        learning_rate: the peak, reached where warm-up ends.
        warmup_fraction: share of all steps over which the rate rises from 0.
        layer_decay: each layer's rate is this share of that of the layer above it, and the embeddings' of the first
            layer's; top layer, pooler and head have the whole rate. 1 trains all at one rate.
        reinit_layers: so many top layers, and the pooler, start from new weights drawn from the seed, not from those of
            the checkpoint.
        weight_decay: decoupled, scaled by the rate; norms and biases are excluded.
        max_gradient_norm: gradients are clipped to this global norm; 0 does not clip.
        label_smoothing: share of each target spread over all classes; for multi-label over having a label or not.
        class_weights: balanced, so that rare labels count as much as frequent ones, or LABEL=WEIGHT, once for each.
        optimizer: `adamw` has the arithmetic of tf-models-official, `adamw_torch` that of torch.optim.AdamW.
        precision: in which the layers compute; `auto` takes bf16 where the processor multiplies it natively.
        seed: of the order of the examples and dropout; `bertune train` draws the head's first weights from it too.
        patience: stops after this many epochs without a better metric; None never does.

    Raises:
        ConfigError: a setting out of range.
    """

    epochs: int = 3
    batch_size: int = 32
    micro_batch_size: int | None = None
    learning_rate: float = 5e-5
    warmup_fraction: float = 0.1
    layer_decay: float = 1.0
    reinit_layers: int = 0
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    label_smoothing: float = 0.0
    class_weights: tuple[str, ...] = ()
    optimizer: OptimizerName = "adamw"
    precision: Precision = "auto"
    seed: int = 42
    patience: int | None = None

    def __post_init__(self) -> None:
        at_least_one = {"epochs": self.epochs, "batch_size": self.batch_size}
        optional = {"micro_batch_size": self.micro_batch_size, "patience": self.patience}
        at_least_one |= {name: value for name, value in optional.items() if value is not None}
        for name, value in at_least_one.items():
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ConfigError(
                f"micro_batch_size ({self.micro_batch_size}) must not exceed batch_size ({self.batch_size})"
            )
        for name, number in {"weight_decay": self.weight_decay, "max_gradient_norm": self.max_gradient_norm}.items():
            if not number >= 0:
                raise ConfigError(f"{name} must be 0 or more, not {number}")
        for name, number in {"warmup_fraction": self.warmup_fraction, "label_smoothing": self.label_smoothing}.items():
            if not 0 <= number < 1:
                raise ConfigError(f"{name} must lie in [0, 1), not {number}")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay must lie in (0, 1], not {self.layer_decay}")
        if self.reinit_layers < 0:
            raise ConfigError(f"reinit_layers must be 0 or more, not {self.reinit_layers}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must lie between 0 and 1, not {self.learning_rate}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must lie between 0 and 2^63, not {self.seed}")
