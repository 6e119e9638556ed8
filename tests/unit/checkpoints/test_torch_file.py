import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bertune.checkpoints.pickle_data import PickleDataError, read_pickle
from bertune.checkpoints.torch_file import TorchFile
from bertune.errors import CheckpointError

LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
MUTATIONS = 5_000


def state() -> "OrderedDict[str, Tensor]":
    """Every type of number, and tensors that share their storage."""
    torch.manual_seed(0)
    table = torch.randn(10, 6)
    return OrderedDict(
        table=table,
        turned=table.t(),
        part=table[2:5, 1:],
        half=torch.randn(3).half(),
        brain=torch.randn(4).bfloat16(),
        double=torch.randn(2, 2).double(),
        whole=torch.arange(5),
        one=torch.tensor(3.0),
        nothing=torch.empty(0, 3),
        parameter=nn.Parameter(torch.randn(3)),
        truth=torch.tensor([True, False]),
        small=torch.tensor([1, -2], dtype=torch.int8),
    )


def saved(path: Path, content: Any, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@LAYOUTS
def test_every_tensor_is_what_torch_reads(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path / "pytorch_model.bin", state(), zipped=zipped)
    assert zipfile.is_zipfile(path) == zipped
    file, expected = TorchFile(path), torch.load(path, weights_only=True)
    assert list(file.tensors) == list(expected)
    for name, tensor in expected.items():
        read = file.read(name)
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(read, tensor), name


@LAYOUTS
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_state_dict_inside_of_a_training_state_is_taken(tmp_path: Path, zipped: bool, key: str) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"epoch": 3, key: network.state_dict(), "optimizer": optimizer.state_dict(), "best": [0.5, None, True]}
    file = TorchFile(saved(tmp_path / "last.pt", content, zipped=zipped))
    assert list(file.tensors) == list(network.state_dict())
    assert torch.equal(file.read("0.weight"), network[0].weight)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickles_is_read(tmp_path: Path, protocol: int) -> None:
    torch.save(state(), tmp_path / "model.bin", pickle_protocol=protocol)
    assert torch.equal(TorchFile(tmp_path / "model.bin").read("part"), state()["part"])


def test_text_of_a_pickle_of_python_2_is_read() -> None:
    """A legacy file of Python 2 has short strings and an ordered dict of a list of pairs."""
    content = b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01]q\x02(U\x01aq\x03K\x07ea\x85q\x04Rq\x05."
    assert read_pickle(content).value == {"a": 7}


class Bomb:
    """Makes a folder when it is unpickled by Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


@LAYOUTS
@pytest.mark.parametrize("place", ["value", "beside", "inside"])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, zipped: bool, place: str) -> None:
    bomb = Bomb(tmp_path / "exploded")
    content = {
        "value": bomb,
        "beside": {"weight": torch.ones(2), "more": bomb},
        "inside": {"state_dict": {"weight": torch.ones(2)}, "config": {"deep": [(bomb,)]}},
    }[place]
    with pytest.raises(CheckpointError, match=r"'posix\.mkdir', which no state dict needs") as caught:
        TorchFile(saved(tmp_path / "model.bin", content, zipped=zipped))
    assert (
        caught.value.hint == "it holds more than weights, and bertune runs nothing of it: save model.state_dict() alone"
    )
    assert not (tmp_path / "exploded").exists()


def called(module: str, name: str, *, protocol: int = 2) -> bytes:
    """A pickle that calls a function of no arguments."""
    if protocol < 4:
        return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b")R."
    return (
        b"\x80\x04\x8c"
        + bytes([len(module)])
        + module.encode()
        + b"\x8c"
        + bytes([len(name)])
        + name.encode()
        + b"\x93)R."
    )


HOSTILE: dict[str, bytes] = {
    **{
        f"{module}.{name}, protocol {protocol}": called(module, name, protocol=protocol)
        for module, name in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "getattr"),
            ("__builtin__", "eval"),
            ("runpy", "run_path"),
            ("webbrowser", "open"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch._utils", "_rebuild_wrapper_subclass"),
            ("torch._utils", "_import_dotted_name"),
            ("torch.storage", "_load_from_bytes"),
            ("torch.serialization", "_get_layout"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("collections", "defaultdict"),
            ("functools", "partial"),
            ("torch._utils.os", "system"),
        ]
        for protocol in (2, 4)
    },
    "a name over lines": b"\x80\x02cos\r\nsystem\n)R.",
    "an instance of a class by lines": b"\x80\x02(ios\nsystem\n.",
    "an object of a class": b"\x80\x02(cos\nsystem\no.",
    "a new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "a new object with keywords": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
    "an extension": b"\x80\x02\x82\x01.",
    "a type called as a function": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a number called as a function": b"\x80\x02K\x01)R.",
    "arguments that are no tuple": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "a text of four gigabytes": b"\x80\x02X\xff\xff\xff\xffabc.",
    "a text of many exabytes": b"\x80\x04\x8d" + b"\xff" * 8 + b"abc.",
    "a number of two gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a negative length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "a list of itself": b"\x80\x02]q\x00h\x00a.",
    "an object that was not kept": b"\x80\x02h\x07.",
    "nothing on the stack": b"\x80\x02.",
    "a call without a function": b"\x80\x02)R.",
    "items without a mark": b"\x80\x02}u.",
    "items for a number": b"\x80\x02K\x01(K\x02e.",
    "a key that is a list": b"\x80\x02}]K\x01s.",
    "a key without a value": b"\x80\x02}(K\x01u.",
    "many marks": b"\x80\x02" + b"(" * 100_000 + b".",
    "a tensor of a number": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00)))tR.",
    "a storage of nothing": b"\x80\x02)Q.",
    "a storage of another kind": b"\x80\x02(X\x07\x00\x00\x00storageK\x01X\x01\x00\x00\x000NK\x01tQ.",
    "bytes that are no text": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "the same long list again and again": b"\x80\x02]q\x00("
    + b"]" * 20_000
    + b"e0"
    + b"ccollections\nOrderedDict\nq\x01h\x00\x85R0" * 2_000
    + b"N.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(tmp_path: Path, name: str) -> None:
    """As the whole file and as `data.pkl` of an archive, with nothing but our own error."""
    content = HOSTILE[name]
    (tmp_path / "legacy.bin").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "zipped.bin", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", b"")
    for path in (tmp_path / "legacy.bin", tmp_path / "zipped.bin"):
        with pytest.raises(CheckpointError):
            TorchFile(path)


def test_there_are_sixty_of_them() -> None:
    assert len(HOSTILE) >= 60


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], **how: Any) -> Path:
    content = entries(path)
    change(content)
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


def named(content: dict[str, bytes], ending: str) -> str:
    return next(name for name in content if name.endswith(ending))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop(named(c, "data/0")), "the numbers of tensor table are not in the file"),
        (lambda c: c.update({named(c, "data/0"): b"\0" * 239}), r"does not lie in the 239 bytes"),
        (lambda c: c.update({named(c, "data/0"): b"\0" * 244}), r"does not lie in the 244 bytes"),
        (lambda c: c.pop(named(c, "data.pkl")), "without a data.pkl"),
        (lambda c: c.update({"other/data.pkl": b"N."}), "without a data.pkl"),
        (lambda c: c.update({named(c, "byteorder"): b"big"}), "not little-endian"),
        (lambda c: c.update({named(c, "data.pkl"): b"\x80\x02}."}), "no tensors by name"),
        (lambda c: c.update({named(c, "data.pkl"): b"\x80\x02K\x01."}), "no tensors by name"),
        (lambda c: c.update({named(c, "data.pkl"): b"\0" * 17_000_000}), "17,000,000 bytes"),
    ],
)
def test_an_archive_that_is_not_whole_is_refused(
    tmp_path: Path, change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    path = rewritten(saved(tmp_path / "model.bin", state()), change)
    with pytest.raises(CheckpointError, match=message):
        TorchFile(path)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path / "m.bin", state()), lambda _: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed or encrypted"):
        TorchFile(path)


def test_flipped_bits_of_numbers_are_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.bin", {"a": torch.arange(1000.0)})
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<f", 700.0))
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the numbers of storage 0 are damaged \(CRC-32\)"):
        TorchFile(path).read("a")


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((2, 3), (3, 1), 1), ((7,), (1,), 0), ((2,), (6,), 0), ((10**12,), (0,), 0), ((3,), (1,), 2**61)],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(
    tmp_path: Path, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    """The pickle of `torch.save` with another geometry: a stride of 0 would ask for terabytes."""

    class Described:
        def __reduce__(self) -> tuple[Any, ...]:
            return (torch._utils._rebuild_tensor_v2, (STORAGE, offset, shape, strides, False, OrderedDict()))

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 6) if value is STORAGE else None

    with zipfile.ZipFile(tmp_path / "model.bin", "w") as archive:
        with archive.open("archive/data.pkl", "w") as stream:
            Pickler(stream, protocol=2).dump({"a": Described()})
        archive.writestr("archive/data/0", b"\0" * 24)
    with pytest.raises(CheckpointError, match=r"tensor a of shape .* does not lie in the 24 bytes"):
        TorchFile(tmp_path / "model.bin")


STORAGE = object()


@LAYOUTS
def test_a_mutated_file_gives_its_tensors_or_our_error(tmp_path: Path, zipped: bool) -> None:
    """Flipped, cut, doubled and overwritten bytes, most of them where the tensors are described."""
    original = saved(tmp_path / "model.bin", {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(3)}, zipped=zipped)
    content = original.read_bytes()
    path = tmp_path / "mutated.bin"
    chance = random.Random(7)
    refused = 0
    for _ in range(MUTATIONS):
        mutated = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(mutated)) if chance.random() < 0.5 else chance.randrange(min(400, len(mutated)))
            kind = chance.randrange(4)
            if kind == 0:
                mutated[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                mutated[at] = chance.randrange(256)
            elif kind == 2:
                del mutated[at : at + chance.randint(1, 30)]
            else:
                mutated[at:at] = mutated[at : at + chance.randint(1, 30)]
        path.write_bytes(mutated)
        try:
            file = TorchFile(path)
            for name in file.tensors:
                assert file.read(name).numel() <= len(content)
        except CheckpointError:
            refused += 1
    assert refused > MUTATIONS // 2


def test_a_damaged_pickle_names_the_byte() -> None:
    with pytest.raises(PickleDataError, match="ends in the middle, at byte 3"):
        read_pickle(b"\x80\x02X")
    with pytest.raises(PickleDataError, match="opcode 0x69 at byte 2"):
        read_pickle(b"\x80\x02ios\nsystem\n.")
