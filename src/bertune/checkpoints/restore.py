"""Restores a module from a checkpoint: strict, with a receipt for every tensor."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertune.checkpoints.fit import is_allowed, new_record, raise_problems
from bertune.checkpoints.plain_names import (
    PlainNames,
    expected_unused_reason,
    legacy_name,
    plain_names,
    token_table_name,
)
from bertune.checkpoints.receipt import Receipt, TensorRecord, shape_text
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.tensorflow_names import find_prefix
from bertune.checkpoints.tensorflow_restore import restore_tensorflow
from bertune.checkpoints.weight_files import find_tensor_files
from bertune.errors import CheckpointError
from bertune.models.encoder import Encoder
from bertune.models.family import Family

_OF_TRANSFORMERS = "bertune reads encoders as saved by transformers or sentence-transformers"
HEAD_REASON = "a part of the classifier's head"


def restore(encoder: Encoder, path: str | Path, *, allow_new: Collection[str] = ()) -> Receipt:
    """Restores an encoder from a Hugging Face folder, a safetensors file or a TensorFlow checkpoint.

    Reads the names of transformers' `BertModel`, with or without the prefix `bert.`, and the older gamma and beta; the
    names may be those inside of a wrapper (`module.`, `_orig_mod.`), which the receipt tells. Also reads the
    checkpoints of google-research/bert, of the Model Garden and of SavedModels, see `restore_tensorflow`.
    Nothing is changed in the encoder unless the whole checkpoint fits.

    Args:
        encoder: whose parameters are set.
        path: a folder with `model.safetensors` (or an index of several), or the file itself; a TensorFlow checkpoint's
            prefix such as `…/bert_model.ckpt`, its `.index`, a folder that holds one, or a SavedModel's folder.
        allow_new: parameters, or beginnings of their names such as `pooler`, that may be missing in the file and then
            keep their new values.

    Returns:
        A receipt with every tensor; heads and buffers of the file are listed as unused, with the reason.

    Raises:
        CheckpointError: a file is unreadable or a pickle, a tensor is missing, has another shape, or is not finite.

    Example:
        >>> config = bertune.BertConfig.from_json_file("bert/config.json")
        >>> classifier, encoder = bertune.classifier_model(config, num_labels=2, seed=1)
        >>> bertune.restore(encoder, "bert").assert_consumed()
        Receipt(bert: 39 tensors loaded (23,168 parameters))
    """
    path = Path(path)
    checkpoint = find_prefix(path)
    if checkpoint is not None:
        return restore_tensorflow(encoder, checkpoint, allow_new=allow_new)
    files = TensorFiles(find_tensor_files(path))
    names = names_in(path, files, encoder.family)
    records: list[TensorRecord] = []
    problems: list[str] = []
    used: set[str] = set()
    for name, parameter in encoder.named_parameters():
        is_head = not encoder.family.names.has(name)
        sources = _of_pretrained_head(names, name) if is_head else locate(names, name)
        if is_head and sources is None:
            records.append(TensorRecord(name, "new", tuple(parameter.shape), "F32", reason=HEAD_REASON))
            continue
        if sources is None:
            records.append(new_record(name, parameter))
            if not is_allowed(name, allow_new):
                problems.append(f"missing  {name}")
            continue
        used.update(sources)
        problems += _shape_problems(files, sources, name, parameter)
        dtype = files.tensors[sources[0]].dtype
        records.append(TensorRecord(name, "loaded", tuple(parameter.shape), dtype, sources))
    raise_problems(path, problems, sum(max(1, len(record.sources)) for record in records))
    _copy(encoder, files, records)
    records += [_unused_record(plain, name, files, encoder) for plain, name in names.stored.items() if name not in used]
    return Receipt(str(path), tuple(records), names.wrappers)


def names_in(path: Path, files: TensorFiles, family: Family[Any]) -> PlainNames:
    """Returns the names of a checkpoint's tensors without wrappers.

    Raises:
        CheckpointError: no encoder is in it, or several are.
    """
    try:
        names = plain_names(files.tensors.keys(), family)
    except ValueError as error:
        raise CheckpointError(f"{path}: not one {family.name} encoder: {error}", hint=_OF_TRANSFORMERS) from error
    if names is None:
        some = ", ".join(list(files.tensors)[:3]) or "none"
        raise CheckpointError(
            f"{path}: no {family.name} encoder in this checkpoint: it lacks {token_table_name(family)} "
            f"(found {some}, …)",
            hint=_OF_TRANSFORMERS,
        )
    return names


def locate(names: PlainNames, parameter: str) -> tuple[str, ...] | None:
    """Returns the file's tensors for a parameter, in today's names or the older ones; None unless all are there."""
    today = tuple(names.prefix + name for name in names.family.names.stored_names(parameter))
    for candidate in (today, tuple(legacy_name(name) for name in today)):
        if all(name in names.stored for name in candidate):
            return tuple(names.stored[name] for name in candidate)
    return None


def _of_pretrained_head(names: PlainNames, parameter: str) -> tuple[str, ...] | None:
    """Returns the tensor for a part of the head, where the family's pre-training brings it and the file has it."""
    if not names.family.head_is_pretrained:
        return None
    return (
        tuple(
            names.stored[name] for name in names.family.head_names.rows[f"encoder.{parameter}"] if name in names.stored
        )
        or None
    )


def _shape_problems(files: TensorFiles, sources: tuple[str, ...], name: str, parameter: nn.Parameter) -> list[str]:
    """Compares each of the file's tensors with its part of the parameter, not only their sum."""
    expected = (parameter.shape[0] // len(sources), *parameter.shape[1:])
    wrong = [source for source in sources if files.tensors[source].shape != expected]
    # A parameter of one tensor goes by our name, a part of a fused one by the file's.
    return [
        f"shape    {name if len(sources) == 1 else source}   checkpoint {shape_text(files.tensors[source].shape)}, "
        f"encoder {shape_text(expected)}"
        for source in wrong
    ]


def _copy(encoder: Encoder, files: TensorFiles, records: list[TensorRecord]) -> None:
    # Everything is read and checked before the first parameter changes.
    loaded = {
        record.name: torch.cat([files.read(name) for name in record.sources])
        for record in records
        if record.status == "loaded"
    }
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name in loaded:
                parameter.copy_(loaded[name])


def _unused_record(plain: str, name: str, files: TensorFiles, encoder: Encoder) -> TensorRecord:
    stored = files.tensors[name]
    reason = expected_unused_reason(plain, encoder.family, has_pooler=encoder.pooler is not None)
    if reason is None:
        return TensorRecord(
            name, "unused", stored.shape, stored.dtype, reason="no parameter of this encoder", expected=False
        )
    return TensorRecord(name, "unused", stored.shape, stored.dtype, reason=reason)
