"""How to train: the settings of `fit` and `bertune train`, as a user gives them."""

from dataclasses import dataclass
from typing import Literal

from bertune.data.choices import refuse_unknown_choices
from bertune.errors import ConfigError
from bertune.nn.precision import Precision

OptimizerName = Literal["adamw", "adamw_torch"]
_MOST = 1_000_000_000
RecipeName = Literal["auto", "lesson", "stable"]


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run.

    Settings that are None are the recipe's; one that is set always wins. The default recipe, `auto`, derives them from
    the size of the encoder and the number of training rows, since no fixed rate and no fixed number of epochs suits
    both a BERT-tiny on 300 rows and a BERT-base on 100,000; `plan_of` says how, and a run prints what was chosen and
    why.

    Args:
        recipe: settings that go together; `auto` chooses by encoder and data, `lesson` is what the lesson does,
            `stable` is fixed settings for small data.
        epochs: passes over the training data.
        batch_size: examples per optimizer step.
        micro_batch_size: examples computed at a time, by default the whole batch; fewer accumulate gradients, with the
            same result but for rounding and dropout.
        learning_rate: the peak of the schedule; `adamw_torch` reaches it where warm-up ends; the lesson's schedule
            falls from it since step 0, and so stays below.
        warmup_fraction: share of all steps over which the rate rises from 0.
        layer_decay: each layer's rate is this share of that of the layer above it, and the embeddings' of the first
            layer's; top layer, pooler and head have the whole rate. 1 trains all at one rate.
        freeze: so many of the lowest layers, and the embeddings, keep the weights of the checkpoint: they are computed
            forward alone, without dropout, and once for all epochs where the result fits into 1 GiB. 0 freezes the
            embeddings alone; by default everything trains.
        lora: rank of low-rank adapters on the products of attention and feed-forward, which train in the place of the
            encoder's weights; they are merged into these, so that the model is a plain one. By default there are none.
        lora_alpha: adapters are multiplied by this divided by their rank; by default it is twice the rank.
        reinit_layers: so many top layers, and the pooler, start from new weights drawn from the seed, not from those of
            the checkpoint.
        weight_decay: decoupled, scaled by the rate; norms and biases are excluded.
        max_gradient_norm: gradients are clipped to this global norm; 0 does not clip.
        label_smoothing: share of each target spread over all classes; for multi-label over having a label or not.
        class_weights: balanced, or LABEL=WEIGHT once for each label; balanced lets rare labels count as much as
            frequent ones.
        optimizer: `adamw_torch` has the arithmetic of torch.optim.AdamW and a rate that rises to its peak and falls
            from there; `adamw` has arithmetic and schedule of tf-models-official.
        precision: in which the layers compute; `auto` takes bf16 where the processor multiplies it natively.
        seed: of all that is random; of the order of the examples, of dropout, and in `bertune train` of the head's
            first weights.
        patience: stops after this many evaluations without a better one; 0 never does. Without `evaluate_every` these
            are epochs.
        evaluate_every: evaluates after every so many optimizer steps as well, beside the end of each epoch; the best
            model, patience and all curves then go by evaluations. What is trained stays the same.

    Raises:
        ConfigError: a setting out of range, or with a value that it has not.

    Example:
        >>> bertune.TrainingConfig(epochs=3, batch_size=16, learning_rate=2e-5, seed=1).epochs
        3
    """

    recipe: RecipeName = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    warmup_fraction: float | None = None
    layer_decay: float | None = None
    freeze: int | None = None
    lora: int | None = None
    lora_alpha: float | None = None
    reinit_layers: int = 0
    weight_decay: float | None = None
    max_gradient_norm: float | None = None
    label_smoothing: float = 0.0
    class_weights: tuple[str, ...] = ()
    optimizer: OptimizerName | None = None
    precision: Precision = "auto"
    seed: int = 42
    patience: int | None = None
    evaluate_every: int | None = None

    @property
    def frozen_layers(self) -> int | None:
        """How many of the lowest layers do not train, with the embeddings; None where these train too."""
        return 0 if self.freeze is None and self.lora is not None else self.freeze

    def __post_init__(self) -> None:
        refuse_unknown_choices(self)
        for name in ("epochs", "batch_size", "micro_batch_size", "evaluate_every", "lora"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if (
            self.micro_batch_size is not None
            and self.batch_size is not None
            and self.micro_batch_size > self.batch_size
        ):
            raise ConfigError(
                f"micro_batch_size ({self.micro_batch_size}) must not exceed batch_size ({self.batch_size})"
            )
        for name in ("patience", "freeze", "reinit_layers", "weight_decay", "max_gradient_norm"):
            number = getattr(self, name)
            if number is not None and not number >= 0:
                raise ConfigError(f"{name} must be 0 or more, not {number}")
        for name in ("epochs", "batch_size", "micro_batch_size", "patience", "weight_decay", "max_gradient_norm"):
            number = getattr(self, name)
            if number is not None and number > _MOST:
                raise ConfigError(f"{name} must be at most {_MOST:,}, not {number!s:.40}")
        for name in ("warmup_fraction", "label_smoothing"):
            number = getattr(self, name)
            if number is not None and not 0 <= number < 1:
                raise ConfigError(f"{name} must lie in [0, 1), not {number}")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay must lie in (0, 1], not {self.layer_decay}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must lie between 0 and 1, not {self.learning_rate}")
        if self.lora_alpha is not None and (self.lora is None or not 0 < self.lora_alpha <= _MOST):
            raise ConfigError(f"lora_alpha must lie above 0 and go with lora, not be {self.lora_alpha}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must lie between 0 and 2^63, not {self.seed}")
