"""The settings of `bertune.train`, which are those of `bertune train`: checked, and sorted by what they are about."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, get_type_hints

import numpy as np

from bertune.api.familiar_names import FAMILIAR
from bertune.data.read_options import OnBadRow, Quoting
from bertune.errors import ConfigError
from bertune.experiments.fold_settings import FoldSettings
from bertune.experiments.seed_settings import SeedSettings
from bertune.nn.device import DeviceName
from bertune.nn.precision import Precision
from bertune.system.hinted_values import described, fits
from bertune.tokenization.long_texts import LongText
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import OptimizerName, RecipeName, TrainingConfig
from bertune.training.run_settings import RunSettings
from bertune.wording.nearest import did_you_mean

_GROUPS = (RunSettings, TrainingConfig, SeedSettings, CheckpointSettings, FoldSettings)
# Given by the arguments of `train` that have no place in a file.
_NOT_SETTINGS = frozenset({"data", "out"})


class TrainSettings(TypedDict, total=False):
    """Settings of `bertune.train`: the flags of `bertune train` with underscores, with the same meanings and defaults.

    `RunSettings`, `TrainingConfig`, `SeedSettings`, `FoldSettings` and `CheckpointSettings` describe them, and so does
    `bertune train --help-all`.
    """

    tokenizer: str | os.PathLike[str] | None
    task: str | None
    group: str | None
    relabel: str | os.PathLike[str] | None
    soft_labels: Sequence[str]
    keep_layers: str | None
    teacher: str | os.PathLike[str] | None
    unlabelled: Sequence[str | os.PathLike[str]]
    temperature: float | None
    mix: float | None
    label_separator: str | None
    kind: Literal["classification", "multi-label", "regression"]
    positive: str | None
    allow_no_label: bool
    target_range: tuple[float, float] | None
    pooling: Literal["cls", "mean"] | None
    max_length: int
    long_text: LongText
    window_stride: int | None
    metric: str | None
    device: DeviceName
    threshold: Literal["default", "auto"]
    threshold_for: str | None
    allow_new: Sequence[str]
    skip_probe: bool
    keep_head: bool
    keep_adapter: bool
    strict: bool
    tensorboard: bool
    overwrite: bool
    delimiter: str | None
    encoding: str | None
    no_header: bool | None
    quoting: Quoting
    on_bad_row: OnBadRow
    max_bad_rows: float | None
    label_file: str | os.PathLike[str] | None
    recipe: RecipeName
    epochs: int | None
    batch_size: int | None
    micro_batch_size: int | None
    learning_rate: float | None
    warmup_fraction: float | None
    layer_decay: float | None
    freeze: int | None
    lora: int | None
    lora_alpha: float | None
    reinit_layers: int
    weight_decay: float | None
    max_gradient_norm: float | None
    label_smoothing: float
    class_weights: Sequence[str]
    optimizer: OptimizerName | None
    precision: Precision
    seed: int
    patience: int | None
    evaluate_every: int | None
    seeds: int | str | None
    parallel_seeds: int | None
    average: bool
    folds: int | None
    save_every: int | str | None
    keep_last: int
    keep_checkpoints: bool


@dataclass(frozen=True)
class SortedSettings:
    """Settings by what they are about.

    Args:
        run: what is read and written.
        training: how it is trained.
        seeds: whether several seeds are.
        checkpoints: how it is saved meanwhile.
        folds: whether it is cross-validated.
    """

    run: RunSettings
    training: TrainingConfig
    seeds: SeedSettings
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)
    folds: FoldSettings = field(default_factory=FoldSettings)


def sorted_settings(data: str, out: Path, given: Mapping[str, Any]) -> SortedSettings:
    """Checks settings and sorts them.

    Args:
        data: name of the training data.
        out: the folder of the run.
        given: all other settings; None where a setting has that as its default is the default.

    Raises:
        ConfigError: a setting that does not exist, or a value that it cannot have.
    """
    hints = {group: get_type_hints(group) for group in _GROUPS}
    known = setting_names()
    values = {name: _plain(value) for name, value in given.items()}
    for name in values:
        if name not in known:
            raise ConfigError(f"train has no setting {name!r}", hint=_meant(name, known))
    made = []
    for group in _GROUPS:
        own = {each.name: values[each.name] for each in fields(group) if each.name in values}
        for name, value in own.items():
            hint = hints[group][name]
            if not (
                fits(list(value) if isinstance(value, tuple) else value, hint) or (value is None and _may_be_none(hint))
            ):
                raise ConfigError(f"{name} is {value!r}, expected {described(hint)}")
        if group is RunSettings:
            own |= {"data": data, "out": out}
        made.append(group(**own))
    run, training, seeds, checkpoints, folds = made
    assert isinstance(run, RunSettings)
    assert isinstance(training, TrainingConfig)
    assert isinstance(seeds, SeedSettings)
    assert isinstance(checkpoints, CheckpointSettings)
    assert isinstance(folds, FoldSettings)
    folds.refuse_contradictions(run, with_seeds=seeds.seeds is not None)
    return SortedSettings(run, training, seeds, checkpoints, folds)


def setting_names() -> tuple[str, ...]:
    """Returns the names of all settings."""
    return tuple(each.name for group in _GROUPS for each in fields(group) if each.name not in _NOT_SETTINGS)


def _meant(name: str, known: Sequence[str]) -> str:
    flags = (flag[2:].replace("-", "_") for flag in FAMILIAR.get(name.replace("_", "-"), ()))
    named = next((flag for flag in flags if flag in known), None)
    if named is not None:
        return f"did you mean {named!r}?"
    return did_you_mean(name, known) or "the settings are the flags of `bertune train --help-all`, with underscores"


def _may_be_none(hint: Any) -> bool:
    return type(None) in getattr(hint, "__args__", ())


def _plain(value: Any) -> Any:
    """Returns a value as a file would hold it: paths are texts, numbers of NumPy are numbers, lists are tuples."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    return tuple(_plain(part) for part in value) if isinstance(value, list | tuple) else value
