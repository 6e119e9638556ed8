"""The format `saved_model`: a TensorFlow SavedModel, written and read by TensorFlow in processes of its own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.tensorflow_names import tensorflow_names
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError, ResourceError
from bertune.exports.formats import Format
from bertune.exports.model_description import write_config, write_texts
from bertune.exports.program_description import ProgramDescription, TextDescription
from bertune.exports.saved_model_texts import check_takes_texts, check_text_answers, describe_texts
from bertune.models.bert import BERT
from bertune.runtime.exported_model import SIGNATURE_FILE
from bertune.runtime.fresh_answers import Answers, answers_of
from bertune.runtime.padded_rows import ProofRows
from bertune.system.fresh_process import call_in_fresh_process
from bertune.system.hinted_values import to_json

_TOLERANCE = 1e-4
_PROGRAM = "bertune.exports.tensorflow_program"
# The names of our activations, by the few that the program knows.
ACTIVATION_KINDS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "quick_gelu": "quick_gelu",
}
# What makes probabilities of logits; values have none.
_PROBABILITIES: dict[TaskKind, Literal["softmax", "sigmoid"]] = {
    TaskKind.CLASSIFICATION: "softmax",
    TaskKind.MULTI_LABEL: "sigmoid",
}
# The proof is about arithmetic: on a GPU TensorFlow may round products to 10 bits, and would take all of its memory.
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def _check(model: LoadedModel) -> None:
    family = model.classifier.encoder.family
    if family is not BERT:
        raise ConfigError(
            f"{family.name} cannot be exported to saved_model, whose program computes BERT",
            hint="export to transformers",
        )
    activation = model.classifier.encoder.config.hidden_act
    if activation not in ACTIVATION_KINDS:
        raise ConfigError(f"hidden_act {activation!r} cannot be exported; {', '.join(ACTIVATION_KINDS)} can")


def _check_of_texts(model: LoadedModel) -> None:
    _check(model)
    check_takes_texts(model)


def _write(model: LoadedModel, folder: Path, between: Path) -> None:
    _write_program(model, folder, between)


def _write_of_texts(model: LoadedModel, folder: Path, between: Path) -> None:
    _write_program(model, folder, between, describe_texts(model, between))


def _write_program(model: LoadedModel, folder: Path, between: Path, texts: TextDescription | None = None) -> None:
    weights, description = between / "weights.safetensors", between / "description.json"
    described = _description(model, write_texts(model, between / "texts"), texts)
    description.write_text(json.dumps(to_json(described), allow_nan=False), encoding="utf-8")
    try:
        save_file(_tensors(model), weights)
    except SafetensorError as error:
        raise ResourceError(f"{weights}: cannot be written ({error})", hint="check the free space") from error
    arguments = {"weights": str(weights), "description": str(description), "folder": str(folder)}
    call_in_fresh_process(f"{_PROGRAM}:write_saved_model", arguments, environment=_ENVIRONMENT)
    weights.unlink()
    write_config(model, folder)


def _description(model: LoadedModel, assets: list[Path], texts: TextDescription | None) -> ProgramDescription:
    config = model.classifier.encoder.config
    return ProgramDescription(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        activation=ACTIVATION_KINDS[config.hidden_act],
        norm_epsilon=config.layer_norm_eps,
        pooling=model.classifier.pooling,
        probabilities=_PROBABILITIES.get(model.signature.kind),
        assets=tuple(str(path) for path in assets),
        texts=texts,
    )


def _tensors(model: LoadedModel) -> dict[str, Tensor]:
    """Returns all weights under the names of google-research/bert, kernels (in, out) as TensorFlow multiplies them."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.classifier.encoder.named_parameters():
        targets = tensorflow_names(name)
        for target, part in zip(targets, parameter.detach().float().cpu().chunk(len(targets)), strict=True):
            tensors[target] = (part.T if target.endswith("/kernel") else part).contiguous()
    head = model.classifier.classifier
    tensors["classifier/kernel"] = head.weight.detach().float().cpu().T.contiguous()
    tensors["classifier/bias"] = head.bias.detach().float().cpu().contiguous()
    return tensors


def _answer(rows: ProofRows, folder: Path, between: Path, on_rows: Callable[[int], None]) -> Answers:
    answers = answers_of(_PROGRAM, rows, folder, between, on_rows, environment=_ENVIRONMENT)
    if rows.strings:
        check_text_answers(between, rows, ModelSignature.read(folder / "assets", name=SIGNATURE_FILE))
    return answers


_FORMAT = Format(
    name="saved_model",
    tolerance=_TOLERANCE,
    check=_check,
    write=_write,
    answer=_answer,
    packages=("tensorflow",),
    extra="tensorflow",
)
FORMAT = replace(_FORMAT, of_texts=replace(_FORMAT, check=_check_of_texts, write=_write_of_texts, takes_texts=True))
