"""The teacher of a run: which model it is, and the rows that it answers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bertune.batches.dataset import Dataset
from bertune.batches.soft_targets import SoftTargets
from bertune.checkpoints.model_digests import model_digest
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import load
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.transformers_classifier import DIGESTS_FILE
from bertune.data.examples import Columns, Examples, Task, join_examples
from bertune.data.splits import read_split
from bertune.errors import ConfigError
from bertune.fetch.resolve import resolve_model
from bertune.nn.precision import Precision
from bertune.tokenization.encoded_examples import EncodedExamples, join_encoded
from bertune.training.distillation import Distillation
from bertune.training.reading import TEST, single_split
from bertune.training.run_settings import RunSettings
from bertune.training.teaching_settings import USUAL_MIX, USUAL_TEMPERATURE
from bertune.wording.nearest import shorten

_LABELS_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Teaching:
    """What a run is taught by, before the teacher has answered.

    Args:
        name: of the teacher, as the user named it.
        folder: of its model.
        digest: of that model.
        signature: of that model.
        order: for each output of the student, which of the teacher's it is.
        examples: the rows to be answered: the training rows, then those without labels.
        labelled: how many of them have labels.
        compared: rows that student and teacher are compared on when the run has ended, and what they are called; None
            where there are none.
        distillation: how the answers are learned.
        precision: in which the teacher computes.
        cache: the folder that keeps the answers; None for that of the run.
    """

    name: str
    folder: Path
    digest: str
    signature: ModelSignature
    order: tuple[int, ...]
    examples: Examples
    labelled: int
    compared: tuple[str, Examples] | None
    distillation: Distillation
    precision: Precision
    cache: Path | None = None

    def unlabelled(self) -> Examples | None:
        """Returns the rows that have no labels; None where all have."""
        rows = range(self.labelled, len(self.examples))
        return self.examples.select(rows) if rows else None

    def joined(self, train: Dataset, unlabelled: EncodedExamples | None) -> Dataset:
        """Returns the training rows with those that have no labels behind them; what these are answered is not known.

        Args:
            train: the rows with labels.
            unlabelled: the others, encoded as these are; None for none.
        """
        assert train.targets is not None
        empty = np.zeros((len(self.examples), len(self.order)), np.float32)
        if unlabelled is None:
            return replace(train, soft=SoftTargets(empty))
        targets = np.zeros((len(self.examples), *train.targets.shape[1:]), train.targets.dtype)
        targets[: len(train)] = train.targets
        mask = np.arange(len(targets)) < self.labelled
        return Dataset(join_encoded([train.encoded, unlabelled]), targets, SoftTargets(empty, mask))


def read_teaching(settings: RunSettings, task: Task, splits: Mapping[str, Examples], precision: Precision) -> Teaching:
    """Reads what the teacher is and the rows that it answers; it does not answer yet.

    Args:
        settings: of the run, with a teacher.
        task: of the run, with its labels.
        splits: the rows that were read.
        precision: of the run.

    Raises:
        ConfigError: the teacher is for another kind of task, for other labels, or for other texts.
        DataError: it is no fine-tuned model, or texts without labels cannot be read.
    """
    assert settings.teacher is not None
    folder = find_model_folder(resolve_model(settings.teacher))
    signature = read_signature(folder)
    load(folder)  # what cannot answer is told before the run has a folder
    order = _order_of(settings.teacher, signature, task)
    signature.check_texts(given_pair=task.columns.is_pair, where=splits["train"].report.path, pair_hint="name --text-b")
    parts = [_without_labels(splits["train"])]
    parts += [_without_labels(read_unlabelled(settings, task, path)) for path in settings.unlabelled]
    compared = next((name for name in (TEST, "validation") if name in splits), None)
    return Teaching(
        name=settings.teacher,
        folder=folder,
        digest=_digest_of(folder),
        signature=signature,
        order=order,
        examples=join_examples(parts, splits["train"].report.path),
        labelled=len(parts[0]),
        compared=None if compared is None else (compared, splits[compared]),
        distillation=Distillation(
            USUAL_TEMPERATURE if settings.temperature is None else settings.temperature,
            USUAL_MIX if settings.mix is None else settings.mix,
        ),
        precision=precision,
    )


def read_unlabelled(settings: RunSettings, task: Task, path: str) -> Examples:
    """Reads a table of texts without labels; a column of labels in it is not looked at.

    Raises:
        ConfigError: there is no such file or column.
        DataError: a row cannot be used; names file and line.
    """
    columns = None if settings.task is not None else Columns(task.columns.text_a, task.columns.text_b)
    return read_split(
        single_split(path, task, "train"),
        columns=columns,
        reading=replace(settings.read_options(), label_file=None),
        require_label=False,
    )


def _without_labels(examples: Examples) -> Examples:
    return replace(examples, labels=None, label_sets=None, groups=None, soft=None)


def _order_of(name: str, signature: ModelSignature, task: Task) -> tuple[int, ...]:
    """Returns for each label of the run which output of the teacher it is."""
    if signature.kind != task.kind:
        raise ConfigError(f"the teacher {name} is for {signature.kind}, this run for {task.kind}")
    if task.labels is None:
        return (0,)
    if set(signature.labels) != set(task.labels.names):
        raise ConfigError(
            f"the teacher {name} has other labels than these data: {_shown(signature.labels)} against "
            f"{_shown(task.labels.names)}",
            hint="teacher and student answer with the same labels: train the teacher on these, or leave rows of others "
            "out",
        )
    return tuple(signature.labels.index(label) for label in task.labels.names)


def _shown(labels: tuple[str, ...]) -> str:
    more = f", … ({len(labels)} in all)" if len(labels) > _LABELS_SHOWN else ""
    return ", ".join(f"'{shorten(label)}'" for label in labels[:_LABELS_SHOWN]) + more


def _digest_of(folder: Path) -> str:
    """Returns a digest of all that decides what a model answers."""
    if (folder / DIGESTS_FILE).is_file():
        return model_digest(folder)
    # As transformers saved it: it has no list of digests.
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".json", ".txt")):
        with path.open("rb") as stream:
            digest.update(f"{path.name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
