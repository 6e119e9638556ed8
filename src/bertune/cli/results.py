"""How the result of a run is shown."""

from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.training.advice import advice_lines
from bertune.training.run import FinishedRun
from bertune.wording.counts import counted


def finished_lines(finished: FinishedRun, *, verbose: bool = False) -> list[str]:
    """Returns what a run came to, for people; `verbose` as in `Scores.lines`."""
    best = finished.best
    lines = advice_lines(finished.advice)
    lines += [""] if lines else []
    if best.scores is not None:
        lines.append(f"validation, epoch {best.epoch} of {len(finished.history.epochs)} (chosen on these rows):")
        lines += best.scores.lines(verbose=verbose)
    if finished.frozen is not None:
        lines.append(finished.frozen.line())
    if finished.calibration is not None:
        lines += ["", *finished.calibration.lines()]
    for name, scores in finished.also.items():
        lines += [f"{name} (nothing was chosen by these rows):", *scores.lines(verbose=verbose)]
    if finished.history.stopped_early:
        lines.append(f"stopped early: no better epoch after epoch {best.epoch}")
    seconds = sum(epoch.train_seconds for epoch in finished.history.epochs)
    rate = sum(step.examples for step in finished.history.steps) / seconds
    lines.append(f"trained {counted(len(finished.history.steps), 'step')} in {seconds:.0f} s, {rate:.0f} examples/s")
    lines.append(f"model: {finished.directory.model}")
    return lines


def finished_values(finished: FinishedRun) -> JsonObject:
    """Returns what a run came to, for programs."""
    best = finished.best
    return {
        "run": str(finished.directory.path),
        "model": str(finished.directory.model),
        "best_epoch": best.epoch,
        "validation": None if best.scores is None else best.scores.to_dict(),
        "calibration": None if finished.calibration is None else finished.calibration.to_dict(),
        **{name: scores.to_dict() for name, scores in finished.also.items()},
        "frozen_features": None if finished.frozen is None else to_json(finished.frozen.saved()),
        "advice": [to_json(advice) for advice in finished.advice],
        "steps": len(finished.history.steps),
        "train_seconds": sum(epoch.train_seconds for epoch in finished.history.epochs),
        "stopped_early": finished.history.stopped_early,
    }
