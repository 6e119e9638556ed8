"""The names that checkpoints give to the parameters of this encoder."""

import re
from collections.abc import Collection
from dataclasses import dataclass

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

# What wrappers of single layers put into the middle of names: `torch.compile`, sharding, checkpointing.
_INNER_WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))

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


@dataclass(frozen=True)
class PlainNames:
    """The tensors of a file by the names that they would have without wrappers.

    Args:
        stored: the file's names, by the names of transformers' models.
        prefix: what stands before the encoder's plain names: `bert.` or nothing.
        wrappers: what was taken away, such as `module.` of DataParallel and `_orig_mod.` of `torch.compile`.
    """

    stored: dict[str, str]
    prefix: str
    wrappers: tuple[str, ...] = ()


def plain_names(names: Collection[str]) -> PlainNames | None:
    """Finds the encoder in a file's names, whatever module it was wrapped in or was an attribute of.

    Returns:
        The names without wrappers; None where no encoder is there.

    Raises:
        ValueError: there are several encoders, or two names differ in their wrappers alone.
    """
    (always_there,) = _EXACT["embeddings.token.weight"]
    by_inner = {_without_inner_wrappers(name): name for name in names}
    tables = [name for name in by_inner if name == always_there or name.endswith("." + always_there)]
    if not tables:
        return None
    if len(tables) > 1 or len(by_inner) < len(names):
        shown = ", ".join(sorted(tables)[:3])
        raise ValueError(f"it holds {len(tables)} encoders ({shown})" if len(tables) > 1 else "two names are the same")
    outer = tables[0].removesuffix(always_there)
    prefix = "bert." if f".{outer}".endswith(".bert.") else ""
    outer = outer.removesuffix(prefix)
    stored = {name.removeprefix(outer): name_of_file for name, name_of_file in by_inner.items()}
    if len(stored) < len(by_inner):
        raise ValueError("two names are the same")
    inner = {f"{part}." for name in names for part in name.split(".") if part in _INNER_WRAPPERS}
    return PlainNames(stored, prefix, tuple(filter(None, [outer, *sorted(inner)])))


def _without_inner_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _INNER_WRAPPERS)


def expected_unused_reason(name: str, *, has_pooler: bool) -> str | None:
    """Returns why a tensor of a BERT checkpoint is not wanted, None for a tensor nobody knows."""
    for pattern, reason in _EXPECTED_UNUSED:
        if re.fullmatch(pattern, name):
            return reason
    if not has_pooler and re.fullmatch(r"(bert\.)?pooler\.dense\.\w+", name):
        return POOLER_REASON
    return None
