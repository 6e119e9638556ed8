"""Every number of a report, from the files of a run folder: what `metrics.json` holds and the page shows."""

import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import bertune
from bertune.reports.answered_rows import answer_numbers
from bertune.reports.curves import curve_numbers
from bertune.reports.kept_evaluations import read_evaluations
from bertune.reports.run_files import RunFiles, read_study
from bertune.reports.words import constant_answer
from bertune.text.findings import counted
from bertune.text.metric_text import metric_name

MOST_DOUBTFUL: Final = 25
_FEW_ROWS: Final = 100
_FINDINGS: Final = 5
# Findings below this share of the rows are notes.
_FEW_OF_THE_ROWS: Final = 0.01
_OF_LABELS: Final = frozenset({"label_variants", "single_example", "absent_label", "imbalance", "label_shift"})
_WIDTH: Final = 96
LEVELS: Final = ("severe", "caution", "note")
"""Of warnings, the gravest first."""

Warned = dict[str, Any]
"""A warning: its `level` and `message`; where settings would help `code` and `try`; `of_data` of the audit's."""


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
        "ended": run.ended,
        "of_the_model": run.of_the_model,
        "best_epoch": None if run.scores is None else run.scores.get("epoch"),
        "validation": None if run.scores is None else run.scores.get("validation"),
        "calibrated_since": run.scores is not None and bool(run.scores.get("calibrated_since")),
        "also_scored": {} if run.scores is None else _also_scored(run.scores),
        "evaluations": read_evaluations(folder),
        "frozen_features": None if run.scores is None else run.scores.get("frozen_features"),
        "advice": [] if run.scores is None else run.scores.get("advice", []),
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
    # Flags that all verbs share come first by their type; a reader looks for the data.
    for name, value in sorted(settings.items(), key=lambda item: item[0] != "data"):
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


def warnings_of(numbers: dict[str, Any]) -> list[Warned]:
    """Returns what the reader of the numbers must know before believing them, the gravest first.

    Each has a `level` and a `message`; what names other settings has them in `try`, as flags of `bertune train`.

    - `severe`: the model is of no use, or nothing is known of it: collapsed, worse than the baseline, diverged seeds.
    - `caution`: it may be better, or its numbers may say less than they seem to.
    - `note`: good to know; findings in less than 1 % of a split's rows are.
    """
    scores, answers, seeds = numbers["validation"], numbers["answers"], numbers["seeds"]
    warnings: list[Warned] = []
    if not numbers["ended"]:
        warnings.append(
            _warned(
                "severe",
                "This run did not end: it was interrupted or killed, and its model is that of an epoch before.",
            )
        )
    if not numbers["of_the_model"]:
        lost = "Scores and validation rows were of other weights than the model's: `bertune evaluate` scores it."
        warnings.append(_warned("severe", lost))
    elif scores is None and "test" not in numbers["also_scored"]:
        warnings.append(_warned("severe", "There were no validation data: nothing is known about how good it is."))
    warnings += _warnings_of_advice(numbers)
    if scores is not None:
        if scores["is_majority"] and not any(each.get("code") == "collapsed" for each in warnings):
            collapsed = "This run collapsed: it gives every row the same answer, whatever its metrics say."
            warnings.append(_warned("severe", collapsed))
        name, first = next(iter(scores["metrics"].items()))
        if first["against_baseline"] != "better":
            is_unclear = first["against_baseline"] == "unclear"
            found = "no better than" if is_unclear else "worse than"
            told = f"By {metric_name(name)}, this model is {found} {constant_answer(scores['baseline'])}."
            warnings.append(_warned("caution" if is_unclear else "severe", told))
        if scores["rows"] < _FEW_ROWS:
            few = f"{scores['rows']} validation rows are few: the intervals are wide."
            warnings.append(_warned("caution", few))
    if answers is not None and scores is not None and answers["rows"] < scores["rows"]:
        told = (
            f"Errors and scores by length are of {answers['rows']:,} of the {scores['rows']:,} validation rows, "
            "evenly spaced over the file."
        )
        warnings.append(_warned("note", told))
    if _decides_otherwise_now(scores, answers):
        told = (
            "The model was calibrated anew after training: the metrics are of before, errors and scores by length "
            "and class of the model as it is now. `bertune evaluate` scores it."
        )
        warnings.append(_warned("caution", told))
    warnings += _warnings_of_seeds(seeds)
    warnings += _warnings_of_data(numbers["data"])
    return sorted(warnings, key=lambda each: LEVELS.index(each["level"]))


def _warned(level: str, message: str, **more: Any) -> Warned:
    return {"level": level, "message": message, **more}


def _warnings_of_advice(numbers: dict[str, Any]) -> list[Warned]:
    """The advice of the run, or of all seeds of a study, as sentences."""
    seeds = numbers["seeds"]
    advice = numbers["advice"] if seeds is None else seeds["summary"].get("advice", [])
    return [
        _warned(
            "severe" if each["code"] == "collapsed" else "caution",
            f"{each['message'][:1].upper()}{each['message'][1:]}.",
            code=each["code"],
            **{"try": each["try"]},
        )
        for each in advice
    ]


def _warnings_of_data(data: dict[str, Any] | None) -> list[Warned]:
    """The findings of the audit; those in few of the rows of their split are notes."""
    findings = [] if data is None else [each for each in data["findings"] if each["code"] != "not_audited"]
    told = [
        _warned(_level_of(finding, data or {}), f"Data: {finding['message']}", of_data=True) for finding in findings
    ]
    told.sort(key=lambda each: LEVELS.index(each["level"]))
    more = len(told) - _FINDINGS
    if more > 0:
        rest = f"Data: {counted(more, 'more finding')}, in the section on the data."
        return [*told[:_FINDINGS], _warned("note", rest, of_data=True)]
    return told


def _level_of(finding: dict[str, Any], data: dict[str, Any]) -> str:
    split = data["splits"].get(finding["message"].split(":", 1)[0], {})
    rows, count = split.get("rows_used", 0), finding.get("count", 0)
    # What is counted in labels is about all of their rows.
    is_of_rows = finding["code"] not in _OF_LABELS
    return "note" if is_of_rows and rows and count < _FEW_OF_THE_ROWS * rows else "caution"


def _decides_otherwise_now(scores: dict[str, Any] | None, answers: dict[str, Any] | None) -> bool:
    """Whether the share of rows that are right is not the one that training wrote down, of the same rows."""
    if scores is None or answers is None or answers["rows"] != scores["rows"]:
        return False
    then = next(
        (scores["metrics"][name] for name in ("accuracy", "subset_accuracy") if name in scores["metrics"]), None
    )
    return then is not None and abs(then["value"] - answers["overall"]["value"]) > 1e-9


def _also_scored(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores of rows that nothing was chosen by: test, and MNLI's second validation set."""
    return {
        name: values
        for name, values in scores.items()
        if name != "validation" and isinstance(values, dict) and "verdict" in values
    }


def _warnings_of_seeds(seeds: dict[str, Any] | None) -> list[Warned]:
    if seeds is None:
        return []
    told = {each["code"] for each in seeds["summary"].get("advice", [])}
    found = {
        "gave every row the same answer (collapsed)": [] if "collapsed" in told else seeds["summary"]["collapsed"],
        "diverged": seeds["summary"]["diverged"],
    }
    warnings = [
        _warned("severe", f"{len(numbers)} of {len(seeds['results'])} seeds {what}: {', '.join(map(str, numbers))}.")
        for what, numbers in found.items()
        if numbers
    ]
    if len(seeds["model"]["seeds"]) > 1:
        averaged = ", ".join(map(str, seeds["model"]["seeds"]))
        told_of = (
            f"The model is the average of the seeds {averaged}; the training rows that may be mislabelled are those of "
            f"the best single seed, {seeds['summary']['best']}."
        )
        warnings.append(_warned("note", told_of))
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
