"""The names of a checkpoint's tensors without what wrappers put around them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bertune.models.family import Family

# What wrappers of single layers put into the middle of names: `torch.compile`, sharding, checkpointing.
_INNER_WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))

POOLER_REASON = "pooler, which mean pooling does not have"


def legacy_name(name: str) -> str:
    """Returns the name that checkpoints before 2019 gave to a norm's weight or bias (gamma, beta), else the name."""
    if "LayerNorm" not in name:
        return name
    return re.sub(r"\.bias$", ".beta", re.sub(r"\.weight$", ".gamma", name))


@dataclass(frozen=True)
class PlainNames:
    """The tensors of a file by the names that they would have without wrappers.

    Args:
        family: whose names they are.
        stored: the file's names, by the names of transformers' models.
        prefix: what stands before the encoder's plain names: the family's, such as `bert.`, or nothing.
        wrappers: what was taken away, such as `module.` of DataParallel and `_orig_mod.` of `torch.compile`.
    """

    family: Family[Any]
    stored: dict[str, str]
    prefix: str
    wrappers: tuple[str, ...] = ()


def plain_names(names: Collection[str], family: Family[Any]) -> PlainNames | None:
    """Finds an encoder in a file's names, whatever module it was wrapped in or was an attribute of.

    Returns:
        The names without wrappers; None where no encoder is there.

    Raises:
        ValueError: there are several encoders, or two names differ in their wrappers alone.
    """
    always_there = token_table_name(family)
    by_inner = {_without_inner_wrappers(name): name for name in names}
    tables = [name for name in by_inner if name == always_there or name.endswith("." + always_there)]
    if not tables:
        return None
    if len(tables) > 1 or len(by_inner) < len(names):
        shown = ", ".join(sorted(tables)[:3])
        raise ValueError(f"it holds {len(tables)} encoders ({shown})" if len(tables) > 1 else "two names are the same")
    outer = tables[0].removesuffix(always_there)
    prefix = family.prefix if f".{outer}".endswith(f".{family.prefix}") else ""
    outer = outer.removesuffix(prefix)
    stored = {name.removeprefix(outer): name_of_file for name, name_of_file in by_inner.items()}
    if len(stored) < len(by_inner):
        raise ValueError("two names are the same")
    inner = {f"{part}." for name in names for part in name.split(".") if part in _INNER_WRAPPERS}
    return PlainNames(family, stored, prefix, tuple(filter(None, [outer, *sorted(inner)])))


def token_table_name(family: Family[Any]) -> str:
    """Returns the tensor that every checkpoint of a family has."""
    (name,) = family.names.stored_names("embeddings.token.weight")
    return name


def _without_inner_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _INNER_WRAPPERS)


def expected_unused_reason(name: str, family: Family[Any], *, has_pooler: bool) -> str | None:
    """Returns why a tensor of a family's checkpoint is not wanted, None for a tensor nobody knows."""
    for pattern, reason in family.unused:
        if re.fullmatch(pattern, name):
            return reason
    place = family.names.place_of(name.removeprefix(family.prefix))
    if not has_pooler and place is not None and place.parameter.startswith("pooler."):
        return POOLER_REASON
    return None
