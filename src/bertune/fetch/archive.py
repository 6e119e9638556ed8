"""Archives of models (`.zip`, `.tar.gz`), unpacked without trusting them.

Only the files of a model come out, into plain files. Names that lead outside, links, encrypted parts and bombs are
refused; what a header claims is never believed: bytes are counted as they come.
"""

import gzip
import io
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from bertune.checkpoints.table_file import AGAIN
from bertune.errors import CheckpointError
from bertune.fetch.part_file import disk_errors, full
from bertune.tokenization.tokenizer_files import ALL_FILES

_WANTED = re.compile(
    r"config\.json|bert_config\.json|checkpoint|saved_model\.pb|"
    + "|".join(map(re.escape, ALL_FILES))
    + r"|model\.safetensors|model\.safetensors\.index\.json|model-[\w.-]+\.safetensors"
    r"|pytorch_model\.bin|pytorch_model\.bin\.index\.json|pytorch_model-[\w.-]+\.bin"
    r"|\w[\w.-]*\.index|\w[\w.-]*\.data-\d{5}-of-\d{5}",
    re.ASCII,
)
_WEIGHTS = re.compile(r"(model\.safetensors|pytorch_model\.bin)(\.index\.json)?|.+\.index")
_MAX_MEMBERS = 1000
_MAX_DEPTH = 10
# Weights hardly shrink when packed: what grows twentyfold, and large, is no model.
_MAX_BYTES = 16_000_000_000
_MAX_GROWTH = 20
_ALWAYS_ALLOWED_BYTES = 100_000_000
# The libraries read some headers in one piece, of the length that the file claims.
_MAX_READ_BYTES = 4_000_000
_CHUNK_BYTES = 1 << 20
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the libraries raise for damaged and for foreign files.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,  # of zipfile, for encryption and methods that it does not know
    struct.error,
)


def unpack(archive: Path, folder: Path, *, shown: str) -> Path:
    """Unpacks the files of a model.

    Args:
        archive: a zip or a gzipped tar, by its content.
        folder: a new folder.
        shown: how messages call the archive.

    Returns:
        The folder in it that holds the model.

    Raises:
        CheckpointError: the archive is damaged, unsafe, or holds no model or several.
        ResourceError: the disk has no room.
    """
    folder.mkdir()
    budget = _Budget(archive, folder, shown)
    try:
        with archive.open("rb") as stream:
            packed = stream.read(4)
        if packed[:2] == b"\x1f\x8b":
            _unpack_tar(archive, budget)
        elif packed[:2] == b"PK":
            _unpack_zip(archive, budget)
        else:
            raise CheckpointError(f"{shown}: neither a .zip nor a .tar.gz")
    except _DAMAGE as error:
        raise CheckpointError(f"{shown}: the archive is damaged ({error})", hint=AGAIN) from error
    return _model_folder(folder, shown)


class _Budget:
    """Counts what comes out of an archive."""

    def __init__(self, archive: Path, folder: Path, shown: str) -> None:
        self.shown = shown
        self._folder = folder
        self._members = 0
        self.allowed = min(_MAX_BYTES, max(_ALWAYS_ALLOWED_BYTES, archive.stat().st_size * _MAX_GROWTH))

    def count(self) -> None:
        """Counts a member, folders too."""
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise CheckpointError(f"{self.shown}: more than {_MAX_MEMBERS} members, no model has as many")

    def target(self, name: str, *, is_plain: bool) -> Path | None:
        """Returns where a member goes, None for one that is not wanted.

        Raises:
            CheckpointError: the member is not safe; then nothing of the archive is to be trusted.
        """
        path = PurePosixPath(name)
        leads_out = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable()
        if leads_out or len(path.parts) > _MAX_DEPTH:
            raise CheckpointError(f"{self.shown}: unsafe: the member {name!a:.200} would lead out of its folder")
        if not is_plain:
            raise CheckpointError(f"{self.shown}: unsafe: the member {name!a:.200} is a link or no plain file")
        if not _WANTED.fullmatch(path.name):
            return None
        target = self._folder / path
        if target.exists():
            raise CheckpointError(f"{self.shown}: unsafe: the member {name!a:.200} is there twice")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def copy(self, source: IO[bytes], target: Path) -> int:
        """Copies a member, chunk by chunk, as long as the budget lasts; returns its bytes."""
        size = 0
        with disk_errors(target), target.open("xb") as stream:
            while chunk := source.read(_CHUNK_BYTES):
                self._check_budget(len(chunk))
                self.allowed -= len(chunk)
                size += stream.write(chunk)
        return size

    def _check_budget(self, size: int) -> None:
        if size > self.allowed:
            raise CheckpointError(f"{self.shown}: unsafe: what comes out is far larger than what went in")

    def check_room(self, size: int) -> None:
        """Refuses to begin what the archive itself says is too much, or more than the disk can hold."""
        self._check_budget(size)
        free = shutil.disk_usage(self._folder).free
        if size > free:
            raise full(self._folder, f"needs {size:,} bytes, and the disk has {free:,} free")


class _SmallReads(io.RawIOBase):
    """A file that is never read in large pieces, nor behind a limit, whatever its headers claim."""

    def __init__(self, inner: IO[bytes] | gzip.GzipFile, limit: int | None = None) -> None:
        self._inner = inner
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        content = self._inner.read(size if 0 <= size <= _MAX_READ_BYTES else _MAX_READ_BYTES + 1)
        if len(content) > _MAX_READ_BYTES:
            raise EOFError("a header claims more bytes than a header has")
        self._check(self._inner.tell())
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # To go forward in a packed file is to unpack it.
        self._check(offset if whence == io.SEEK_SET else 0)
        if whence == io.SEEK_SET and offset < 0:
            raise EOFError("a header leads to before the file")
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def seekable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        if self._limit is not None and position > self._limit:
            raise EOFError(f"far larger than what went in: more than {self._limit:,} bytes")


def _unpack_zip(archive: Path, budget: _Budget) -> None:
    with archive.open("rb") as stream, zipfile.ZipFile(_SmallReads(stream)) as packed:
        members = packed.infolist()
        wanted = (member for member in members if _WANTED.fullmatch(PurePosixPath(member.filename).name))
        budget.check_room(sum(member.file_size for member in wanted))
        for member in members:
            budget.count()
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            # Bit 0 tells of encryption; archives made on other systems have no kind.
            is_plain = kind in (0, stat.S_IFREG) and not member.flag_bits & 1 and member.compress_type in _ZIP_METHODS
            target = budget.target(member.filename, is_plain=is_plain)
            if target is not None:
                with packed.open(member) as source:
                    size = budget.copy(source, target)
                # zipfile compares no checksum where nothing is to be read, and takes a member that ends early.
                if size != member.file_size or (not size and member.CRC):
                    raise zipfile.BadZipFile(f"Bad CRC-32 for file {member.filename!r}")


def _unpack_tar(archive: Path, budget: _Budget) -> None:
    # Twice, so that the archive's own lists and fill have room.
    with gzip.open(archive) as stream:
        limited = _SmallReads(stream, 2 * budget.allowed)
        with tarfile.TarFile(fileobj=limited) as packed:
            for member in packed:
                budget.count()
                if member.isdir():
                    continue
                target = budget.target(member.name, is_plain=member.isreg() and not member.issparse())
                source = packed.extractfile(member) if target is not None else None
                if target is not None and source is not None:
                    budget.check_room(member.size)
                    budget.copy(source, target)
        # The checksum of the whole stands behind the last member.
        while limited.read(_CHUNK_BYTES):
            pass


def _model_folder(folder: Path, shown: str) -> Path:
    places = {path.parent for path in folder.rglob("*") if path.is_file() and _WEIGHTS.fullmatch(path.name)}
    # The weights of a SavedModel are in a folder of their own.
    found = sorted({path.parent if path.name == "variables" else path for path in places})
    if not found:
        raise CheckpointError(
            f"{shown}: no model in this archive: no model.safetensors, no pytorch_model.bin and no index of a "
            "TensorFlow checkpoint",
            hint="expected a BERT as google-research/bert, the Model Garden or TensorFlow Hub publish it",
        )
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found[:5])
        raise CheckpointError(f"{shown}: holds {len(found)} models ({names})", hint="unpack it and name one folder")
    return found[0]
