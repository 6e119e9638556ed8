"""What the teacher of a run answers: computed once, and kept in the folder of the run."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bertune.batches.soft_targets import SoftTargets
from bertune.checkpoints.model_folder import load
from bertune.data.examples import Examples
from bertune.evaluation.predict_texts import predict
from bertune.system.atomic import replaced_file
from bertune.training.prepare import PreparedRun, Say
from bertune.training.teacher import Teaching
from bertune.wording.counts import counted

ANSWERS_FILE: Final = "teacher.safetensors"
"""The teacher's logits in the folder of a run, keyed by digests of the teacher and of the rows."""
_LOGITS: Final = "logits"
# One entry: several would be written in any order.
_KEY: Final = "answers"


def taught(run: PreparedRun, folder: Path, *, say: Say) -> PreparedRun:
    """Returns a run whose training rows have the teacher's answers; one without a teacher as it is.

    The answers are taken from the folder that keeps them, where they are of this teacher and these rows; else the
    teacher answers, and they are written there.

    Args:
        run: as it was prepared.
        folder: of the run.
        say: told of the answers.
    """
    teaching = run.teaching
    if teaching is None:
        return run
    path = (teaching.cache or folder) / ANSWERS_FILE
    key = f"teacher {teaching.digest}, rows {_digest_of_texts(teaching.examples)}, precision {teaching.precision}"
    logits = _kept(path, key, (len(teaching.examples), len(teaching.order)))
    rows = counted(len(teaching.examples), "row")
    if logits is None:
        began = time.perf_counter()
        logits = _answers_of(teaching, say)
        seconds = time.perf_counter() - began
        with replaced_file(path, follow=False) as temporary:
            save_file({_LOGITS: logits}, temporary, metadata={_KEY: key})
        say(f"teacher {teaching.name}: {rows} answered in {seconds:.1f} s, {len(logits) / seconds:,.0f} rows/s")
    else:
        say(f"teacher {teaching.name}: its answers to {rows} are in {path}")
    return with_answers(run, np.ascontiguousarray(logits[:, list(teaching.order)]))


def with_answers(run: PreparedRun, logits: NDArray[np.float32]) -> PreparedRun:
    """Returns a run whose training rows have a teacher's answers; rows without a label take the teacher's for it.

    Args:
        run: with a teacher.
        logits: (rows, labels), in the order of the student's outputs.
    """
    train = run.train
    assert train.targets is not None
    assert train.soft is not None
    targets = train.targets.copy()
    if train.soft.labelled is not None:
        unlabelled = ~train.soft.labelled
        targets[unlabelled] = _decided(logits[unlabelled], targets)
    return replace(run, train=replace(train, targets=targets, soft=SoftTargets(logits, train.soft.labelled)))


def _decided(logits: NDArray[np.float32], targets: NDArray[Any]) -> NDArray[Any]:
    if targets.ndim == 2:
        return logits > 0
    return logits[:, 0] if targets.dtype.kind == "f" else logits.argmax(axis=1)


def _answers_of(teaching: Teaching, say: Say) -> NDArray[np.float32]:
    model = load(teaching.folder)
    say(f"teacher {teaching.name}: answers {counted(len(teaching.examples), 'row')}")
    answers = predict(model, teaching.examples, precision=teaching.precision, on_batch=_progress(teaching, say))
    return np.ascontiguousarray(answers.logits, dtype=np.float32)


def _progress(teaching: Teaching, say: Say) -> Callable[[int], None]:
    """Tells of each tenth of the rows, where they take more than a minute."""
    rows, done, told, began = len(teaching.examples), 0, time.perf_counter(), time.perf_counter()

    def on_batch(count: int) -> None:
        nonlocal done, told
        done += count
        now = time.perf_counter()
        if now - told > 60:
            told = now
            say(f"teacher: {done:,} of {rows:,} rows, {(now - began) / done * (rows - done):.0f} s left")

    return on_batch


def _kept(path: Path, key: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Returns the answers that a file keeps; None where there is none, or one of others, or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get(_KEY) != key:
                return None
            logits: NDArray[np.float32] = file.get_tensor(_LOGITS)
    except (SafetensorError, OSError, ValueError):
        return None
    is_whole = logits.shape == shape and logits.dtype == np.float32 and bool(np.isfinite(logits).all())
    return logits if is_whole else None


def _digest_of_texts(examples: Examples) -> str:
    digest = hashlib.sha256()
    for texts in (examples.texts_a, examples.texts_b or ()):
        for text in texts:
            part = text.encode("utf-8", "surrogatepass")
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        digest.update(b"\xff")
    return digest.hexdigest()
