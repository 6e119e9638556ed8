"""The folder of a fine-tuned model: what transformers loads, plus the signature and the files' digests."""

import json
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bertune.checkpoints.kept_head import Head, head_names, read_head
from bertune.checkpoints.model_card import card_text, with_answers_of
from bertune.checkpoints.model_digests import CHECKED_FILES, WEIGHTS_FILE, check_digests, present_files, write_digests
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.checkpoints.stored_sizes import MAX_SPARE_ROWS, fitted_config
from bertune.checkpoints.transformers_classifier import (
    DIGESTS_FILE,
    PROBLEM_TYPES,
    WRITTEN_BY_BERTUNE,
    is_of_transformers,
    write_signature,
)
from bertune.errors import BertuneError, CheckpointError, ConfigError, ResourceError
from bertune.models.classifier import Classifier, undrawn_model
from bertune.models.encoder import Encoder
from bertune.models.registry import read_config
from bertune.system.atomic import replaced_folder
from bertune.system.bounded_file import read_bounded
from bertune.system.renamed import RenamedAttribute, takes_renamed
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_protocol import Tokenizer

_CARD_FILE = "README.md"
_MAX_CARD_BYTES = 16_000_000
# A folder that is replaced at every epoch's end, while a model is read, is read again.
_READINGS = 5


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A fine-tuned model with all that is needed to use it.

    Args:
        classifier: in evaluation mode.
        tokenizer: the one it was trained with.
        signature: its labels, texts and lengths.
    """

    classifier: Classifier
    tokenizer: Tokenizer
    signature: ModelSignature

    def __repr__(self) -> str:
        signature = self.signature
        labels = ", ".join(map(repr, signature.labels[:4])) + (", …" if len(signature.labels) > 4 else "")
        of = f" of {labels}" if labels else ""
        texts = "pairs of texts" if signature.is_pair else "texts"
        return f"{type(self).__name__}({signature.kind}{of}; {texts} of up to {signature.max_length} tokens)"

    # By its earlier name.
    contract = RenamedAttribute("signature")


@takes_renamed("contract", "signature")
def save(
    classifier: Classifier,
    directory: str | Path,
    *,
    tokenizer: Tokenizer,
    signature: ModelSignature,
    scores: dict[str, Any] | None = None,
) -> Path:
    """Writes a model folder that `load` reads, and transformers where its class of the family has the pooling.

    It is written beside its place and moved there when complete, so a crash leaves what was there before.

    Args:
        classifier: whose weights are written, as fp32.
        directory: a new folder, or one that `save` wrote.
        tokenizer: the one the classifier was trained with.
        signature: labels, texts and lengths; pooling and the tokenizer's digest are filled in.
        scores: for the model card: `metrics` and `rows` of the validation data, or of what `of` says.

    Returns:
        The folder.

    Raises:
        ConfigError: the folder holds something else, or signature, classifier and tokenizer do not fit each other.
        ResourceError: the weights cannot be written.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> classifier, encoder = bertune.classifier_model(config, num_labels=2, seed=1)
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> signature = bertune.ModelSignature(labels=("bad", "good"), is_pair=False, max_length=64)
        >>> folder = bertune.save(classifier, "runs/mine", tokenizer=tokenizer, signature=signature)
        >>> bertune.load(folder)
        Model(classification of 'bad', 'good'; texts of up to 64 tokens)
    """
    folder = Path(directory)
    _check_replaceable(folder)
    _check_parts(classifier, tokenizer, signature)
    with replaced_folder(folder) as temporary:
        _write_weights(temporary / WEIGHTS_FILE, classifier)
        write_all_but_weights(temporary, classifier, tokenizer, signature)
        (temporary / _CARD_FILE).write_text(card_text(classifier, signature, scores), encoding="utf-8")
        write_digests(temporary)
    return folder


def load(directory: str | Path) -> LoadedModel:
    """Loads a fine-tuned model: a run of `bertune train`, a folder that `save` wrote, or a classifier of transformers.

    Of what `save` wrote every file but the card is checked against its digest. A folder with a BERT classifier that
    transformers fine-tuned answers with the labels in its config.json.

    Args:
        directory: the folder of the run or of the model.

    Raises:
        CheckpointError: a file is missing or changed, or the parts do not fit each other.
        DataError: there is no such folder, or no fine-tuned model in it.
    """
    folder = find_model_folder(Path(directory))
    for _ in range(_READINGS):
        before = _identity(folder)
        try:
            model = _load(folder)
        except (BertuneError, OSError):
            if _identity(folder) == before:
                raise
            continue
        if _identity(folder) == before:
            return model
    raise CheckpointError(f"{folder}: was replaced while it was read", hint="try again when the run has ended")


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """Tells a folder from the one that takes its place; None where there is none at this moment."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _load(folder: Path) -> LoadedModel:
    signature = read_signature(folder)
    if not is_of_transformers(folder):
        check_digests(folder)
    tokenizer = read_tokenizer(folder)
    if tokenizer.digest != signature.tokenizer_digest:
        raise CheckpointError(f"{folder}: the tokenizer is not the one this model was trained with")
    config = fitted_config(read_config(folder / "config.json"), folder)
    classifier, encoder = undrawn_model(config, signature.num_outputs, pooling=signature.pooling)
    check_vocabulary(tokenizer, encoder, folder)
    restore(encoder, folder).assert_consumed()
    Head(read_head(classifier, folder)).put_into(classifier)
    return LoadedModel(classifier.eval(), tokenizer, signature)


def write_all_but_weights(
    folder: Path, classifier: Classifier, tokenizer: Tokenizer, signature: ModelSignature
) -> None:
    """Writes sizes, tokenizer and signature of a model into a folder."""
    _write_json(folder / "config.json", config_values(classifier, signature))
    tokenizer.save(folder, model_max_length=classifier.encoder.config.max_positions)
    values = signature.to_dict() | {"pooling": classifier.pooling, "tokenizer_digest": tokenizer.digest}
    _write_json(folder / SIGNATURE_FILE, values)


def replace_signature(directory: str | Path, signature: ModelSignature) -> None:
    """Gives a model folder another signature, and its card the lines that follow from it; the weights stay.

    It is written beside its place and moved there when complete, as by `save`. A folder of transformers gets the
    signature as one more file.

    Raises:
        CheckpointError: a file of the folder is missing or changed.
        ConfigError: the folder holds more than a model.
    """
    folder = Path(directory)
    if is_of_transformers(folder):
        write_signature(folder, signature)
        return
    _check_replaceable(folder)
    check_digests(folder)
    with replaced_folder(folder) as temporary:
        for name in present_files(folder):
            if name == SIGNATURE_FILE:
                continue
            shutil.copyfile(folder / name, temporary / name)
        _write_json(temporary / SIGNATURE_FILE, signature.to_dict())
        card = folder / _CARD_FILE
        if card.is_file():
            text = read_bounded(card, _MAX_CARD_BYTES).decode("utf-8", "surrogateescape")
            (temporary / _CARD_FILE).write_text(
                with_answers_of(text, signature), encoding="utf-8", errors="surrogateescape"
            )
        write_digests(temporary)


def check_vocabulary(tokenizer: Tokenizer, encoder: Encoder, where: Path) -> None:
    """Refuses a vocabulary that does not belong to the weights.

    A few rows more than entries are fine: tables are rounded up for faster products, or were enlarged for tokens that
    nobody used.

    Raises:
        CheckpointError: names both sizes.
    """
    rows, words = encoder.config.vocab_size, tokenizer.vocab_size
    if not 0 <= rows - words <= MAX_SPARE_ROWS:
        raise CheckpointError(
            f"{where}: the vocabulary has {words} entries, embeddings.token.weight has {rows} rows",
            hint="use the vocab.txt, or the other files of the tokenizer, that came with these weights",
        )


def _check_replaceable(folder: Path) -> None:
    """Refuses to replace what `save` did not write: it would be gone."""
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not folder.is_dir() or (names and SIGNATURE_FILE not in names):
        raise ConfigError(f"{folder} exists and is not a model folder", hint="name a folder that does not exist yet")
    others = sorted(names - CHECKED_FILES - {_CARD_FILE, DIGESTS_FILE})
    if others:
        raise ConfigError(
            f"{folder} holds more than a model: {others[0]} would be lost", hint="name another folder, or move it away"
        )


def _check_parts(classifier: Classifier, tokenizer: Tokenizer, signature: ModelSignature) -> None:
    if signature.num_outputs != classifier.num_labels:
        raise ConfigError(f"the signature has {signature.num_outputs} outputs, the classifier {classifier.num_labels}")
    config = classifier.encoder.config
    if signature.max_length > config.max_positions:
        raise ConfigError(f"max_length ({signature.max_length}) exceeds the encoder's {config.max_positions} positions")
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the encoder has room for {config.vocab_size}",
            hint="take the tokenizer that the classifier was trained with",
        )


def stored_tensors(classifier: Classifier) -> dict[str, Tensor]:
    """Returns all weights under the names of the family's classifier in transformers."""
    family = classifier.encoder.family
    tensors: dict[str, Tensor] = {}
    for name, parameter in classifier.encoder.named_parameters():
        if not family.names.has(name):
            continue  # a part of the head
        targets = family.names.stored_names(name)
        parts = parameter.detach().float().cpu().chunk(len(targets))
        tensors |= {family.prefix + target: part.contiguous() for target, part in zip(targets, parts, strict=True)}
    return tensors | {
        stored: classifier.get_parameter(name).detach().float().cpu().contiguous()
        for name, stored in head_names(classifier).items()
    }


def _write_weights(path: Path, classifier: Classifier) -> None:
    try:
        save_file(stored_tensors(classifier), path, metadata={"format": "pt"})
        # safetensors makes files that only their owner may read; let it be as readable as its folder.
        path.chmod(path.parent.stat().st_mode & 0o666)
    except SafetensorError as error:
        raise ResourceError(f"{path}: cannot be written ({error})", hint="check the free space") from error


def config_values(classifier: Classifier, signature: ModelSignature) -> dict[str, Any]:
    """Returns what `config.json` says of a classifier: sizes as transformers names them, and labels."""
    names = signature.labels or ("value",)
    family = classifier.encoder.family
    is_known = family.knows_pooling(classifier.pooling)
    values: dict[str, Any] = {
        "architectures": [family.architecture if is_known else "BertuneMeanPoolingClassifier"],
        "model_type": family.model_types[0] if is_known else family.mean_pooling_type,
        **classifier.encoder.config.file_values(),
        "classifier_dropout": classifier.dropout.probability,
        **family.fixed_keys,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": PROBLEM_TYPES[signature.kind],
        "dtype": "float32",
        WRITTEN_BY_BERTUNE: metadata.version("bertune"),
    }
    if family.pooling_key:
        values[family.pooling_key] = classifier.pooling
    activation = classifier.encoder.config.file_keys.get("hidden_act", "hidden_act")
    if values[activation] == "gelu_tanh":
        values[activation] = "gelu_pytorch_tanh"
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
