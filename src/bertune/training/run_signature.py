"""The signature that a run's model will have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.data.several_labels import SeveralLabels
from bertune.data.task import Task
from bertune.fetch.model_address import without_query
from bertune.training.run_settings import RunSettings


def signature_of_run(settings: RunSettings, task: Task, train_targets: NDArray[Any]) -> ModelSignature:
    """Makes the signature, without temperature and thresholds, which come with the weights.

    Args:
        settings: of the run.
        task: with the labels of the training data.
        train_targets: what the baseline of later scores learns from.
    """
    metrics = task.metrics
    if settings.metric is not None:
        metrics = (settings.metric, *(metric for metric in metrics if metric != settings.metric))
    counts: tuple[int, ...] = ()
    if task.kind.has_label_sets:
        counts = tuple(train_targets.sum(axis=0).tolist())
    elif task.labels is not None:
        counts = tuple(np.bincount(train_targets, minlength=len(task.labels)).tolist())
    several = task.columns.several or SeveralLabels()
    return ModelSignature(
        labels=() if task.labels is None else task.labels.names,
        is_pair=task.columns.is_pair,
        max_length=settings.max_length,
        kind=task.kind,
        pooling=settings.pooling or "cls",
        task=settings.task or "",
        text_a=task.columns.text_a,
        text_b=task.columns.text_b,
        label=task.columns.label,
        metrics=metrics,
        label_counts=counts,
        train_rows=len(train_targets),
        label_columns=several.columns,
        label_separator=several.separator,
        target_range=task.target_range,
        target_mean=float(train_targets.mean()) if task.labels is None else None,
        # It goes with the model wherever that goes; the signature of an address must not.
        base_model=without_query(settings.model),
        long_text=settings.long_text,
        window_stride=settings.window_stride,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        no_header=bool(settings.no_header),
        quoting=settings.quoting,
    )
