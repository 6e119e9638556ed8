"""Receipt of a restored checkpoint: what became of every tensor."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bertune.errors import CheckpointError
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.wording.markup import table

Status = Literal["loaded", "new", "unused"]


@dataclass(frozen=True)
class TensorRecord:
    """One tensor's fate.

    Args:
        name: the model's parameter for `loaded` and `new`, the file's tensor for `unused`.
        status: `loaded` from the file, `new` (initialized, not in the file), or `unused` (in the file, not taken).
        shape: of the tensor.
        dtype: as stored in the file; of the parameter for `new`.
        sources: the file's tensors it was made of; several where the model keeps one fused parameter.
        reason: why it is new or unused.
        expected: whether the reason is one that training may pass over; False makes `assert_consumed` fail.
    """

    name: str
    status: Status
    shape: tuple[int, ...]
    dtype: str
    sources: tuple[str, ...] = ()
    reason: str = ""
    expected: bool = True


@dataclass(frozen=True, kw_only=True)
class SavedReceipt:
    """A receipt as files hold it.

    Args:
        path: the file or folder that was read.
        summary: one line.
        tensors: the fate of each.
    """

    path: str = ""
    summary: str
    tensors: tuple[TensorRecord, ...]


@dataclass(frozen=True, repr=False)
class Receipt:
    """Every tensor of a checkpoint and every parameter of the model it was restored into.

    It is shown in one line, and in a notebook as a table; `lines` has every tensor.

    Args:
        path: the file or folder that was read.
        records: one for each parameter, and one for each tensor of the file that no parameter took.
        wrappers: what was taken away from the file's names, such as `module.` of DataParallel.
    """

    path: str
    records: tuple[TensorRecord, ...]
    wrappers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Receipt({self.path}: {self.summary()})"

    def _repr_html_(self) -> str:
        tensors: Counter[tuple[Status, str]] = Counter()
        numbers: Counter[tuple[Status, str]] = Counter()
        for record in self.records:
            tensors[record.status, record.reason] += max(len(record.sources), 1)
            numbers[record.status, record.reason] += _size(record.shape)
        rows = [(*why, f"{count:,}", f"{numbers[why]:,}") for why, count in tensors.items()]
        return table([("status", "reason", "tensors", "numbers"), *rows], caption=self.path, left=2)

    def __iter__(self) -> Iterator[TensorRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def having(self, status: Status) -> tuple[TensorRecord, ...]:
        """Returns the records with the given status."""
        return tuple(record for record in self.records if record.status == status)

    def assert_consumed(self) -> "Receipt":
        """Returns the receipt if nothing was left over or missing without a known reason.

        Raises:
            CheckpointError: names the tensors in question.
        """
        surprising = [record for record in self.records if not record.expected]
        if surprising:
            shown = "; ".join(f"{record.name} is {record.status} ({record.reason})" for record in surprising[:3])
            more = f" and {len(surprising) - 3} more" if len(surprising) > 3 else ""
            raise CheckpointError(
                f"{self.path}: {len(surprising)} tensors do not match the model: {shown}{more}",
                hint="see them all with `bertune inspect`; is the configuration that of this checkpoint?",
            )
        return self

    @property
    def parameters(self) -> int:
        """Number of values loaded."""
        return sum(_size(record.shape) for record in self.having("loaded"))

    def summary(self) -> str:
        """Returns one line, for instance `103 tensors loaded (22,713,216 parameters), 1 unused (a buffer …)`."""
        loaded = self.having("loaded")
        tensors = sum(len(record.sources) for record in loaded)
        parts = [f"{tensors} tensors loaded ({self.parameters:,} parameters)"]
        for status in ("new", "unused"):
            records = self.having(status)
            if records:
                reasons = Counter(record.reason for record in records)
                why = "; ".join(
                    f"{count} {reason}" if len(reasons) > 1 else reason for reason, count in reasons.items()
                )
                parts.append(f"{len(records)} {status} ({why})")
        if self.wrappers:
            parts.append(f"names taken without {' and '.join(self.wrappers)}")
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """Returns the whole receipt, one line a tensor."""
        width = max((len(record.name) for record in self.records), default=0)
        return [
            f"{record.status:<7} {record.name:<{width}}  {shape_text(record.shape):<14} {record.dtype:<8} "
            f"{record.reason or ' + '.join(record.sources)}".rstrip()
            for record in self.records
        ]

    def saved(self) -> SavedReceipt:
        """Returns what `receipt.json` of a run holds."""
        return SavedReceipt(path=self.path, summary=self.summary(), tensors=self.records)

    def to_dict(self) -> JsonObject:
        """Returns the same in types that JSON knows."""
        return to_json(self.saved())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def shape_text(shape: tuple[int, ...]) -> str:
    """Returns a shape in words, for instance `30522 x 768`."""
    return " x ".join(str(length) for length in shape) or "scalar"
