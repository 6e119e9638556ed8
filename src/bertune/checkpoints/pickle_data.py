"""The pickle of a state dict, read as data: its opcodes are interpreted here, and nothing is ever imported or called.

Python's `pickle` runs whatever functions a file names. A state dict needs a handful of them, all of torch's own; this
reader knows what those mean, builds descriptions of tensors in their place, and refuses every other name. Its work and
memory are bounded by the length of the pickle.

Source: the opcodes are those of `pickletools` (protocols 0 to 5); which names a state dict has is in
`torch/serialization.py` and `torch/_utils.py`.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Of the widest whole number: that of the magic number of the legacy format has ten.
_MOST_LONG_BYTES: Final = 16
_MOST_AXES: Final = 64


class PickleDataError(ValueError):
    """A pickle that is damaged, or that holds what no state dict has."""


@dataclass(frozen=True)
class Storage:
    """Numbers that tensors share.

    Args:
        key: their name in the file.
        dtype: in the words of safetensors, such as `F32`; empty where the tensor says it.
        count: of the numbers; of an untyped storage, of its bytes.
    """

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class TensorData:
    """A tensor as the pickle describes it.

    Args:
        storage: that holds its numbers.
        dtype: in the words of safetensors.
        offset: of its first number in the storage.
        shape: its lengths.
        strides: numbers between neighbours along each axis.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names; it stands for itself and is never looked up."""

    text: str


DTYPES: Final[Mapping[str, str]] = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
    "torch.storage.UntypedStorage": "",
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}
_MARK: Final = object()


@dataclass(frozen=True)
class Pickle:
    """What a pickle holds.

    Args:
        value: numbers, texts, lists, tuples, dicts by texts, and `TensorData`.
        storages: all that were named, by their keys.
        end: of the pickle, in bytes.
    """

    value: Any
    storages: Mapping[str, Storage]
    end: int


def read_pickle(content: bytes, start: int = 0) -> Pickle:
    """Reads one pickle.

    Args:
        content: what holds it.
        start: where it begins.

    Raises:
        PickleDataError: it is cut, damaged, or names a function that no state dict needs.
    """
    machine = _Machine(content, start)
    return Pickle(machine.run(), machine.storages, machine.at)


class _Machine:
    """The stack machine of pickles."""

    def __init__(self, content: bytes, start: int) -> None:
        self.at = start
        self._content = content
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._work = 0
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        while True:
            code = self._take(1)[0]
            if code == _STOP:
                return self._pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise PickleDataError(f"the opcode {code:#04x} at byte {self.at - 1:,}, which no state dict has")
            operation(self)

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._content):
            raise PickleDataError(f"it ends in the middle, at byte {len(self._content):,}")
        taken = self._content[self.at : end]
        self.at = end
        return taken

    def _line(self) -> str:
        end = self._content.find(b"\n", self.at)
        if end < 0:
            raise PickleDataError("it ends in the middle of a line")
        line = self._content[self.at : end]
        self.at = end + 1
        return _text(line)

    def _number(self, layout: str) -> Any:
        (value,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return value

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleDataError(f"nothing is left to take at byte {self.at - 1:,}")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleDataError(f"nothing is there at byte {self.at - 1:,}")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise PickleDataError(f"a mark is missing at byte {self.at - 1:,}")

    def text(self, layout: str) -> None:
        self.push(_text(self._take(self._number(layout))))

    def raw(self, layout: str) -> None:
        self.push(self._take(self._number(layout)))

    def whole(self, layout: str) -> None:
        self.push(self._number(layout))

    def long(self, layout: str) -> None:
        size = self._number(layout)
        if not 0 <= size <= _MOST_LONG_BYTES:
            raise PickleDataError(f"a whole number of {size:,} bytes")
        self.push(int.from_bytes(self._take(size), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def tuple_since_mark(self) -> None:
        self.push(tuple(self._since_mark()))

    def list_since_mark(self) -> None:
        self.push(self._since_mark())

    def dict_since_mark(self) -> None:
        made: dict[str, Any] = {}
        _fill(made, self._since_mark())
        self.push(made)

    def set_items(self, *, several: bool) -> None:
        items = self._since_mark() if several else [*reversed([self._pop(), self._pop()])]
        target = self._top()
        if not isinstance(target, dict):
            raise PickleDataError("entries for what is no dict")
        _fill(target, items)

    def append(self, *, several: bool) -> None:
        items = self._since_mark() if several else [self._pop()]
        target = self._top()
        if not isinstance(target, list):
            raise PickleDataError("items for what is no list")
        target += items

    def put(self, layout: str) -> None:
        self._memo[self._number(layout)] = self._top()

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, layout: str) -> None:
        place = self._number(layout)
        if place not in self._memo:
            raise PickleDataError(f"it refers to an object {place:,} that was not kept")
        self.push(self._memo[place])

    def name_of_lines(self) -> None:
        module = self._line()
        self.push(_known(module, self._line()))

    def name_of_stack(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleDataError("a name that is no text")
        self.push(_known(module, name))

    def persistent(self) -> None:
        storage = _storage(self._pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise PickleDataError("a storage that is described in two ways")
        self.push(storage)

    def reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise PickleDataError("a call of what is no function of a state dict")
        if name.text not in _CALLS:
            raise PickleDataError(f"a call of {name.text}, which no state dict needs")
        # An object that was kept can be an argument again and again.
        self._work += sum(len(argument) for argument in arguments if isinstance(argument, list | tuple))
        if self._work > len(self._content):
            raise PickleDataError("more work than its length explains")
        self.push(_CALLS[name.text](arguments))

    def build(self) -> None:
        # What a state dict keeps beside its tensors: the versions of its modules.
        self._pop()
        if not isinstance(self._top(), dict | TensorData):
            raise PickleDataError("a state for what is no dict")

    def skip(self, count: int) -> None:
        self._take(count)

    def mark(self) -> None:
        self.push(_MARK)

    def pop(self) -> None:
        if not self._stack:
            raise PickleDataError("nothing is left to take")
        self._stack.pop()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PickleDataError("a text that is not UTF-8") from error


def _fill(target: dict[str, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise PickleDataError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float):
            raise PickleDataError(f"a key that is a {type(key).__name__}")
        target[str(key)] = value


def _known(module: str, name: str) -> _Name:
    """Takes a name that a state dict may have."""
    full = f"{module}.{name}"
    if full not in _CALLS and full not in DTYPES:
        raise PickleDataError(f"it names {full[:100]!a}, which no state dict needs")
    return _Name(full)


def _storage(identity: Any) -> Storage:
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise PickleDataError("a storage that is described in a way not known")
    _, kind, key, _, count, *view = identity
    if not isinstance(kind, _Name) or kind.text not in DTYPES or not isinstance(key, str) or not _is_size(count):
        raise PickleDataError("a storage that is described in a way not known")
    if view and view[0] is not None:
        raise PickleDataError("a storage that is a view of another")
    return Storage(key, DTYPES[kind.text], count)


def _tensor(arguments: tuple[Any, ...]) -> TensorData:
    """The arguments of `_rebuild_tensor`, `_rebuild_tensor_v2` and `_rebuild_tensor_v3`."""
    if len(arguments) < 4:
        raise PickleDataError("a tensor without its shape")
    storage, offset, shape, strides, *rest = arguments
    if not isinstance(storage, Storage) or not _is_size(offset) or not _are_sizes(shape) or not _are_sizes(strides):
        raise PickleDataError("a tensor that is described in a way not known")
    dtype = storage.dtype
    if not dtype:
        named = rest[2] if len(rest) > 2 else None
        dtype = DTYPES.get(named.text, "") if isinstance(named, _Name) else ""
    if not dtype or len(shape) != len(strides):
        raise PickleDataError("a tensor that is described in a way not known")
    return TensorData(storage, dtype, offset, tuple(shape), tuple(strides))


def _parameter(arguments: tuple[Any, ...]) -> TensorData:
    if not arguments or not isinstance(arguments[0], TensorData):
        raise PickleDataError("a parameter without its tensor")
    return arguments[0]


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """An empty dict, or one of a list of pairs."""
    made: dict[str, Any] = {}
    if arguments:
        pairs = arguments[0]
        if len(arguments) > 1 or not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            raise PickleDataError("a dict that is made in a way not known")
        _fill(made, [part for pair in pairs for part in pair])
    return made


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(arguments) != 1 or not _are_sizes(arguments[0]):
        raise PickleDataError("a shape that is none")
    return tuple(arguments[0])


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _are_sizes(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= _MOST_AXES and all(map(_is_size, values))


# What the functions that a state dict names make of their arguments.
_CALLS: Final[Mapping[str, Callable[[tuple[Any, ...]], Any]]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
}
_STOP: Final = ord(".")
_OPERATIONS: Final[Mapping[int, Callable[[_Machine], None]]] = {
    0x80: lambda machine: machine.skip(1),  # PROTO
    0x95: lambda machine: machine.skip(8),  # FRAME
    ord("("): _Machine.mark,
    ord("0"): _Machine.pop,
    ord("N"): lambda machine: machine.push(None),
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    ord("J"): lambda machine: machine.whole("<i"),
    ord("K"): lambda machine: machine.whole("<B"),
    ord("M"): lambda machine: machine.whole("<H"),
    0x8A: lambda machine: machine.long("<B"),
    0x8B: lambda machine: machine.long("<i"),
    ord("G"): lambda machine: machine.whole(">d"),
    ord("X"): lambda machine: machine.text("<I"),
    0x8C: lambda machine: machine.text("<B"),
    0x8D: lambda machine: machine.text("<Q"),
    # Texts of Python 2.
    ord("T"): lambda machine: machine.text("<I"),
    ord("U"): lambda machine: machine.text("<B"),
    ord("B"): lambda machine: machine.raw("<I"),
    ord("C"): lambda machine: machine.raw("<B"),
    ord(")"): lambda machine: machine.push(()),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    ord("t"): _Machine.tuple_since_mark,
    ord("]"): lambda machine: machine.push([]),
    ord("l"): _Machine.list_since_mark,
    ord("}"): lambda machine: machine.push({}),
    ord("d"): _Machine.dict_since_mark,
    ord("s"): lambda machine: machine.set_items(several=False),
    ord("u"): lambda machine: machine.set_items(several=True),
    ord("a"): lambda machine: machine.append(several=False),
    ord("e"): lambda machine: machine.append(several=True),
    ord("q"): lambda machine: machine.put("<B"),
    ord("r"): lambda machine: machine.put("<I"),
    0x94: _Machine.memoize,
    ord("h"): lambda machine: machine.get("<B"),
    ord("j"): lambda machine: machine.get("<I"),
    ord("c"): _Machine.name_of_lines,
    0x93: _Machine.name_of_stack,
    ord("Q"): _Machine.persistent,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
}
