"""How a study of seeds is shown."""

from bertune.experiments.study import FinishedStudy
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.wording.metric_text import metric_name, metric_text


def study_lines(finished: FinishedStudy) -> list[str]:
    """Returns what a study came to, for people."""
    summary, metric = finished.summary, finished.metric
    spoken, lines = metric_name(metric), summary.lines()
    best = next(result for result in summary.results if result.seed == summary.best)
    alone = metric_text(metric, best.metrics[metric])
    for average in finished.averages:
        if len(average.seeds) == 1:
            lines.append(f"{average.recipe}: no other seed's weights help those of seed {average.seeds[0]}")
            continue
        members = ", ".join(str(seed) for seed in average.seeds)
        value = metric_text(metric, average.scores.value(metric))
        lines.append(f"{average.recipe} (seeds {members}): {spoken} {value}, the best seed alone {alone}")
    if finished.kept is not None:
        members = ", ".join(str(seed) for seed in finished.kept.seeds)
        lines.append(f"model: {finished.directory.model}, the {finished.kept.recipe} of seeds {members}")
    else:
        lines.append(f"model: {finished.directory.model}, that of seed {best.seed}, the best by validation {spoken}")
    test = "was not used" if finished.test is None else "was scored once, at the end"
    lines.append(
        f"chosen on validation alone, test {test}; the best seed's validation score is biased "
        "upward by selection; expect the mean"
    )
    if finished.test is not None:
        lines += ["", "test (nothing was chosen by these rows):", *finished.test.lines()]
    return lines


def study_values(finished: FinishedStudy) -> JsonObject:
    """Returns what a study came to, for programs."""
    summary = finished.summary
    kept = finished.kept
    return {
        "study": str(finished.directory.path),
        "model": str(finished.directory.model),
        "kept": {"recipe": "best seed", "seeds": [summary.best]} if kept is None else to_json(kept.saved()),
        "chosen_by": f"validation {finished.metric}",
        "test": "not used" if finished.test is None else finished.test.to_dict(),
        "summary": to_json(summary.saved()),
        "averages": [to_json(average.saved()) for average in finished.averages],
        "results": [to_json(result) for result in summary.results],
    }
