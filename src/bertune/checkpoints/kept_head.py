"""The head of a fine-tuned model as a start: kept where it answers what the new data ask."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from bertune.checkpoints.model_files import is_fine_tuned
from bertune.checkpoints.receipt import Receipt, TensorRecord
from bertune.checkpoints.restore import names_in
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.checkpoints.tensorflow_names import find_prefix
from bertune.checkpoints.transformers_classifier import signature_of
from bertune.checkpoints.weight_files import find_tensor_files
from bertune.data.task import Task
from bertune.errors import CheckpointError, ConfigError
from bertune.models.classifier import Classifier
from bertune.wording.excerpt import excerpt

_LABELS_SHOWN: Final = 4
_LONGEST_LABEL: Final = 40
_WITHOUT: Final = "leave --keep-head out: a new head is made"


@dataclass(frozen=True)
class HeadTensor:
    """A parameter of a head as a file holds it.

    Args:
        source: the file's tensor.
        dtype: as stored.
        values: of the parameter, as float32.
    """

    source: str
    dtype: str
    values: Tensor


@dataclass(frozen=True)
class Head:
    """What becomes of the classifier's head when a run starts.

    Args:
        tensors: of the head that is kept, by the classifier's parameters; empty where a new one is made.
        why: said behind it: what it answered, or why it is not kept; empty where the start has no head.
    """

    tensors: dict[str, HeadTensor]
    why: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it is the one of the model that training starts from."""
        return bool(self.tensors)

    @property
    def account(self) -> str:
        """What became of it, behind `kept: ` or `new: `."""
        return "classifier head" + (f" ({self.why})" if self.why else "")

    def put_into(self, classifier: Classifier) -> None:
        """Sets the classifier's head, where one is kept."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                classifier.get_parameter(name).copy_(tensor.values)

    def in_receipt(self, receipt: Receipt) -> Receipt:
        """Returns the receipt of the encoder with the tensors of the head among those that were loaded."""
        taken = {tensor.source for tensor in self.tensors.values()}
        inner = {name.removeprefix("encoder.") for name in self.tensors}
        rest = [
            record
            for record in receipt.records
            if not (record.status == "unused" and record.name in taken)
            # A part of the head that lies in the encoder is new there, or was loaded with it (`head_is_pretrained`).
            and not (record.status != "unused" and record.name in inner)
        ]
        loaded = [
            TensorRecord(
                name.removeprefix("encoder."), "loaded", tuple(tensor.values.shape), tensor.dtype, (tensor.source,)
            )
            for name, tensor in self.tensors.items()
        ]
        return replace(receipt, records=(*rest, *loaded))


_NONE: Final = Head({})


def head_of_start(classifier: Classifier, folder: Path, task: Task, *, tokenizer_digest: str, forced: bool) -> Head:
    """Decides whether a new classifier gets the head of the model that it starts from.

    The head is kept where kind of task, labels and pooling are the same; the labels may be in another order. What is
    not the same makes a new head, unless it is forced.

    Args:
        classifier: of the new run.
        folder: of the start, an encoder or a fine-tuned model.
        task: of the new run, with its labels.
        tokenizer_digest: of the tokenizer in use.
        forced: whether the head is to be kept whatever its labels are called; then its outputs are those of the new
            labels in their order, unless both have the same names.

    Raises:
        ConfigError: forced, and there is no head, or none with as many outputs and the same pooling.
        CheckpointError: forced, and it cannot be read.
    """
    try:
        earlier = _signature(folder, tokenizer_digest)
    except CheckpointError:
        if forced:
            raise
        return _NONE
    if earlier is None:
        if forced:
            raise ConfigError(f"--keep-head: {folder} has no classifier head", hint=_WITHOUT)
        return _NONE
    labels = () if task.labels is None else task.labels.names
    is_same = earlier.kind == task.kind and set(earlier.labels) == set(labels)
    of_earlier = f"the model's is for {_answers(earlier.kind, earlier.labels)}"
    if earlier.pooling != classifier.pooling:
        why = f"the model's is for pooling {earlier.pooling}"
        if forced:
            raise ConfigError(
                f"--keep-head: {why}, this run has pooling {classifier.pooling}", hint="leave --pooling out"
            )
        return Head({}, why)
    if earlier.num_outputs != classifier.num_labels and forced:
        raise ConfigError(
            f"--keep-head: {of_earlier}, these data have {_answers(task.kind, labels)}: "
            f"{earlier.num_outputs} outputs against {classifier.num_labels}",
            hint=_WITHOUT,
        )
    if not is_same and not forced:
        fits = earlier.num_outputs == classifier.num_labels
        return Head({}, of_earlier + ("; --keep-head keeps it" if fits else ""))
    order = [earlier.labels.index(name) for name in labels] if is_same and labels else None
    try:
        tensors = read_head(classifier, folder, order)
    except CheckpointError:
        if forced:
            raise
        return _NONE
    return Head(tensors, "" if is_same else f"{of_earlier}, now {_answers(task.kind, labels)}")


def read_head(classifier: Classifier, folder: Path, order: Sequence[int] | None = None) -> dict[str, HeadTensor]:
    """Reads the head of a model folder, by the parameters of a classifier.

    Args:
        classifier: whose head is read; it is not changed.
        folder: of the model.
        order: which output of the file each output of the classifier is; None takes them as they are.

    Raises:
        CheckpointError: a tensor is missing, or has another shape.
    """
    files = TensorFiles(find_tensor_files(folder))
    names = names_in(folder, files, classifier.encoder.family).stored
    found = {}
    for name, plain in head_names(classifier).items():
        parameter = classifier.get_parameter(name)
        stored = names.get(plain, plain)
        if stored not in files.tensors or files.tensors[stored].shape != tuple(parameter.shape):
            raise CheckpointError(f"{folder}: tensor {name} is missing or not {tuple(parameter.shape)}")
        values = files.read(stored)
        if order is not None and name.startswith("classifier."):
            values = values[list(order)]
        found[name] = HeadTensor(stored, files.tensors[stored].dtype, values)
    return found


def head_names(classifier: Classifier) -> dict[str, str]:
    """Returns the parameters of the head, and their names in the file."""
    rows = classifier.encoder.family.head_names.rows
    there = {name for name, _ in classifier.named_parameters()}
    return {name: stored for name, (stored,) in rows.items() if name in there}


def _signature(folder: Path, tokenizer_digest: str) -> ModelSignature | None:
    """Returns what the start answered; None for an encoder. The heads of TensorFlow's checkpoints are not read."""
    if not folder.is_dir() or not is_fine_tuned(folder) or find_prefix(folder) is not None:
        return None
    if (folder / SIGNATURE_FILE).is_file():
        return ModelSignature.read(folder)
    return signature_of(folder, tokenizer_digest=tokenizer_digest)


def _answers(kind: str, labels: Sequence[str]) -> str:
    if not labels:
        return "a value"
    shown = ", ".join(excerpt(name, _LONGEST_LABEL) for name in labels[:_LABELS_SHOWN])
    more = f", … ({len(labels)} in all)" if len(labels) > _LABELS_SHOWN else ""
    several = "multi-label " if kind == "multi-label" else ""
    return f"{several}labels {shown}{more}"
