"""The folder of low-rank adapters that peft loads: what was trained, and nothing of the encoder that was not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors.torch import save_file
from torch import Tensor

from bertune.checkpoints.model_folder import stored_tensors
from bertune.errors import ConfigError
from bertune.models.classifier import Classifier
from bertune.nn.lora import LoraSizes, LowRankUpdate
from bertune.system.atomic import replaced_folder

_PREFIX: Final = "base_model.model."
_SUFFIX: Final = ".weight"
# peft keeps this module of a classifier by itself, whatever it is made of.
_HEAD: Final = "classifier"


def check_adapter_kept(classifier: Classifier) -> None:
    """Refuses a classifier that peft cannot have a base of.

    Raises:
        ConfigError: transformers has no class of it.
    """
    family = classifier.encoder.family
    if not family.knows_pooling(classifier.pooling):
        raise ConfigError(
            f"--keep-adapter is for transformers' classes, and it has no {family.name} classifier with mean pooling",
            hint="train with --pooling cls, or leave --keep-adapter out: the model folder needs neither",
        )


def write_adapter(
    folder: Path, classifier: Classifier, updates: Mapping[str, LowRankUpdate], sizes: LoraSizes, *, base_model: str
) -> None:
    """Writes `adapter_config.json` and `adapter_model.safetensors`.

    The tensors above the layers go with them, as `modules_to_save`: without these peft would load a new head.

    Args:
        folder: is made or replaced.
        classifier: as it was at the best evaluation.
        updates: its adapters, by the names of the weights in the encoder.
        sizes: of these.
        base_model: what transformers is to load first.

    Source: the format of peft 0.18 (https://huggingface.co/docs/peft/developer_guides/checkpoint).
    """
    family, encoder = classifier.encoder.family, classifier.encoder
    tensors: dict[str, Tensor] = {}
    targets: list[str] = []
    for name, update in updates.items():
        for stored, a, b in zip(family.names.stored_names(name), update.a, update.b, strict=True):
            module = family.prefix + stored.removesuffix(_SUFFIX)
            targets.append(module)
            tensors[f"{_PREFIX}{module}.lora_A{_SUFFIX}"] = a.detach().cpu().contiguous()
            tensors[f"{_PREFIX}{module}.lora_B{_SUFFIX}"] = b.detach().cpu().contiguous()
    below = {
        family.prefix + stored
        for name, _ in encoder.named_parameters()
        if encoder.lies_below(name, encoder.config.num_hidden_layers) and family.names.has(name)
        for stored in family.names.stored_names(name)
    }
    above = {stored: value for stored, value in stored_tensors(classifier).items() if stored not in below}
    tensors |= {_PREFIX + stored: value for stored, value in above.items()}
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": base_model,
        "r": sizes.rank,
        "lora_alpha": sizes.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": targets,
        "modules_to_save": sorted({_module_of(stored) for stored in above}),
    }
    with replaced_folder(folder) as temporary:
        save_file(tensors, temporary / "adapter_model.safetensors", metadata={"format": "pt"})
        (temporary / "adapter_config.json").write_text(
            json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )


def _module_of(stored: str) -> str:
    module = stored.rpartition(".")[0]
    return _HEAD if module.startswith(f"{_HEAD}.") else module
