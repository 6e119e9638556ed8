"""What kind of file a path leads to, by its suffix and its first bytes."""

from pathlib import Path
from typing import Literal

from bertune.errors import ConfigError, DataError
from bertune.text.nearest import did_you_mean

FileFormat = Literal["csv", "tsv", "jsonl", "parquet", "arrow"]

SUFFIXES: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}

# First bytes of files that are often given a wrong suffix, what they are, and what to do about it.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip-compressed", "unpack it first: gunzip FILE"),
    (b"BZh", "bzip2-compressed", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "xz-compressed", "unpack it first: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it first: unzstd FILE"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save the sheet as CSV (UTF-8)"),
    (b"SQLite format 3\x00", "an SQLite data base", "export the table as CSV"),
    (b"%PDF-", "a PDF", "export the table as CSV"),
    (b"PAR1", "a Parquet file", "give it the suffix .parquet"),
    (b"ARROW1", "an Arrow file", "give it the suffix .arrow"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data itself", "fetch the data: git lfs pull"),
    (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
)
_OWN_SIGNATURE: dict[FileFormat, bytes] = {"parquet": b"PAR1", "arrow": b"ARROW1"}


def file_format(path: Path, shown: str) -> FileFormat:
    """Finds the format of a table and makes sure that it can be one.

    Args:
        path: the file.
        shown: how messages call it.

    Raises:
        ConfigError: the path leads nowhere or to a folder, or the suffix is not known.
        DataError: the file is empty, unreadable, or its first bytes belong to something else.
    """
    _check_is_file(path, shown)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror}") from error
    if not head:
        raise DataError(f"{shown} is empty", hint="expected a table with a header and at least one row")
    wanted = SUFFIXES.get(path.suffix.lower())
    _check_signature(shown, head, wanted)
    if wanted is None:
        raise ConfigError(
            f"{shown}: the suffix '{path.suffix}' is none of {', '.join(SUFFIXES)}",
            hint=_suffix_hint(path.suffix, head),
        )
    if wanted in ("csv", "tsv", "jsonl") and head.count(b"\x00") * 5 > len(head):
        raise DataError(
            f"{shown} is not UTF-8 text: its first bytes are full of zeros, as UTF-16 without a mark is",
            hint="convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW",
        )
    return wanted


def _check_is_file(path: Path, shown: str) -> None:
    if path.is_dir():
        raise ConfigError(f"{shown} is a folder, expected a file", hint="name one of the files in it")
    if path.exists():
        return
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"{shown} does not exist, nor does its folder", hint=f"looked from {Path.cwd()}")
    neighbours = [entry.name for entry in folder.iterdir()]
    raise ConfigError(f"{shown} does not exist", hint=did_you_mean(path.name, neighbours))


def _check_signature(shown: str, head: bytes, wanted: FileFormat | None) -> None:
    own = _OWN_SIGNATURE.get(wanted) if wanted is not None else None
    if own is not None and head.startswith(own):
        return
    for signature, what, hint in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{shown} is {what}, not {_expected(wanted)}", hint=hint)
    if wanted == "parquet":
        raise DataError(f"{shown} is not a Parquet file: it does not begin with PAR1")


def _expected(wanted: FileFormat | None) -> str:
    if wanted in ("parquet", "arrow"):
        return f"the {wanted.capitalize()} file that its suffix says"
    return "a plain text table" if wanted is not None else "a table that can be read"


def _suffix_hint(suffix: str, head: bytes) -> str:
    if suffix.lower() == ".json" or head.lstrip()[:1] in (b"[", b"{"):
        return "JSON is read as .jsonl: one object a line"
    return "save the table in one of these formats"
