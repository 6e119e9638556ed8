"""What `folds.json` holds."""

from dataclasses import dataclass, field

from bertune.training.named_paths import Settings


@dataclass(frozen=True)
class FoldResult:
    """What training on all folds but one came to.

    Args:
        fold: from 1.
        folder: of its journal and its answers, inside that of the run.
        rows: of the fold.
        rows_trained: of the others.
        evaluated: optimizer steps after which the fold's rows were answered, ascending.
        best_step: of these, after which they were answered best.
        steps_planned: of its schedule, from whose end patience may have kept it.
        seconds: that it took.
    """

    fold: int
    folder: str
    rows: int
    rows_trained: int
    evaluated: tuple[int, ...]
    best_step: int
    steps_planned: int
    seconds: float


@dataclass(frozen=True)
class FoldTable:
    """What `folds.json` holds of a cross-validation, whether it has ended or not.

    Args:
        results: of the folds that are done.
        settings: that all runs have in common.
        data: digest of the rows and of how they were divided.
        steps: the steps of the model that is kept; None before all folds are done.
    """

    results: tuple[FoldResult, ...]
    settings: Settings
    data: str
    steps: int | None = field(default=None)
