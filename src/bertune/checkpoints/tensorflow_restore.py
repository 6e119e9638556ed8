"""Restores an encoder from a TensorFlow checkpoint, without TensorFlow or a second copy of the weights."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertune.checkpoints.fit import is_allowed, new_record, raise_problems
from bertune.checkpoints.plain_names import POOLER_REASON
from bertune.checkpoints.receipt import Receipt, TensorRecord, shape_text
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import EncoderNames, encoder_names, tensorflow_names
from bertune.errors import CheckpointError
from bertune.models.bert import BERT
from bertune.models.encoder import Encoder

# Such a tensor may have the heads as an axis of its own: (hidden, heads, head width) or (heads, head width, hidden).
_HEADS_BEHIND = ("attention/self/query", "attention/self/key", "attention/self/value")
_HEADS_BEFORE = "attention/output/dense/kernel"


def restore_tensorflow(encoder: Encoder, prefix: Path, *, allow_new: Collection[str] = ()) -> Receipt:
    """Restores an encoder from a TensorFlow checkpoint of any kind.

    Nothing is changed in the encoder unless the whole checkpoint fits: every tensor is first read through, its CRC32C
    and its shape checked, and then copied, one at a time.

    Args:
        encoder: whose parameters are set.
        prefix: the checkpoint's path without `.index`.
        allow_new: parameters, or beginnings of their names, that may be missing in the file.

    Returns:
        A receipt with every tensor.

    Raises:
        CheckpointError: a file is missing or damaged, or a tensor is missing, has another shape or is not finite; or
            the encoder is no BERT, which is all that these checkpoints hold.
    """
    if encoder.family is not BERT:
        raise CheckpointError(
            f"{prefix}: a TensorFlow checkpoint holds BERT, this encoder is {encoder.family.name}",
            hint="use the config.json that came with this checkpoint",
        )
    bundle = TensorBundle(prefix)
    names = encoder_names(bundle)
    records: list[TensorRecord] = []
    problems: list[str] = []
    for name, parameter in encoder.named_parameters():
        sources = tuple(names.keys[part] for part in tensorflow_names(name) if part in names.keys)
        if len(sources) < len(tensorflow_names(name)):
            records.append(new_record(name, parameter))
            if not is_allowed(name, allow_new):
                problems.append(f"missing  {name}")
            continue
        problems += _shape_problems(bundle, sources, name, parameter, encoder.config.num_attention_heads)
        dtype = bundle.tensors[sources[0]].dtype
        records.append(TensorRecord(name, "loaded", tuple(parameter.shape), dtype, sources))
    raise_problems(prefix, problems, sum(max(1, len(record.sources)) for record in records))
    loaded = [record for record in records if record.status == "loaded"]
    used = {source for record in loaded for source in record.sources}
    for source in sorted(used):
        bundle.read_float(source)
        bundle.release(source)
    _copy(encoder, bundle, loaded)
    records += [_unused_record(name, bundle, names, encoder) for name in bundle.tensors if name not in used]
    return Receipt(str(prefix), tuple(records))


def _copy(encoder: Encoder, bundle: TensorBundle, records: list[TensorRecord]) -> None:
    parameters = dict(encoder.named_parameters())
    with torch.no_grad():
        for record in records:
            parts = parameters[record.name].chunk(len(record.sources))
            for part, source in zip(parts, record.sources, strict=True):
                part.copy_(_as_torch(bundle.read_float(source), tuple(part.shape), record.name))
                bundle.release(source)


def _as_torch(values: NDArray[np.float32], shape: tuple[int, ...], parameter: str) -> Tensor:
    """Turns (in, out) into torch's (out, in), with the axis of the heads folded into the other."""
    if len(shape) == 2 and not parameter.startswith("embeddings."):
        values = values.reshape(shape[::-1]).T
    # Copied, because torch does not take what cannot be written; the copy goes when the parameter has it.
    return torch.from_numpy(np.array(values.reshape(shape), dtype=np.float32))


def _shape_problems(
    bundle: TensorBundle, sources: tuple[str, ...], name: str, parameter: nn.Parameter, heads: int
) -> list[str]:
    shape = (parameter.shape[0] // len(sources), *parameter.shape[1:])
    problems = []
    for part, source in zip(tensorflow_names(name), sources, strict=True):
        expected = _stored_shapes(part, shape, heads)
        stored = bundle.tensors[source].shape
        if stored not in expected:
            problems.append(
                f"shape    {name if len(sources) == 1 else source}   checkpoint {shape_text(stored)}, "
                f"encoder {' or '.join(shape_text(each) for each in expected)}"
            )
    return problems


def _stored_shapes(part: str, shape: tuple[int, ...], heads: int) -> list[tuple[int, ...]]:
    """Returns the shapes in which a checkpoint may hold one part of a parameter, TF2's first."""
    # Only kernels are turned: tables are (rows, width) in both.
    flat = shape[::-1] if part.endswith("/kernel") else shape
    if any(f"{layer}/" in part for layer in _HEADS_BEHIND):
        return [(*flat[:-1], heads, flat[-1] // heads), flat]
    if part.endswith(_HEADS_BEFORE):
        return [(heads, flat[0] // heads, flat[1]), flat]
    return [flat]


def _unused_record(name: str, bundle: TensorBundle, names: EncoderNames, encoder: Encoder) -> TensorRecord:
    entry = bundle.tensors[name]
    reason = names.unused_reason(name)
    if encoder.pooler is None and name in (names.keys.get(f"pooler/dense/{part}") for part in ("kernel", "bias")):
        reason = POOLER_REASON
    if reason is None:
        why = "no parameter of this encoder"
        return TensorRecord(name, "unused", entry.shape, entry.dtype, reason=why, expected=False)
    return TensorRecord(name, "unused", entry.shape, entry.dtype, reason=reason)
