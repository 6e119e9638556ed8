"""The families of encoders that are known, by what `config.json` says."""

from pathlib import Path
from typing import Any, Final

from bertune.errors import ConfigError
from bertune.models.albert import ALBERT
from bertune.models.bert import BERT
from bertune.models.deberta import DEBERTA
from bertune.models.distilbert import DISTILBERT
from bertune.models.electra import ELECTRA
from bertune.models.encoder_config import EncoderConfig, naming
from bertune.models.family import Family
from bertune.models.modernbert import MODERNBERT
from bertune.models.mpnet import MPNET
from bertune.models.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object

FAMILIES: Final[tuple[Family[Any], ...]] = (
    *(BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, ELECTRA, MPNET, ALBERT),
    *(MODERNBERT, DEBERTA),
)


def family_named(model_type: object) -> Family[Any]:
    """Returns the family of a `model_type`; of None that of Google's files and of old ones, which have no such key.

    Raises:
        ConfigError: no family has such a name; names those that are known.
    """
    if model_type is None:
        return BERT
    for family in FAMILIES:
        if model_type in family.type_names:
            return family
    known = ", ".join(repr(name) for family in FAMILIES for name in family.model_types)
    raise ConfigError(
        f"the configuration says model_type = {model_type!r:.80}; the encoders that are known are {known}",
        hint=BERT.config.instead,
    )


def family_of(config: EncoderConfig) -> Family[Any]:
    """Returns the family that a configuration is of.

    Raises:
        TypeError: its class is of no family.
    """
    for kind in type(config).__mro__:
        for family in FAMILIES:
            if family.config is kind:
                return family
    raise TypeError(f"no family of encoders has the configuration {type(config).__name__}")


def family_of_architecture(names: object) -> Family[Any] | None:
    """Returns the family whose classifier transformers saved, from `architectures`; None for any other model."""
    known = names if isinstance(names, list) else []
    return next((family for family in FAMILIES if family.architecture in known), None)


def read_config(path: str | Path) -> EncoderConfig:
    """Reads the sizes of an encoder of any family from `config.json` or `bert_config.json`.

    Args:
        path: the file.

    Raises:
        CheckpointError: the file is missing or is not a JSON object.
        ConfigError: a family that is not known, or sizes that cannot work; names the file.

    Example:
        >>> bertune.read_config("bert/config.json").hidden_size
        32
    """
    path = Path(path)
    values = read_json_object(path, max_integer=MAX_FOREIGN_INTEGER)
    with naming(path):
        config: EncoderConfig = family_named(values.get("model_type")).config.from_file(values, path.name)
    return config
