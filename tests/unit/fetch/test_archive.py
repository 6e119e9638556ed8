import contextlib
import gzip
import io
import random
import shutil
import stat
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.damage import damaged
from tests.golden.tf_checkpoints_folder import unpack as golden

from bertune.errors import CheckpointError, ResourceError
from bertune.fetch import archive as archive_module
from bertune.fetch.archive import unpack

Maker = Callable[[Path, dict[str, bytes]], Path]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice, on purpose
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            packed.addfile(member, io.BytesIO(content))
    return path


BOTH = pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar.gz"])
MODEL = {"bert_config.json": b"{}", "vocab.txt": b"[PAD]\n", "bert_model.ckpt.index": b"i"}


def members_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refuses(archive: Path, folder: Path, match: str) -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        unpack(archive, folder, shown="https://host/archive")
    assert caught.value.message.startswith("https://host/archive: ")
    assert caught.value.message.isprintable()
    return caught.value


@BOTH
@pytest.mark.parametrize("inside", ["", "./", "uncased_L-12_H-768_A-12/", "a/b/c/"])
def test_the_folder_of_the_model_is_found_wherever_it_is(make: Maker, inside: str, tmp_path: Path) -> None:
    source = members_of(golden("functional", tmp_path))
    members = {f"{inside}{name}": content for name, content in source.items()}
    found = unpack(make(tmp_path / "archive", members), tmp_path / "out", shown="x")
    assert members_of(found) == source


@BOTH
def test_a_hub_module_keeps_its_folders(make: Maker, tmp_path: Path) -> None:
    source = members_of(golden("hub", tmp_path))
    found = unpack(make(tmp_path / "archive", {"./": b""} | source), tmp_path / "out", shown="x")
    assert found == tmp_path / "out"
    wanted = {name: content for name, content in source.items() if name not in ("fingerprint.pb", "keras_metadata.pb")}
    assert members_of(found) == wanted


@BOTH
def test_only_files_of_a_model_come_out(make: Maker, tmp_path: Path) -> None:
    others = {"run.py": b"x", "optimizer.bin": b"x", "__MACOSX/._bert_model.ckpt.index": b"x", "m/.index": b"x"}
    found = unpack(make(tmp_path / "archive", MODEL | others), tmp_path / "out", shown="x")
    assert members_of(found) == MODEL


@BOTH
@pytest.mark.parametrize("name", ["../vocab.txt", "a/../../vocab.txt", "/vocab.txt", "a\\vocab.txt", "C:/vocab.txt"])
def test_a_member_that_leads_out_spoils_the_whole_archive(make: Maker, name: str, tmp_path: Path) -> None:
    refuses(make(tmp_path / "archive", MODEL | {name: b"x"}), tmp_path / "out", "unsafe: the member .* lead out")
    assert not (tmp_path / "vocab.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as packed:
        member = tarfile.TarInfo("vocab.txt")
        member.type, member.linkname = kind, "/etc/hostname"
        packed.addfile(member)
    refuses(tmp_path / "archive", tmp_path / "out", "is a link or no plain file")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as packed:
        member = zipfile.ZipInfo("vocab.txt")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, "/etc/hostname")
    refuses(tmp_path / "archive", tmp_path / "out", "is a link or no plain file")


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed.writestr("vocab.txt", "a")
        packed.writestr("vocab.txt", "b")
    refuses(tmp_path / "archive", tmp_path / "out", "is there twice")


@BOTH
@pytest.mark.parametrize("name", ["vocab.txt", "not_wanted"])
def test_a_bomb_is_stopped_early(make: Maker, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_ALWAYS_ALLOWED_BYTES", 1_000_000)
    archive = make(tmp_path / "archive", MODEL | {name: bytes(60_000_000)})
    if make is make_zip and name == "not_wanted":
        unpack(archive, tmp_path / "out", shown="x")  # what is not wanted is not unpacked
        return
    tracemalloc.start()
    try:
        refuses(archive, tmp_path / "out", "far larger than what went in")
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) < 12_000_000


def test_what_is_not_wanted_is_not_unpacked_to_skip_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_ALWAYS_ALLOWED_BYTES", 1_000_000)
    archive = make_tar(tmp_path / "archive", MODEL | {"not_wanted": bytes(60_000_000)})
    reached: list[int] = []
    seek = gzip.GzipFile.seek

    def spy(stream: gzip.GzipFile, offset: int, whence: int = io.SEEK_SET) -> int:
        reached.append(offset)
        return seek(stream, offset, whence)

    monkeypatch.setattr(gzip.GzipFile, "seek", spy)
    refuses(archive, tmp_path / "out", "far larger than what went in")
    assert max(reached, default=0) < 60_000_000


def test_a_header_of_a_tar_that_claims_gigabytes_is_not_read_in_one_piece(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 40_000_000
    with tarfile.open(tmp_path / "archive", "w:gz") as packed:
        packed.addfile(header, io.BytesIO(bytes(40_000_000)))
    tracemalloc.start()
    try:
        refuses(tmp_path / "archive", tmp_path / "out", "damaged .a header claims more bytes")
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


@BOTH
def test_too_many_members_are_refused(make: Maker, tmp_path: Path) -> None:
    members = {f"folder{number}/": b"" for number in range(1001)}
    refuses(make(tmp_path / "archive", members), tmp_path / "out", "more than 1000 members")


def test_what_the_disk_has_no_room_for_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 3}))
    for make in (make_zip, make_tar):
        with pytest.raises(ResourceError, match="the disk has 3 free"):
            unpack(make(tmp_path / "archive", MODEL), tmp_path / make.__name__, shown="x")


def test_an_archive_of_something_else_or_of_two_models_is_refused(tmp_path: Path) -> None:
    refuses(make_zip(tmp_path / "a", {"readme": b"x"}), tmp_path / "1", "no model in this archive")
    two = {f"{folder}/{name}": content for folder in "ab" for name, content in MODEL.items()}
    refuses(make_zip(tmp_path / "b", two), tmp_path / "2", r"holds 2 models \(a, b\)")
    (tmp_path / "c").write_bytes(b"Rar!")
    refuses(tmp_path / "c", tmp_path / "3", "neither a .zip nor a .tar.gz")


@BOTH
def test_every_flipped_bit_and_every_cut_is_found_or_changes_nothing(make: Maker, tmp_path: Path) -> None:
    source = members_of(golden("functional", tmp_path))
    archive = make(tmp_path / "archive", source)
    content = archive.read_bytes()
    generator = random.Random(3)
    found = 0
    for number in range(150):
        broken = bytearray(content)
        if number % 3:
            broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
        else:
            del broken[generator.randrange(len(broken)) :]
        archive.write_bytes(broken)
        try:
            folder = unpack(archive, tmp_path / str(number), shown="x")
        except CheckpointError:
            found += 1
        else:
            # A name may have changed, or a time that nobody reads; never the bytes under a name.
            assert members_of(folder).items() <= source.items()
    assert found > 100


@BOTH
def test_nothing_is_written_of_what_an_archive_itself_says_is_too_much(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_ALWAYS_ALLOWED_BYTES", 1_000_000)
    archive = make(tmp_path / "archive", {"model.safetensors": bytes(60_000_000)} | MODEL)
    refuses(archive, tmp_path / "out", "far larger than what went in")
    assert not any(path.is_file() and path.stat().st_size for path in (tmp_path / "out").rglob("*"))


def test_an_archive_of_three_megabytes_may_write_a_hundred(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(bytes(3_000_000))
    (tmp_path / "out").mkdir()
    assert archive_module._Budget(tmp_path / "archive", tmp_path / "out", "x").allowed == 100_000_000


@pytest.mark.parametrize(
    ("place", "values"),
    [(24, bytes(4)), (16, bytes(4) + (1).to_bytes(4, "little"))],
    ids=["no size", "no checksum and a packed size of one"],
)
def test_a_member_that_gives_nothing_is_held_to_size_and_checksum(tmp_path: Path, place: int, values: bytes) -> None:
    archive = make_zip(tmp_path / "archive", MODEL)
    listed = bytearray(archive.read_bytes())
    entry = listed.rindex(b"PK\x01\x02", 0, listed.rindex(b"bert_model.ckpt.index"))
    listed[entry + place : entry + place + len(values)] = values
    archive.write_bytes(listed)
    refuses(archive, tmp_path / "out", "Bad CRC-32")


@BOTH
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_damaged_archive_is_refused_or_gives_what_was_in_it(make: Maker, count: int, tmp_path: Path) -> None:
    sound = MODEL | {"README": b"words " * 20}
    content = make(tmp_path / "archive", sound).read_bytes()
    out = tmp_path / "out"
    whole = 0
    for other in damaged(content, count, make.__name__):
        (tmp_path / "archive").write_bytes(other)
        with contextlib.suppress(CheckpointError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unpack(tmp_path / "archive", out, shown="x")
            found = members_of(out)
            # A name of the list may have changed, which no checksum covers: then a file is missing.
            assert found.items() <= MODEL.items() or set(found) - set(MODEL)
            whole += 1
        shutil.rmtree(out)
    assert whole < count / 2
