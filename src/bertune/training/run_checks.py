"""Settings of a run that could have no effect on its task are refused, before anything is made."""

from typing import Final

from bertune.data.task import Task
from bertune.errors import ConfigError
from bertune.evaluation.metrics import METRICS, metric_meant, require_classes
from bertune.evaluation.thresholds import require_threshold
from bertune.system.feature_switches import check_variable
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

_HINT: Final = "name some with --validation FILE, or hold training rows back: --validation 0.1"


def check_settings(settings: RunSettings, config: TrainingConfig, task: Task, *, has_validation: bool) -> None:
    """Refuses settings that do not fit a task.

    Args:
        settings: of the run.
        config: how it trains.
        task: what it learns.
        has_validation: whether there are validation data.

    Raises:
        ConfigError: names the flag.
    """
    check_variable()
    if settings.metric is not None:
        known = [name for name, metric in METRICS.items() if task.kind in metric.measures]
        if settings.metric not in known:
            meant = metric_meant(settings.metric, known)
            raise ConfigError(
                f"metric {settings.metric!r} is none of {task.kind}'s: {', '.join(known)}",
                hint=None if meant is None else f"did you mean '{meant}'?",
            )
        if task.labels is not None:
            require_classes([settings.metric], len(task.labels))
    if not has_validation and (settings.metric is not None or config.patience):
        raise ConfigError("--metric and --patience need validation data", hint=_HINT)
    if not has_validation and config.evaluate_every is not None:
        raise ConfigError("--evaluate-every needs validation data", hint=_HINT)
    if settings.keep_adapter and config.lora is None:
        raise ConfigError("--keep-adapter is about the adapters of --lora", hint="add --lora 8, or leave it out")
    if settings.threshold == "auto":
        _check_thresholds(settings, task, has_validation=has_validation)
    settings.check_teacher(task.kind)
    if settings.teacher is not None and config.class_weights:
        raise ConfigError(
            "--class-weights weighs rows by their label, and a teacher answers rows without one",
            hint="leave it out: the teacher may have been trained with it, and its answers show that",
        )
    if not task.kind.has_labels and config.label_smoothing:
        raise ConfigError("--label-smoothing is for classes, not for values")
    if not task.kind.has_labels and config.class_weights:
        raise ConfigError("--class-weights is for classes, not for values")


def _check_thresholds(settings: RunSettings, task: Task, *, has_validation: bool) -> None:
    if not has_validation:
        raise ConfigError("--threshold auto needs validation data", hint=_HINT)
    if not task.kind.has_labels:
        raise ConfigError("--threshold is for labels, not for values")
    if task.labels is not None:
        require_threshold(task.kind, task.labels.names, settings.threshold_for or settings.metric or task.metrics[0])
