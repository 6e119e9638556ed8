"""The names that checkpoints give to the parameters of this encoder."""

import re
from collections.abc import Collection

# Ours -> the names of transformers' `BertModel`. Several names are joined along the first axis, in this order.
_EXACT = {
    "embeddings.token.weight": ("embeddings.word_embeddings.weight",),
    "embeddings.position.weight": ("embeddings.position_embeddings.weight",),
    "embeddings.token_type.weight": ("embeddings.token_type_embeddings.weight",),
}
_PATTERNS = (
    (r"embeddings\.norm\.(\w+)", (r"embeddings.LayerNorm.\1",)),
    (
        r"layers\.(\d+)\.attention\.qkv\.(\w+)",
        tuple(rf"encoder.layer.\1.attention.self.{part}.\2" for part in ("query", "key", "value")),
    ),
    (r"layers\.(\d+)\.attention\.output\.(\w+)", (r"encoder.layer.\1.attention.output.dense.\2",)),
    (r"layers\.(\d+)\.attention_norm\.(\w+)", (r"encoder.layer.\1.attention.output.LayerNorm.\2",)),
    (r"layers\.(\d+)\.feed_forward\.intermediate\.(\w+)", (r"encoder.layer.\1.intermediate.dense.\2",)),
    (r"layers\.(\d+)\.feed_forward\.output\.(\w+)", (r"encoder.layer.\1.output.dense.\2",)),
    (r"layers\.(\d+)\.output_norm\.(\w+)", (r"encoder.layer.\1.output.LayerNorm.\2",)),
    (r"pooler\.dense\.(\w+)", (r"pooler.dense.\1",)),
)

# Tensors that a BERT checkpoint may hold and a classifier does not want, each with the reason for the receipt.
_EXPECTED_UNUSED = (
    (r"(bert\.)?embeddings\.(position_ids|token_type_ids)", "a buffer of transformers, not a parameter"),
    (r"cls\..*", "pre-training head"),
    (r"classifier\..*", "head of an earlier task"),
    (r"qa_outputs\..*", "head of an earlier task"),
)
POOLER_REASON = "pooler, which mean pooling does not have"


def huggingface_names(parameter: str) -> tuple[str, ...]:
    """Returns the tensors of transformers' `BertModel` that make up a parameter of `Encoder`.

    Args:
        parameter: a name from `Encoder.named_parameters()`.
    """
    if parameter in _EXACT:
        return _EXACT[parameter]
    for pattern, templates in _PATTERNS:
        match = re.fullmatch(pattern, parameter)
        if match:
            return tuple(match.expand(template) for template in templates)
    raise KeyError(parameter)


def legacy_name(name: str) -> str:
    """Returns the name that checkpoints before 2019 gave to a norm's weight or bias (gamma, beta), else the name."""
    if "LayerNorm" not in name:
        return name
    return re.sub(r"\.bias$", ".beta", re.sub(r"\.weight$", ".gamma", name))


def encoder_prefix(names: Collection[str]) -> str | None:
    """Returns what stands before the encoder's names in a file (`bert.` or nothing); None where no encoder is in it."""
    (always_there,) = _EXACT["embeddings.token.weight"]
    for prefix in ("bert.", ""):
        if prefix + always_there in names:
            return prefix
    return None


def expected_unused_reason(name: str, *, has_pooler: bool) -> str | None:
    """Returns why a tensor of a BERT checkpoint is not wanted, None for a tensor nobody knows."""
    for pattern, reason in _EXPECTED_UNUSED:
        if re.fullmatch(pattern, name):
            return reason
    if not has_pooler and re.fullmatch(r"(bert\.)?pooler\.dense\.\w+", name):
        return POOLER_REASON
    return None
