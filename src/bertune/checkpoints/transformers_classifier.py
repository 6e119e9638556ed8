"""Classifiers that transformers fine-tuned: a folder with `BertForSequenceClassification` that bertune did not write.

Labels, kind of task and lengths come from its files. How the texts of training lay in their table is not known: a row
may have one text or two, and the columns are called `text` and `label` unless flags name others. `bertune calibrate`
adds a `bertune.json` with what it found; every other file stays.
"""

import json
from pathlib import Path
from typing import Any, Final

from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.data.labels import LabelSet
from bertune.data.task import usual_metrics
from bertune.data.task_kind import TaskKind
from bertune.errors import CheckpointError, ConfigError
from bertune.models.encoder_config import EncoderConfig
from bertune.models.registry import family_of_architecture, read_config
from bertune.system.atomic import write_text
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object
from bertune.tokenization.tokenizer_files import read_model_max_length

# What transformers calls each kind of task.
PROBLEM_TYPES: Final[dict[TaskKind, str]] = {
    TaskKind.CLASSIFICATION: "single_label_classification",
    TaskKind.MULTI_LABEL: "multi_label_classification",
    TaskKind.REGRESSION: "regression",
}
# In a folder that bertune wrote: the digests of its files, and a key of its configuration, which transformers keeps
# beside its own when it trains such a model further.
DIGESTS_FILE: Final = "SHA256SUMS"
WRITTEN_BY_BERTUNE: Final = "bertune_version"


def is_of_transformers(folder: Path) -> bool:
    """Whether a folder holds a classifier of a known family that transformers saved."""
    try:
        values = read_json_object(folder / "config.json", max_integer=MAX_FOREIGN_INTEGER)
    except CheckpointError:
        return False
    if (folder / DIGESTS_FILE).exists() or (WRITTEN_BY_BERTUNE in values and "transformers_version" not in values):
        return False
    return family_of_architecture(values.get("architectures")) is not None


def signature_of(folder: Path, *, tokenizer_digest: str) -> ModelSignature:
    """Puts together what a classifier of transformers expects and answers; `bertune.json` decides where it is there.

    Args:
        folder: of the model.
        tokenizer_digest: of its tokenizer.

    Raises:
        CheckpointError: labels or kind cannot be told, or are none that a classifier can have.
    """
    if (folder / SIGNATURE_FILE).is_file():
        return ModelSignature.read(folder)
    path = folder / "config.json"
    values = read_json_object(path, max_integer=MAX_FOREIGN_INTEGER)
    labels = _labels(path, values)
    kind = _kind(path, values, labels)
    if kind.has_one_label and len(labels) < 2:
        raise CheckpointError(f"{path}: a classifier with one label, which answers nothing")
    if not kind.has_labels and len(labels) != 1:
        raise CheckpointError(f"{path}: a regression of {len(labels)} values, which bertune does not know")
    try:
        config = read_config(path)
        return ModelSignature(
            labels=labels if kind.has_labels else (),
            is_pair=None,
            max_length=_max_length(folder, config),
            kind=kind,
            pooling=config.pooling,
            text_a="text",
            text_b=None,
            metrics=usual_metrics(kind, LabelSet(labels) if kind.has_one_label else None),
            base_model=str(values.get("_name_or_path") or folder),
            tokenizer_digest=tokenizer_digest,
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error.message}") from error


def write_signature(folder: Path, signature: ModelSignature) -> None:
    """Adds a signature to a folder that transformers wrote, whose other files stay."""
    content = json.dumps(signature.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / SIGNATURE_FILE, content + "\n", follow=False)


def _labels(path: Path, values: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names of the outputs in their order; transformers writes none where there are two without names."""
    names = values.get("id2label")
    if names is None:
        count = values.get("num_labels", 2)
        names = {str(number): f"LABEL_{number}" for number in range(count if type(count) is int else 2)}
    if not isinstance(names, dict) or sorted(names) != sorted(map(str, range(len(names)))) or not names:
        raise CheckpointError(f"{path}: id2label is no list of labels by their numbers from 0")
    labels = tuple(str(names[str(number)]) for number in range(len(names)))
    if len(set(labels)) < len(labels):
        raise CheckpointError(
            f"{path}: two labels of id2label are the same", hint="give each its own name in this file"
        )
    return labels


def _kind(path: Path, values: dict[str, Any], labels: tuple[str, ...]) -> TaskKind:
    given = values.get("problem_type")
    if given is None:
        # As transformers itself tells them apart.
        return TaskKind.REGRESSION if len(labels) == 1 else TaskKind.CLASSIFICATION
    kinds = {name: kind for kind, name in PROBLEM_TYPES.items()}
    if given not in kinds:
        raise CheckpointError(f"{path}: problem_type is {given!r:.80}, none of {', '.join(kinds)}")
    return kinds[given]


def _max_length(folder: Path, config: EncoderConfig) -> int:
    """Returns the tokens that the tokenizer cuts at, which is no more than the encoder has positions."""
    return min(read_model_max_length(folder) or config.max_positions, config.max_positions)
