"""The folder of a fine-tuned model: what transformers loads, plus the contract and the files' digests."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bertune.atomic import replaced_folder
from bertune.checkpoints.contract import CONTRACT_FILE, Contract
from bertune.checkpoints.model_card import card_text, with_answers_of
from bertune.checkpoints.name_maps import huggingface_names
from bertune.checkpoints.restore import restore
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.encoder.config import BertConfig, read_json_object
from bertune.encoder.encoder import Encoder
from bertune.errors import CheckpointError, ConfigError, ResourceError
from bertune.heads.classifier import Classifier, undrawn_model
from bertune.tokens.directory import CONFIG_FILE, TOKENIZER_FILE, VOCABULARY_FILE
from bertune.tokens.tokenizer import BertTokenizer

_DIGESTS_FILE = "SHA256SUMS"
_CARD_FILE = "README.md"
# The card is not checked: people may edit it, and nothing else reads it.
_CHECKED_FILES = frozenset(
    {"model.safetensors", "config.json", CONTRACT_FILE, VOCABULARY_FILE, TOKENIZER_FILE, CONFIG_FILE}
)
_HEAD_NAMES = ("classifier.weight", "classifier.bias")
# transformers has no BERT classifier with mean pooling. Under a name it does not know it refuses the folder, where
# under `bert` it would load it with a new, random pooler and answer nonsense.
_MEAN_MODEL_TYPE = "bertune_mean_pooling"
# What transformers calls each kind of task.
_PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}


@dataclass(frozen=True)
class LoadedModel:
    """A fine-tuned model with all that is needed to use it.

    Args:
        classifier: in evaluation mode.
        tokenizer: the one it was trained with.
        contract: its labels, texts and lengths.
    """

    classifier: Classifier
    tokenizer: BertTokenizer
    contract: Contract


def save(
    classifier: Classifier,
    directory: str | Path,
    *,
    tokenizer: BertTokenizer,
    contract: Contract,
    scores: dict[str, Any] | None = None,
) -> Path:
    """Writes a model folder that `load` and, with `cls` pooling, transformers read.

    It is written beside its place and moved there when complete, so a crash leaves what was there before.

    Args:
        classifier: whose weights are written, as fp32.
        directory: a new folder, or one that `save` wrote.
        tokenizer: the one the classifier was trained with.
        contract: labels, texts and lengths; pooling and the tokenizer's digest are filled in.
        scores: for the model card: `metrics` and `rows` of the validation data.

    Returns:
        The folder.

    Raises:
        ConfigError: the folder holds something else, or contract, classifier and tokenizer do not fit each other.
        ResourceError: the weights cannot be written.
    """
    folder = Path(directory)
    _check_replaceable(folder)
    _check_parts(classifier, tokenizer, contract)
    config = classifier.encoder.config
    values = contract.to_dict() | {"pooling": classifier.pooling, "tokenizer_digest": tokenizer.digest}
    with replaced_folder(folder) as temporary:
        _write_weights(temporary / "model.safetensors", classifier)
        _write_json(temporary / "config.json", _config_values(classifier, contract))
        tokenizer.save(temporary, model_max_length=config.max_position_embeddings)
        _write_json(temporary / CONTRACT_FILE, values)
        (temporary / _CARD_FILE).write_text(card_text(classifier, contract, scores), encoding="utf-8")
        _write_digests(temporary)
    return folder


def load(directory: str | Path) -> LoadedModel:
    """Loads a model folder that `save` wrote, after checking every file but the card against its digest.

    Raises:
        CheckpointError: a file is missing or changed, or the parts do not fit each other.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    contract = Contract.read(folder)
    _check_digests(folder)
    tokenizer = BertTokenizer.from_directory(folder)
    if tokenizer.digest != contract.tokenizer_digest:
        raise CheckpointError(f"{folder}: the tokenizer is not the one this model was trained with")
    config = BertConfig.from_dict(read_json_object(folder / "config.json") | {"model_type": "bert"})
    classifier, encoder = undrawn_model(config, contract.num_outputs, pooling=contract.pooling)
    restore(encoder, folder).assert_consumed()
    _restore_head(classifier, folder / "model.safetensors")
    return LoadedModel(classifier.eval(), tokenizer, contract)


def replace_contract(directory: str | Path, contract: Contract) -> None:
    """Gives a model folder another contract, and its card the lines that follow from it; the weights stay.

    It is written beside its place and moved there when complete, as by `save`.

    Raises:
        CheckpointError: a file of the folder is missing or changed.
        ConfigError: the folder holds more than a model.
    """
    folder = Path(directory)
    _check_replaceable(folder)
    _check_digests(folder)
    with replaced_folder(folder) as temporary:
        for name in _CHECKED_FILES - {CONTRACT_FILE}:
            shutil.copyfile(folder / name, temporary / name)
        _write_json(temporary / CONTRACT_FILE, contract.to_dict())
        card = folder / _CARD_FILE
        if card.is_file():
            text = card.read_text(encoding="utf-8", errors="surrogateescape")
            (temporary / _CARD_FILE).write_text(
                with_answers_of(text, contract), encoding="utf-8", errors="surrogateescape"
            )
        _write_digests(temporary)


def check_vocabulary(tokenizer: BertTokenizer, encoder: Encoder, where: Path) -> None:
    """Refuses a vocabulary that does not belong to the weights.

    A table rounded up to a multiple of 8 to 128 rows is fine: such encoders exist for faster products.

    Raises:
        CheckpointError: names both sizes.
    """
    rows, words = encoder.config.vocab_size, tokenizer.vocab_size
    rounded = {-(-words // multiple) * multiple for multiple in (1, 8, 16, 32, 64, 128)}
    if rows not in rounded:
        raise CheckpointError(
            f"{where}: the vocabulary has {words} entries, embeddings.token.weight has {rows} rows",
            hint="use the vocab.txt that came with these weights",
        )


def _check_replaceable(folder: Path) -> None:
    """Refuses to replace what `save` did not write: it would be gone."""
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not folder.is_dir() or (names and CONTRACT_FILE not in names):
        raise ConfigError(f"{folder} exists and is not a model folder", hint="name a folder that does not exist yet")
    others = sorted(names - _CHECKED_FILES - {_CARD_FILE, _DIGESTS_FILE})
    if others:
        raise ConfigError(
            f"{folder} holds more than a model: {others[0]} would be lost", hint="name another folder, or move it away"
        )


def _check_parts(classifier: Classifier, tokenizer: BertTokenizer, contract: Contract) -> None:
    if contract.num_outputs != classifier.num_labels:
        raise ConfigError(f"the contract has {contract.num_outputs} outputs, the classifier {classifier.num_labels}")
    config = classifier.encoder.config
    if contract.max_length > config.max_position_embeddings:
        raise ConfigError(
            f"max_length ({contract.max_length}) exceeds the encoder's {config.max_position_embeddings} positions"
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the encoder has room for {config.vocab_size}",
            hint="take the tokenizer that the classifier was trained with",
        )


def _restore_head(classifier: Classifier, file: Path) -> None:
    files = TensorFiles([file])
    for name in _HEAD_NAMES:
        parameter = classifier.get_parameter(name)
        if name not in files.tensors or files.tensors[name].shape != tuple(parameter.shape):
            raise CheckpointError(f"{file}: tensor {name} is missing or not {tuple(parameter.shape)}")
        with torch.no_grad():
            parameter.copy_(files.read(name))


def _tensors(classifier: Classifier) -> dict[str, Tensor]:
    """Returns all weights under the names of transformers' `BertForSequenceClassification`."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in classifier.encoder.named_parameters():
        targets = huggingface_names(name)
        parts = parameter.detach().float().cpu().chunk(len(targets))
        tensors |= {"bert." + target: part.contiguous() for target, part in zip(targets, parts, strict=True)}
    return tensors | {name: classifier.get_parameter(name).detach().float().cpu().contiguous() for name in _HEAD_NAMES}


def _write_weights(path: Path, classifier: Classifier) -> None:
    try:
        save_file(_tensors(classifier), path, metadata={"format": "pt"})
        # safetensors makes files that only their owner may read; let it be as readable as its folder.
        path.chmod(path.parent.stat().st_mode & 0o666)
    except SafetensorError as error:
        raise ResourceError(f"{path}: cannot be written ({error})", hint="check the free space") from error


def _config_values(classifier: Classifier, contract: Contract) -> dict[str, Any]:
    names = contract.labels or ("value",)
    is_mean = classifier.pooling == "mean"
    values: dict[str, Any] = {
        "architectures": ["BertuneMeanPoolingClassifier" if is_mean else "BertForSequenceClassification"],
        "model_type": _MEAN_MODEL_TYPE if is_mean else "bert",
        **classifier.encoder.config.to_dict(),
        "classifier_dropout": classifier.dropout.probability,
        "position_embedding_type": "absolute",
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": _PROBLEM_TYPES[contract.kind],
        "dtype": "float32",
        "bertune_version": metadata.version("bertune"),
    }
    if values["hidden_act"] == "gelu_tanh":
        values["hidden_act"] = "gelu_pytorch_tanh"
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_digests(folder: Path) -> None:
    lines = [f"{_digest(folder / name)}  {name}\n" for name in sorted(_CHECKED_FILES)]
    (folder / _DIGESTS_FILE).write_text("".join(lines), encoding="utf-8")


def _check_digests(folder: Path) -> None:
    path = folder / _DIGESTS_FILE
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read", hint="copy the whole model folder") from error
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    # A list that lost a line would leave that file unchecked.
    if unlisted := sorted(_CHECKED_FILES - digests.keys()):
        raise CheckpointError(
            f"{path}: the list of digests is damaged: it lacks {unlisted[0]}", hint="copy the model folder again"
        )
    for name in sorted(_CHECKED_FILES):
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file}: missing", hint="copy the whole model folder")
        if _digest(file) != digests[name]:
            raise CheckpointError(
                f"{file}: the file was changed or damaged: its SHA-256 is not the one in {_DIGESTS_FILE}",
                hint="copy the model folder again, or train again",
            )
