"""The weights of classes, from what the user wrote and the training targets."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean

BALANCED = "balanced"


def class_weights_of(
    wanted: Sequence[str], *, kind: TaskKind, names: Sequence[str], targets: NDArray[Any]
) -> Tensor | None:
    """Returns the weight of each label for `loss_of`.

    Args:
        wanted: nothing for no weights; `balanced`; or entries NAME=WEIGHT, the labels not named weigh 1.
        kind: of the task.
        names: of the labels, in the order of the logits.
        targets: of the training data. `balanced` gives a class rows / (classes * its rows), as scikit-learn does; for
            multi-label a label weighs rows without it / rows with it. What has no rows, or all of them, weighs 1.

    Returns:
        (labels,) fp32; None without weights.

    Raises:
        ConfigError: a label that is not there, a weight that is no number above 0, or a regression.
    """
    if not wanted:
        return None
    if not kind.has_labels:
        raise ConfigError("--class-weights is for labels, not for values", hint="leave it out")
    if list(wanted) == [BALANCED]:
        return torch.from_numpy(_balanced(kind, len(names), targets).astype(np.float32))
    weights = dict.fromkeys(names, 1.0)
    given: set[str] = set()
    for entry in wanted:
        name, equals, number = entry.rpartition("=")
        if entry == BALANCED:
            raise ConfigError(f"{BALANCED} weighs all labels, so no other class weight can be given beside it")
        if not equals:
            raise ConfigError(
                f"class weight {entry!r} is neither {BALANCED} nor LABEL=WEIGHT", hint=did_you_mean(entry, [BALANCED])
            )
        if name not in weights:
            raise ConfigError(
                f"class weight {entry!r}: no label is called {name!r}; the labels are {', '.join(names)}",
                hint=did_you_mean(name, names),
            )
        if name in given:
            raise ConfigError(f"the label {name!r} has two class weights")
        given.add(name)
        weights[name] = _number(entry, number)
    return torch.tensor(list(weights.values()), dtype=torch.float32)


def _number(entry: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(f"class weight {entry!r}: expected a number above 0")
    return weight


def _balanced(kind: TaskKind, labels: int, targets: NDArray[Any]) -> NDArray[np.float64]:
    if kind.has_label_sets:
        having = targets.sum(axis=0)
        lacking = len(targets) - having
        return np.where((having > 0) & (lacking > 0), lacking / np.maximum(having, 1), 1.0)
    counts = np.bincount(targets, minlength=labels)
    return np.where(counts > 0, len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 1.0)
