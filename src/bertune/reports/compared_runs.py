"""Several models' answers to the same rows, and whether they can be compared at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError, DataError
from bertune.evaluation import answers
from bertune.evaluation.answer_kinds import ANSWERS
from bertune.evaluation.comparison import Comparison, compare_decisions
from bertune.experiments.study_table import KeptModel
from bertune.reports.run_files import RunFiles, read_run
from bertune.system.hinted_values import MisfitError, from_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.training.saved_run import LabelledRow

_SHOWN = 60
# What `training.run_rows` keeps at most; imported from there it would bring torch along.
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class ComparedRun:
    """One model's answers.

    Args:
        name: how the user called it.
        signature: of the model.
        rows: where each stands, its texts, and what it truly is.
        logits: (rows, labels).
        is_out_of_fold: whether the rows are those of its training, each answered by a model that did not learn from it.
    """

    name: str
    signature: ModelSignature
    rows: Sequence[LabelledRow]
    logits: NDArray[np.float32]
    is_out_of_fold: bool = False


def read_compared_run(path: Path) -> ComparedRun:
    """Reads what a run answered on its validation rows; of a study of seeds what the model that was kept answered.

    Of a cross-validated run these are all its training rows, each answered by a model that did not learn from it.

    Raises:
        ConfigError: the folder is no run, or kept no answers.
        DataError: a file of it is damaged.
    """
    files = read_run(_run_of(path))
    if files.signature is None or not files.validation:
        raise ConfigError(
            f"{path} has no answers to validation rows",
            hint="name labelled rows with --data, and its model answers them",
        )
    try:
        logits = np.array([row.logits for row in files.validation], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{_file_of(files)}: not as it was written: {error}") from error
    if logits.shape != (len(files.validation), files.signature.num_outputs):
        raise DataError(f"{_file_of(files)}: logits of shape {logits.shape} do not fit the model")
    _require_whole(files, logits)
    return ComparedRun(str(path), files.signature, files.validation, logits, is_out_of_fold=_is_in_folds(files))


def _is_in_folds(files: RunFiles) -> bool:
    return files.scores is not None and files.scores.cross_validation is not None


def _file_of(files: RunFiles) -> Path:
    return files.path / ("out_of_fold.jsonl" if _is_in_folds(files) else "validation.jsonl")


def _require_whole(files: RunFiles, logits: NDArray[np.float32]) -> None:
    """Refuses answers that are not numbers, and a file that lost its end, as a copy that was cut short has."""
    path, hint = _file_of(files), "copy the run folder again, or name labelled rows with --data"
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if wrong.size:
        raise DataError(f"{path}:{wrong[0] + 1}: the logits are not finite numbers", hint=hint)
    scores = files.scores
    validation = None if scores is None else scores.cross_validation or scores.validation
    scored = len(logits) if validation is None else validation.rows
    most = scored if _is_in_folds(files) else _MOST_ROWS
    if len(logits) != min(scored, most):
        raise DataError(f"{path}: {len(logits):,} rows, where {scored:,} were scored", hint=hint)


def compare_runs(runs: Sequence[ComparedRun], *, seed: int = 0) -> Comparison:
    """Compares models by the metrics of the first.

    Raises:
        ConfigError: fewer than two models, or models of other tasks or labels.
        DataError: answers to other rows; names the first that differs.
    """
    if len(runs) < 2:
        raise ConfigError("a comparison needs two runs or more", hint="bertune compare RUN RUN")
    first = runs[0]
    for other in runs[1:]:
        _require_same_task(first, other)
        _require_same_rows(first, other)
    kind, labels = first.signature.kind, first.signature.labels
    return compare_decisions(
        [decisions_of(run, labels) for run in runs],
        targets_of(first.rows, first.signature),
        kind=kind,
        metrics=first.signature.metrics,
        num_labels=first.signature.num_outputs,
        seed=seed,
    )


def decisions_of(run: ComparedRun, labels: tuple[str, ...]) -> NDArray[Any]:
    """Returns what a model answers by its own temperature, thresholds and range.

    Args:
        run: the answers.
        labels: in whose order ids are given; those of the run in any order.

    Returns:
        Label ids, (rows,); for multi-label 0 and 1, (rows, labels); or values, (rows,).
    """
    signature = run.signature
    given = answers.decisions(run.logits, signature)
    return ANSWERS[signature.kind].reordered(given, signature.labels, labels)


def targets_of(rows: Sequence[LabelledRow], signature: ModelSignature) -> NDArray[Any]:
    """Returns what rows truly are, in the form of `decisions_of`.

    Raises:
        DataError: a label that the model does not have.
    """
    try:
        return answers.targets_of([row.target for row in rows], signature)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the validation rows hold a target that the model does not know: {error}") from error


def _run_of(path: Path) -> Path:
    """The run whose model a folder keeps: itself, or of a study of seeds the best of them."""
    study = path / "seeds.json"
    if (path / "validation.jsonl").is_file() or not study.is_file():
        return path
    try:
        kept = from_json(_StudyModel, read_json_object(study, max_bytes=MAX_OWN_BYTES, error=DataError)).model
    except MisfitError:
        kept = None
    if kept is None or len(kept.seeds) != 1:
        raise ConfigError(f"{path} does not keep the model of one seed", hint="name labelled rows with --data")
    return path / f"seed-{kept.seeds[0]}"


@dataclass(frozen=True)
class _StudyModel:
    model: KeptModel


def _require_same_task(first: ComparedRun, other: ComparedRun) -> None:
    if other.signature.kind != first.signature.kind:
        raise ConfigError(
            f"{first.name} does {first.signature.kind}, {other.name} {other.signature.kind}: they cannot be compared"
        )
    if set(other.signature.labels) != set(first.signature.labels):
        only = sorted(set(first.signature.labels) ^ set(other.signature.labels))
        raise ConfigError(f"{first.name} and {other.name} do not have the same labels: {only[0]!r} is only in one")


def _require_same_rows(first: ComparedRun, other: ComparedRun) -> None:
    for mine, theirs in zip(first.rows, other.rows, strict=False):
        has_texts = mine.text_a is not None or theirs.text_a is not None
        for name in _COMPARED if has_texts else ("where", "target"):
            one, another = getattr(mine, name), getattr(theirs, name)
            if _comparable(one) != _comparable(another):
                raise DataError(
                    f"{first.name} and {other.name} answered other rows: at {mine.where} {name} is "
                    f"{_short(one)}, at {theirs.where} {_short(another)}",
                    hint="name rows for both with --data",
                )
    if len(first.rows) != len(other.rows):
        raise DataError(
            f"{first.name} answered {len(first.rows):,} rows, {other.name} {len(other.rows):,}",
            hint="name rows for both with --data",
        )


_COMPARED = ("text_a", "text_b", "target")


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    shown = repr(list(value) if isinstance(value, tuple) else value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
