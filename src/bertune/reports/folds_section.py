"""The folds of a cross-validated run: how much the score varies with the rows that are left out."""

from bertune.reports.page import note, section, table
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.words import metric_text
from bertune.wording.markup import Html
from bertune.wording.metric_text import metric_name


def folds_section(numbers: RunMetrics) -> list[Html]:
    """Returns the table of the folds; nothing without such."""
    if not numbers.folds:
        return []
    names = list(numbers.folds[0].metrics)
    rows = [
        [
            fold.fold,
            f"{fold.rows:,}",
            f"{fold.rows_trained:,}",
            *(metric_text(name, fold.metrics[name]) for name in names),
            f"{fold.step:,}",
            f"{fold.best_step:,}",
            f"{fold.seconds:.0f}",
        ]
        for fold in numbers.folds
    ]
    heading = ["fold", "rows", "trained on", *(metric_name(name, numbers.label_names) for name in names)]
    told = note(
        "The score is that of all rows together; a fold alone has few. A fold's rows are answered after the median of "
        "the steps that were best for the other folds: its own best step, which its rows chose, would flatter them. "
        "The model kept was trained on all rows, with the median of the best steps. The intervals are wider than those "
        "of rows that no model was trained on, since the folds' models share most of their training rows (Nadeau and "
        "Bengio 2003)."
    )
    return [section("folds", "Folds", table([*heading, "steps", "best step", "seconds"], rows), told)]
