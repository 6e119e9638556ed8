"""Every number of a report, from the files of a run folder: what `metrics.json` holds and the page shows."""

import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import bertune
from bertune.reports.answered_rows import answer_numbers
from bertune.reports.curves import curve_numbers
from bertune.reports.run_files import RunFiles, read_study
from bertune.reports.words import constant_answer

MOST_DOUBTFUL: Final = 25
_FEW_ROWS: Final = 100
_FINDINGS: Final = 5
_WIDTH: Final = 96


def report_numbers(folder: Path) -> dict[str, Any]:
    """Returns the content of `metrics.json` for a run.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged.
    """
    run = read_study(folder)
    verb = next((verb for verb in ("train", "sweep") if verb in run.settings), "train")
    settings = run.settings.get(verb, {})
    name = folder.absolute().name
    journals = run.journals or {name: run.journal}
    numbers: dict[str, Any] = {
        "format_version": 1,
        "run": name,
        "reported_by": bertune.__version__,
        "made_with": run.settings.get("made_with", {}),
        "settings": settings,
        "command": command_of(settings, verb),
        "model": None if run.contract is None else asdict(run.contract),
        "best_epoch": None if run.scores is None else run.scores.get("epoch"),
        "validation": None if run.scores is None else run.scores["validation"],
        "calibrated_since": run.scores is not None and bool(run.scores.get("calibrated_since")),
        "also_scored": {} if run.scores is None else _also_scored(run.scores),
        "seeds": run.seeds,
        "curves": [curve_numbers(each, journal) for each, journal in journals.items()],
        "answers": answer_numbers(run.validation, run.contract) if run.validation and run.contract else None,
        "calibration": run.calibration,
        "doubtful": _doubtful(run),
        "receipt": _receipt(run.receipt),
        "data": run.data,
    }
    return numbers | {"warnings": warnings_of(numbers)}


def command_of(settings: dict[str, Any], verb: str = "train") -> str:
    """Returns the command that trains with these settings, as a shell takes it, over several lines."""
    lines = [f"bertune {verb}"]
    for name, value in settings.items():
        # Words are given one at a time, the numbers of a range together.
        is_range = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
        for each in [value] if is_range or not isinstance(value, list) else value:
            if each is False:
                continue
            words = [str(word) for word in each] if is_range else [] if each is True else [str(each)]
            flag = shlex.join([f"--{name}", *words])
            if len(lines[-1]) + len(flag) > _WIDTH:
                lines.append("   ")
            lines[-1] += f" {flag}"
    return " \\\n".join(lines)


def warnings_of(numbers: dict[str, Any]) -> list[str]:
    """Returns what the reader of the numbers must know before believing them."""
    warnings = []
    scores, answers = numbers["validation"], numbers["answers"]
    if scores is None:
        warnings.append("There were no validation data: nothing is known about how good this model is.")
    else:
        if scores["is_majority"]:
            warnings.append("This run collapsed: it gives every row the same answer, whatever its metrics say.")
        name, first = next(iter(scores["metrics"].items()))
        if first["against_baseline"] != "better":
            found = "no better than" if first["against_baseline"] == "unclear" else "worse than"
            warnings.append(f"By {name}, this model is {found} {constant_answer(scores['baseline'])}.")
        if scores["rows"] < _FEW_ROWS:
            warnings.append(f"{scores['rows']} validation rows are few: the intervals are wide.")
    if answers is not None and scores is not None and answers["rows"] < scores["rows"]:
        warnings.append(
            f"Errors and scores by length are of {answers['rows']:,} of the {scores['rows']:,} validation rows, "
            "evenly spaced over the file."
        )
    if _decides_otherwise_now(scores, answers):
        warnings.append(
            "The model was calibrated anew after training: the metrics are of before, errors and scores by length "
            "and class of the model as it is now. `bertune evaluate` scores it."
        )
    warnings += _warnings_of_seeds(numbers["seeds"])
    findings = [] if numbers["data"] is None else numbers["data"]["findings"]
    told = [f"Data: {finding['message']}" for finding in findings if finding["code"] != "not_audited"]
    more = (
        [f"Data: {len(told) - _FINDINGS:,} more findings, in the section on the data."] if len(told) > _FINDINGS else []
    )
    return warnings + told[:_FINDINGS] + more


def _decides_otherwise_now(scores: dict[str, Any] | None, answers: dict[str, Any] | None) -> bool:
    """Whether the share of rows that are right is not the one that training wrote down, of the same rows."""
    if scores is None or answers is None or answers["rows"] != scores["rows"]:
        return False
    then = next(
        (scores["metrics"][name] for name in ("accuracy", "subset_accuracy") if name in scores["metrics"]), None
    )
    return then is not None and abs(then["value"] - answers["overall"]["value"]) > 1e-9


def _also_scored(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores of validation data that nothing was chosen by: MNLI's second set."""
    return {name: values for name, values in scores.items() if name != "validation" and isinstance(values, dict)}


def _warnings_of_seeds(seeds: dict[str, Any] | None) -> list[str]:
    if seeds is None:
        return []
    found = {
        "gave every row the same answer (collapsed)": seeds["summary"]["collapsed"],
        "diverged": seeds["summary"]["diverged"],
    }
    warnings = [
        f"{len(numbers)} of {len(seeds['results'])} seeds {what}: {', '.join(map(str, numbers))}."
        for what, numbers in found.items()
        if numbers
    ]
    if len(seeds["model"]["seeds"]) > 1:
        averaged = ", ".join(map(str, seeds["model"]["seeds"]))
        warnings.append(
            f"The model is the average of the seeds {averaged}; the training rows that may be mislabelled are those of "
            f"the best single seed, {seeds['summary']['best']}."
        )
    return warnings


def _doubtful(run: RunFiles) -> dict[str, Any] | None:
    if not run.doubtful:
        return None
    measure = "absolute_error" if "absolute_error" in run.doubtful[0] else "probability"
    rows = [row | {"mean": sum(row[measure]) / len(row[measure])} for row in run.doubtful[:MOST_DOUBTFUL]]
    return {"measure": measure, "epochs": len(run.doubtful[0][measure]), "rows": rows}


def _receipt(receipt: dict[str, Any] | None) -> dict[str, Any] | None:
    if receipt is None:
        return None
    counts = Counter(tensor["status"] for tensor in receipt["tensors"])
    return {**receipt, "counts": {status: counts[status] for status in ("loaded", "new", "unused")}}
