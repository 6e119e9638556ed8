"""Scores of `bertune evaluate` that stay in the run folder: `evaluations.json`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bertune.checkpoints.model_digests import model_digest
from bertune.errors import BertuneError, CheckpointError
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.saved_scores import SavedScores
from bertune.evaluation.scores import Scores
from bertune.reports.run_files import read_file, read_settings
from bertune.system.atomic import write_text
from bertune.system.folder_lock import only_run_in
from bertune.system.hinted_values import LEFT_OUT, to_json
from bertune.training.named_paths import place_of, started_in
from bertune.training.saved_run import SavedData

EVALUATIONS: Final = "evaluations.json"
CHOSEN_ON: Final = {
    "train": "the model was trained on these rows",
    "validation": "chosen on these rows",
    "cross-validation": "each row answered by a model that did not learn from it",
    "": "nothing was chosen by these rows",
}
"""What a run had to do with the rows, and how it is said."""


@dataclass(frozen=True, kw_only=True)
class KeptEvaluation:
    """The scores of a run's model on other rows, as `evaluations.json` holds them.

    Args:
        data: as the user named it.
        split: of a folder; None for one table.
        rows: how many.
        rows_digest: of texts and labels.
        model_digest: of the model that was scored.
        seen_as: what the rows were to the run: `train`, `validation`, or neither (empty).
        precision: in which it computed; None in files of older versions.
        scores: of the model.
        stale: whether another model was scored than the run has now; in `metrics.json` alone.
    """

    data: str
    split: str | None = None
    rows: int
    rows_digest: str
    model_digest: str
    seen_as: str
    precision: str | None = field(default=None, metadata=LEFT_OUT)
    scores: SavedScores
    stale: bool | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class _Evaluations:
    evaluations: tuple[KeptEvaluation, ...]


def kept_entry(
    run: Path, data: str, split: str | None, rows: LabelledRows, scores: Scores, precision: str
) -> KeptEvaluation:
    """Makes the entry of an evaluation; the same evaluation makes the same one, whenever it is done.

    Args:
        run: the folder of the run.
        data: as the user named it.
        split: of a folder; None for one table.
        rows: what was scored.
        scores: of the run's model.
        precision: in which it computed.
    """
    return KeptEvaluation(
        data=data,
        split=split,
        rows=len(rows),
        rows_digest=rows.digest(),
        model_digest=model_digest(run / "model"),
        seen_as=_seen_as(run, data, split),
        precision=precision,
        scores=scores.saved(),
    )


def keep_evaluations(run: Path, entries: Sequence[KeptEvaluation]) -> str | None:
    """Adds entries to `evaluations.json`; they take the place of those of the same rows, and of earlier models.

    Args:
        run: the folder of the run.
        entries: of `kept_entry`.

    Returns:
        Why they could not be kept; None where they were. Scores that cannot be kept are still scores.
    """
    try:
        with only_run_in(run):
            rows, models = ({getattr(entry, name) for entry in entries} for name in ("rows_digest", "model_digest"))
            places = {(entry.data, entry.split) for entry in entries}
            kept = [
                entry
                for entry in _entries(run)
                if entry.model_digest in models
                and entry.rows_digest not in rows
                and (entry.data, entry.split) not in places
            ]
            content = to_json(_Evaluations((*kept, *entries)))
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            write_text(run / EVALUATIONS, text + "\n", follow=False)
    except BertuneError as error:
        return error.message
    except OSError as error:
        return str(error.strerror or error)
    return None


def read_evaluations(run: Path) -> tuple[KeptEvaluation, ...]:
    """Reads the entries; each with `stale`, whether another model was scored than the run has now.

    Raises:
        DataError: the file is damaged.
    """
    entries = _entries(run)
    try:
        digest = model_digest(run / "model") if entries else ""
    except CheckpointError:
        digest = ""
    return tuple(replace(entry, stale=entry.model_digest != digest) for entry in entries)


def _entries(run: Path) -> tuple[KeptEvaluation, ...]:
    found = read_file(run / EVALUATIONS, _Evaluations)
    return () if found is None else found.evaluations


def _seen_as(run: Path, data: str, split: str | None) -> str:
    """What the rows were to the run, by their path: its training rows, its validation rows, or neither (empty)."""
    of_run = read_settings(run).of_verb
    out = of_run.get("out")
    start = started_in(run, out if isinstance(out, str) else None)
    path = place_of(data, Path.cwd())
    if path == place_of(of_run.get("validation"), start):
        return "validation"
    if path == place_of(of_run.get("data"), start):
        return "train" if split is None else split if split in CHOSEN_ON else ""
    # One file of a folder.
    found = read_file(run / "data.json", SavedData)
    read = {} if found is None else found.reports
    names = (name for name in ("train", "validation") if name in read)
    return next((name for name in names if path == place_of(read[name].path, start)), "")
