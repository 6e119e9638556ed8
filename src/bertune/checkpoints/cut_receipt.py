"""The receipt of a checkpoint of which some layers alone are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from bertune.checkpoints.receipt import Receipt, TensorRecord
from bertune.models.kept_layers import kept_name

_REASON: Final = "a layer that --keep-layers leaves out"


def cut_receipt(receipt: Receipt, kept: Sequence[int]) -> Receipt:
    """Returns the receipt of a shallower encoder: tensors of the other layers were read and are not used.

    Args:
        receipt: of the whole encoder.
        kept: numbers of the layers.
    """
    return replace(receipt, records=tuple(record for each in receipt.records for record in _cut(each, kept)))


def _cut(record: TensorRecord, kept: Sequence[int]) -> Iterator[TensorRecord]:
    name = record.name if record.status == "unused" else kept_name(record.name, kept)
    if name is not None:
        yield replace(record, name=name)
        return
    parts = len(record.sources)
    for source in record.sources:
        shape = (record.shape[0] // parts, *record.shape[1:])
        yield TensorRecord(source, "unused", shape, record.dtype, reason=_REASON)
