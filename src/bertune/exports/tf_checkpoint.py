"""The format `tf_checkpoint`: a folder as Google publishes BERT, with the classifier's head in the checkpoint."""

from collections.abc import Callable
from pathlib import Path

import torch

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
from bertune.errors import ConfigError
from bertune.exports.formats import Format
from bertune.exports.model_description import CONFIG_FILE, write_config, write_texts
from bertune.exports.torch_answers import write_answers
from bertune.models.bert import BERT, BertConfig
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.runtime.fresh_answers import Answers, answers_of
from bertune.runtime.padded_rows import ProofRows
from bertune.system.json_file import JsonObject

CHECKPOINT_NAME = "bert_model.ckpt"
# Our own reader computes with our own arithmetic: what differs at all is a wrong weight.
_TOLERANCE = 1e-5
# The first path to the head, by which write_tf_checkpoint names it.
_HEAD = "model/layer_with_weights-1/out_proj/{}/.ATTRIBUTES/VARIABLE_VALUE"
_ORIGINAL_EPSILON = 1e-12


def _check(model: LoadedModel) -> None:
    family = model.classifier.encoder.family
    if family is not BERT:
        raise ConfigError(
            f"{family.name} cannot become a TensorFlow checkpoint: the Model Garden's encoder is BERT",
            hint="export to transformers",
        )
    if model.classifier.encoder.pooler is None:
        raise ConfigError(
            "a model with mean pooling cannot become a TensorFlow checkpoint: the Model Garden's classifier pools "
            "[CLS]",
            hint="export to saved_model, or train with --pooling cls",
        )
    activation = model.classifier.encoder.config.hidden_act
    if activation == "quick_gelu":
        raise ConfigError(
            f"a model with hidden_act {activation} cannot become a TensorFlow checkpoint: the Model Garden has none",
            hint="export to saved_model",
        )


def _warnings(model: LoadedModel) -> tuple[str, ...]:
    config = model.classifier.encoder.config
    found: list[str] = []
    if config.hidden_act == "gelu":
        found.append(
            "this model computes the exact gelu; the Model Garden computes its tanh approximation under that name, so "
            "its outputs will differ a little there"
        )
    if config.layer_norm_eps != _ORIGINAL_EPSILON:
        found.append(
            f"this model's layer_norm_eps is {config.layer_norm_eps:g}; the Model Garden always takes "
            f"{_ORIGINAL_EPSILON:g}, so its outputs will differ a little there"
        )
    return tuple(found)


def _write(model: LoadedModel, folder: Path, _between: Path) -> None:
    write_tf_checkpoint(model.classifier, folder / CHECKPOINT_NAME)
    write_config(model, folder)
    write_texts(model, folder)


def _answer(rows: ProofRows, folder: Path, between: Path, on_rows: Callable[[int], None]) -> Answers:
    return answers_of(__name__, rows, folder, between, on_rows)


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Restores the checkpoint into a new classifier and writes its logits; the work of the fresh process.

    Args:
        folder: of the export.
        rows: file with the rows.
        out: file for the logits.
        on_rows: called with the number of rows done in each batch.
    """
    return write_answers(read_classifier(Path(folder)), rows, out, on_rows)


def read_classifier(folder: Path) -> Classifier:
    """Reads the classifier of such a folder, its head included.

    Raises:
        CheckpointError: a file is missing or damaged, or a tensor does not fit or is left over.
    """
    encoder = Encoder.from_config(BertConfig.from_json_file(folder / CONFIG_FILE))
    restore(encoder, folder / CHECKPOINT_NAME).assert_consumed()
    bundle = TensorBundle(folder / CHECKPOINT_NAME)
    kernel, bias = (torch.from_numpy(bundle.read_float(_HEAD.format(part)).copy()) for part in ("kernel", "bias"))
    classifier = Classifier(encoder, len(bias))
    with torch.no_grad():
        classifier.classifier.weight.copy_(kernel.T)
        classifier.classifier.bias.copy_(bias)
    return classifier.eval()


FORMAT = Format(
    name="tf_checkpoint", tolerance=_TOLERANCE, check=_check, write=_write, answer=_answer, warnings=_warnings
)
