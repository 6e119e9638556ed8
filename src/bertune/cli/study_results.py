"""How a study of seeds is shown."""

from typing import Any

from bertune.studies.study import FinishedStudy
from bertune.studies.summary import shown


def study_lines(finished: FinishedStudy) -> list[str]:
    """Returns what a study came to, for people."""
    summary, metric = finished.summary, finished.metric
    lines = summary.lines()
    best = next(result for result in summary.results if result.seed == summary.best)
    alone = shown(metric, best.metrics[metric])
    for average in finished.averages:
        if len(average.seeds) == 1:
            lines.append(f"{average.recipe}: no other seed's weights help those of seed {average.seeds[0]}")
            continue
        members = ", ".join(str(seed) for seed in average.seeds)
        value = shown(metric, average.scores.value(metric))
        lines.append(f"{average.recipe} (seeds {members}): {metric} {value}, the best seed alone {alone}")
    if finished.kept is not None:
        members = ", ".join(str(seed) for seed in finished.kept.seeds)
        lines.append(f"model: {finished.directory.model}, the {finished.kept.recipe} of seeds {members}")
    else:
        lines.append(f"model: {finished.directory.model}, that of seed {best.seed}, the best by validation {metric}")
    lines.append(
        "chosen on validation alone, test was not used; what was chosen as the best scores a little too well there: "
        "expect the mean"
    )
    return lines


def study_values(finished: FinishedStudy) -> dict[str, Any]:
    """Returns what a study came to, for programs."""
    summary = finished.summary
    kept = finished.kept
    return {
        "study": str(finished.directory.path),
        "model": str(finished.directory.model),
        "kept": {"recipe": "best seed", "seeds": [summary.best]} if kept is None else kept.to_dict(),
        "chosen_by": f"validation {finished.metric}",
        "test": "not used",
        "summary": summary.to_dict(),
        "averages": [average.to_dict() for average in finished.averages],
        "results": [result.to_dict() for result in summary.results],
    }
