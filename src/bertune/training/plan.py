"""From the settings a user gave to the numbers of a run: what a recipe fills in, and why."""

import math
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from bertune.batches.sampler import steps_in_epoch
from bertune.models.classifier import Classifier
from bertune.training.config import OptimizerName, RecipeName, TrainingConfig


@dataclass(frozen=True)
class StepLimit:
    """Where a training ends that goes by optimizer steps and not by epochs.

    Args:
        last: steps that are taken.
        schedule: steps over which the rate rises and falls; those after `last` are not taken.
    """

    last: int
    schedule: int


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(TrainingConfig):
    """A configuration in which every setting has its value; made by `plan_of`.

    Args:
        reasons: what the recipe chose and from what, a line for each group of settings.
        limit: where it ends before its last epoch does; None trains all epochs, and the rate falls to their end.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float
    layer_decay: float
    weight_decay: float
    max_gradient_norm: float
    optimizer: OptimizerName
    patience: int
    reasons: tuple[str, ...] = ()
    limit: StepLimit | None = None

    def steps(self, rows: int) -> int:
        """Returns the optimizer steps that are taken on so many training rows, if nothing ends them before."""
        return self.epochs * steps_in_epoch(rows, self.batch_size) if self.limit is None else self.limit.last

    def steps_of_schedule(self, rows: int) -> int:
        """Returns the optimizer steps over which the rate rises and falls."""
        return self.epochs * steps_in_epoch(rows, self.batch_size) if self.limit is None else self.limit.schedule

    @property
    def in_parts(self) -> bool:
        """Whether a batch is computed in parts whose gradients add up."""
        return self.micro_batch_size is not None and self.micro_batch_size < self.batch_size


def plan_of(config: TrainingConfig, classifier: Classifier, rows: int, *, has_validation: bool = True) -> TrainingPlan:
    """Fills in what a configuration leaves to its recipe.

    The settings of `lesson` and `stable` are fixed. `auto` looks up two small tables, in `recipes/auto.toml` beside the
    measurements behind them: the peak rate by the parameters of the encoder's layers (embeddings are not counted: a
    large vocabulary does not make an encoder learn more slowly), batch size and epochs by the number of training rows.
    A small table is read often enough to make a least number of optimizer steps. Its patience is in epochs, and becomes
    as many evaluations as these have.

    Args:
        config: what the user set; a plan is returned as it is.
        classifier: to be trained.
        rows: training examples, at least 1.
        has_validation: without, there is nothing to be patient about.
    """
    if isinstance(config, TrainingPlan):
        return config
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    given = {name: value for name, value in given.items() if value is not None}
    if config.recipe == "auto":
        parameters = classifier.encoder.layer_parameters
        chosen, reasons = _derived(given, parameters, rows)
    else:
        chosen = _settings(_recipe_file(config.recipe)["train"])
        names = ("learning_rate", "layer_decay", "batch_size", "epochs")
        words = [_words(name, chosen[name]) for name in names if name not in given]
        reasons = (f"recipe {config.recipe}: {', '.join(words)}",) if words else ()
    values = chosen | given
    if not has_validation:
        values["patience"] = 0
    if config.micro_batch_size is not None and config.batch_size is None:
        values["micro_batch_size"] = min(config.micro_batch_size, values["batch_size"])
    return TrainingPlan(**values, reasons=reasons)


def _derived(given: dict[str, Any], parameters: int, rows: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns what `auto` comes to, and why; settings that the user gave take part in deriving the others."""
    file = _recipe_file("auto")
    chosen = _settings(file["train"])
    encoder = next(entry for entry in file["encoder"] if parameters <= entry["most-parameters"])
    table = next(entry for entry in file["table"] if rows <= entry["most-rows"])
    chosen |= {"learning_rate": encoder["learning-rate"], "batch_size": table["batch-size"]}
    steps = steps_in_epoch(rows, given.get("batch_size", chosen["batch_size"]))
    wanted = max(table["epochs"], math.ceil(table["least-steps"] / steps))
    chosen["epochs"] = min(wanted, table["most-epochs"])
    # The table has epochs.
    chosen["patience"] = evaluations_in(table["patience"], steps, given.get("evaluate_every"))
    groups = {
        f"encoder of {_millions(parameters)} parameters in its layers": ("learning_rate", "layer_decay"),
        f"{rows:,} training rows": ("batch_size", "epochs", "patience"),
    }
    reasons = []
    for why, names in groups.items():
        words = [_words(name, chosen[name]) for name in names if name not in given]
        if words:
            reasons.append(f"recipe auto: {', '.join(words)}: {why}")
    return chosen, tuple(reasons)


def evaluations_in(epochs: int, steps: int, every: int | None) -> int:
    """Returns how many evaluations the first epochs of a run have: one at the end of each, and those within.

    Args:
        epochs: how many.
        steps: of an epoch.
        every: optimizer steps from one evaluation to the next; None evaluates at the ends alone.
    """
    if every is None:
        return epochs
    return epochs + epochs * steps // every - epochs * steps // math.lcm(steps, every)


@cache
def _recipe_file(name: RecipeName) -> dict[str, Any]:
    return tomllib.loads(resources.files("bertune.training").joinpath("recipes", f"{name}.toml").read_text("utf-8"))


def _settings(table: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in table.items()}


def _words(name: str, value: Any) -> str:
    if name == "epochs":
        return f"{value} epoch{'s' if value > 1 else ''}"
    if name == "patience":
        return f"patience {value}" if value else "no early stop"
    if name == "learning_rate":
        digits, exponent = f"{value:.2e}".split("e")
        return f"rate {float(digits):g}e{int(exponent)}"
    words = {"batch_size": "batch", "layer_decay": "layer decay"}
    return f"{words[name]} {value:g}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.0f} M" if count >= 1e6 else f"{count / 1e6:.1f} M"
