"""The state of a run as a folder of files: tensors as safetensors, the rest as JSON; nothing of it is ever executed.

| file | what |
|---|---|
| `state.json` | position, evaluations and epochs, best so far, patience, place in the journal, fingerprints |
| `weights.safetensors` | the classifier |
| `optimizer.safetensors` | both moments of each parameter |
| `best.safetensors` | the weights of the best evaluation, where they are not those of this moment |
| `history.safetensors` | every step, training dynamics, and the best evaluation's logits and confusion matrix |
| `MANIFEST.json` | size and SHA-256 of each |
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bertune.checkpoints.tensor_stream import read_tensors, stored_bytes, tensor_chunks
from bertune.errors import CheckpointError
from bertune.evaluation.scores import MOST_LABELS_OF_MATRIX, Scores
from bertune.system.committed_folder import check_folder, commit_folder
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.training.dynamics import DynamicsState
from bertune.training.fingerprint import Fingerprint
from bertune.training.fitting_state import FittingState
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.journal import JournalMark
from bertune.training.step import StepResult

_VERSION: Final = 2
_STATE, _WEIGHTS, _OPTIMIZER = "state.json", "weights.safetensors", "optimizer.safetensors"
_BEST, _HISTORY = "best.safetensors", "history.safetensors"
_FIRST, _SECOND = "m.", "v."
_STEP_TYPES: Final = {
    "step": torch.int64,
    "epoch": torch.int64,
    "loss": torch.float64,
    "learning_rate": torch.float64,
    "gradient_norm": torch.float64,
    "examples": torch.int64,
    "tokens": torch.int64,
}


@dataclass(frozen=True)
class RunState:
    """Everything that a run needs to be resumed.

    Args:
        fitting: of the training.
        journal: where `metrics.jsonl` had got to.
        fingerprint: what must be the same.
    """

    fitting: FittingState
    journal: JournalMark
    fingerprint: Fingerprint


@dataclass(frozen=True)
class _SavedEvaluation:
    """See `Evaluation`; the scores are without names of labels, and of many labels the confusion matrix is empty."""

    step: int
    epoch: float
    train_loss: float
    train_seconds: float
    examples_per_second: float
    is_best: bool
    scores: Scores | None = None


@dataclass(frozen=True)
class _SavedEpoch:
    """See `EpochResult`; its scores are those of the last evaluation in it."""

    epoch: int
    train_loss: float
    train_seconds: float
    examples_per_second: float


@dataclass(frozen=True)
class _SavedState:
    """What `state.json` holds; see `FittingState` and `RunState`. `label_names` are those of all scores."""

    version: int
    step: int
    epoch: int
    is_evaluated: bool
    epoch_seconds: float
    micro_batch_size: int
    settled: int
    step_count: int
    has_dynamics: bool
    stopped_early: bool
    engine: str
    journal: JournalMark
    fingerprint: Fingerprint
    not_applied: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    evaluations: tuple[_SavedEvaluation, ...] = ()
    epochs: tuple[_SavedEpoch, ...] = ()


def write_state(place: Path, state: RunState) -> int:
    """Commits a state as a folder; see `commit_folder`.

    Returns:
        The bytes written.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    fitting = state.fitting
    tensors = {
        _WEIGHTS: fitting.weights,
        _OPTIMIZER: {
            f"{prefix}{name}": pair[number]
            for number, prefix in enumerate((_FIRST, _SECOND))
            for name, pair in fitting.moments.items()
        },
        _HISTORY: _history_tensors(fitting),
    }
    if fitting.best_weights is not None:
        tensors[_BEST] = fitting.best_weights
    text = json.dumps(to_json(_saved(state)), indent=1, ensure_ascii=False, allow_nan=False).encode()
    needed = len(text) + sum(map(stored_bytes, tensors.values()))
    commit_folder(
        place, {_STATE: [text], **{name: tensor_chunks(each) for name, each in tensors.items()}}, needed=needed
    )
    return needed


def read_state(folder: Path) -> RunState:
    """Reads a state, after every file was checked.

    Raises:
        CheckpointError: a file is missing, damaged or of another version; names it.
    """
    check_folder(folder)
    path = folder / _STATE
    values = read_json_object(path, max_bytes=MAX_OWN_BYTES, any_text=True)
    if values.get("version") != _VERSION:
        raise CheckpointError(
            f"{path}: of version {values.get('version')!a:.20}, this bertune reads version {_VERSION}",
            hint="resume it with the bertune that the run was started with",
        )
    try:
        saved = from_json(_SavedState, values)
        steps = read_tensors(folder / _HISTORY)
        evaluations = _evaluations_of(saved, steps)
        epochs = _epochs_of(saved.epochs, evaluations)
        history = History(_steps_of(steps), epochs, saved.stopped_early, saved.engine, evaluations)
        optimizer = read_tensors(folder / _OPTIMIZER)
        names = [name.removeprefix(_FIRST) for name in optimizer if name.startswith(_FIRST)]
        fitting = FittingState(
            step=saved.step,
            epoch=saved.epoch,
            is_evaluated=saved.is_evaluated,
            epoch_seconds=saved.epoch_seconds,
            micro_batch_size=saved.micro_batch_size,
            not_applied=saved.not_applied,
            settled=saved.settled,
            weights=read_tensors(folder / _WEIGHTS),
            moments={name: (optimizer[_FIRST + name], optimizer[_SECOND + name]) for name in names},
            step_count=saved.step_count,
            best_weights=read_tensors(folder / _BEST) if (folder / _BEST).exists() else None,
            history=history,
            dynamics=_dynamics_of(steps) if saved.has_dynamics else None,
        )
    except (MisfitError, KeyError) as error:
        raise CheckpointError(f"{path}: not the state of a run: {error}") from error
    return RunState(fitting, saved.journal, saved.fingerprint)


def _saved(state: RunState) -> _SavedState:
    fitting = state.fitting
    return _SavedState(
        version=_VERSION,
        step=fitting.step,
        epoch=fitting.epoch,
        is_evaluated=fitting.is_evaluated,
        epoch_seconds=fitting.epoch_seconds,
        micro_batch_size=fitting.micro_batch_size,
        settled=fitting.settled,
        step_count=fitting.step_count,
        has_dynamics=fitting.dynamics is not None,
        stopped_early=fitting.history.stopped_early,
        engine=fitting.history.engine,
        journal=state.journal,
        fingerprint=state.fingerprint,
        not_applied=fitting.not_applied,
        label_names=next((each.scores.label_names for each in fitting.history.evaluations if each.scores), ()),
        evaluations=tuple(_saved_evaluation(each) for each in fitting.history.evaluations),
        epochs=tuple(
            _SavedEpoch(result.epoch, result.train_loss, result.train_seconds, result.examples_per_second)
            for result in fitting.history.epochs
        ),
    )


def _saved_evaluation(made: Evaluation) -> _SavedEvaluation:
    scores = _without_large_matrix(made.scores)
    return _SavedEvaluation(
        made.step,
        made.epoch,
        made.train_loss,
        made.train_seconds,
        made.examples_per_second,
        bool(made.is_best),
        None if scores is None else replace(scores, label_names=()),
    )


def _without_large_matrix(scores: Scores | None) -> Scores | None:
    is_large = scores is not None and len(scores.confusion) > MOST_LABELS_OF_MATRIX
    return replace(scores, confusion=()) if scores is not None and is_large else scores


def _history_tensors(fitting: FittingState) -> dict[str, Tensor]:
    steps = fitting.history.steps
    found = {
        f"steps.{name}": torch.tensor([getattr(step, name) for step in steps], dtype=dtype)
        for name, dtype in _STEP_TYPES.items()
    }
    if fitting.dynamics is not None:
        found |= {f"dynamics.{name}": value for name, value in vars(fitting.dynamics).items()}
    best = _best_of(fitting.history.evaluations)
    if best is not None and best.logits is not None:
        found["best.logits"] = torch.from_numpy(np.ascontiguousarray(best.logits))
    if best is not None and best.scores is not None and len(best.scores.confusion) > MOST_LABELS_OF_MATRIX:
        found["best.confusion"] = torch.tensor(best.scores.confusion, dtype=torch.int64)
    return found


def _best_of(evaluations: list[Evaluation]) -> Evaluation | None:
    return next((made for made in reversed(evaluations) if made.is_best), None)


def _steps_of(tensors: Mapping[str, Tensor]) -> list[StepResult]:
    columns = [tensors[f"steps.{name}"].tolist() for name in _STEP_TYPES]
    return [StepResult(*values) for values in zip(*columns, strict=True)]


def _evaluations_of(saved: _SavedState, tensors: Mapping[str, Tensor]) -> list[Evaluation]:
    """Makes the evaluations; only the best so far has logits, of which alone they are asked for."""
    made = [Evaluation(**vars(each)) for each in saved.evaluations]
    named = [
        each if each.scores is None else replace(each, scores=replace(each.scores, label_names=saved.label_names))
        for each in made
    ]
    best = _best_of(named)
    if best is not None and "best.logits" in tensors:
        scores = best.scores
        if scores is not None and "best.confusion" in tensors:
            scores = replace(scores, confusion=tuple(map(tuple, tensors["best.confusion"].tolist())))
        named[named.index(best)] = replace(best, logits=tensors["best.logits"].numpy(), scores=scores)
    return named


def _epochs_of(saved: tuple[_SavedEpoch, ...], evaluations: list[Evaluation]) -> list[EpochResult]:
    last = {math.ceil(made.epoch): made for made in evaluations}
    return [
        EpochResult(
            **vars(epoch),
            scores=last[epoch.epoch].scores,
            is_best=last[epoch.epoch].is_best,
            logits=last[epoch.epoch].logits,
        )
        for epoch in saved
    ]


def _dynamics_of(tensors: Mapping[str, Tensor]) -> DynamicsState:
    return DynamicsState(tensors["dynamics.epochs"], tensors["dynamics.indices"], tensors["dynamics.values"])
