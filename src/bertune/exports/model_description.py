"""Files beside the weights of an export: configuration, tokenizer, signature."""

import json
from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel
from bertune.models.encoder_config import EncoderConfig
from bertune.runtime.exported_model import SIGNATURE_FILE
from bertune.system.json_file import JsonObject

CONFIG_FILE = "bert_config.json"
# What Google's files call `gelu`.
_TANH_GELUS = ("gelu_tanh", "gelu_new", "gelu_pytorch_tanh", "gelu_fast")


def write_config(model: LoadedModel, folder: Path) -> None:
    """Writes `bert_config.json` as Google's tools and `BertConfig.from_json_file` read it."""
    _write_json(folder / CONFIG_FILE, google_config(model.classifier.encoder.config))


def write_texts(model: LoadedModel, folder: Path) -> list[Path]:
    """Writes the tokenizer's files, and `contract.json` with labels and lengths.

    Returns:
        The files.
    """
    folder.mkdir(exist_ok=True)
    before = set(folder.iterdir())
    model.tokenizer.save(folder, model_max_length=model.classifier.encoder.config.max_position_embeddings)
    _write_json(folder / SIGNATURE_FILE, model.signature.to_dict())
    return sorted(set(folder.iterdir()) - before)


def google_config(config: EncoderConfig) -> JsonObject:
    """Returns a configuration as Google writes it: `gelu` is the tanh approximation there.

    The exact gelu has no name of its own there; it keeps the name, with the `model_type` by which `from_json_file`
    knows it from Google's.
    """
    values = config.to_dict()
    if config.hidden_act in _TANH_GELUS:
        values["hidden_act"] = "gelu"
    elif config.hidden_act == "gelu":
        values["model_type"] = "bert"
    return values


def _write_json(path: Path, values: JsonObject) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
