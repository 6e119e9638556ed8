"""File kinds, told by suffix and first bytes."""

from pathlib import Path, PurePath
from typing import Final, Literal

from bertune.data.formats.byte_files import PACKED, open_bytes
from bertune.data.formats.record_file import refuse_records
from bertune.data.missing_path import near_path
from bertune.errors import ConfigError, DataError

FileFormat = Literal["csv", "tsv", "json", "parquet", "arrow", "xlsx"]

_FORMATS: Final[dict[str, FileFormat]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".xlsx": "xlsx",
}
_TEXT: Final = ("csv", "tsv", "json")
_KNOWN: Final = f"{', '.join(_FORMATS)} (those of text also packed: .csv.gz)"

# First bytes of files that are often given a wrong suffix, what they are, and what to do about it.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip-compressed", "call it FILE.csv.gz (or .tsv.gz, .jsonl.gz), or unpack it: gunzip"),
    (b"BZh", "bzip2-compressed", "unpack it first: bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "xz-compressed", "unpack it first: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it first: unzstd FILE"),
    (
        b"PK\x03\x04",
        "a zip archive or an Excel workbook",
        "give a workbook the suffix .xlsx; unpack an archive: unzip FILE",
    ),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save it as an Excel workbook (.xlsx) or as CSV (UTF-8)"),
    (b"SQLite format 3\x00", "an SQLite data base", "export the table as CSV"),
    (b"%PDF-", "a PDF", "export the table as CSV"),
    (b"PAR1", "a Parquet file", "give it the suffix .parquet"),
    (b"ARROW1", "an Arrow file", "give it the suffix .arrow"),
    (b"FEA1", "a Feather file of version 1", "write it as version 2: pyarrow.feather.write_feather(table, FILE)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data itself", "fetch the data: git lfs pull"),
)
_OWN_SIGNATURE: dict[FileFormat, bytes] = {"parquet": b"PAR1", "arrow": b"ARROW1", "xlsx": b"PK\x03\x04"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def name_parts(name: str | PurePath) -> tuple[str, FileFormat | None]:
    """Divides the name of a file into its stem and its format: ``train.csv.gz`` is ``train`` and csv.

    Args:
        name: a name or a path.

    Returns:
        The stem, without folder and suffixes; the format, None where the suffix is not that of a table.
    """
    path = PurePath(name)
    if path.suffix.lower() == PACKED:
        inner = PurePath(path.stem)
        kind = _FORMATS.get(inner.suffix.lower())
        return inner.stem, kind if kind in _TEXT else None
    return path.stem, _FORMATS.get(path.suffix.lower())


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
    wanted = name_parts(path)[1]
    head = _head(path, shown, unpacks=wanted is not None)
    if not head:
        raise DataError(f"{shown} is empty", hint="expected a table with a header and at least one row")
    if wanted is None:
        refuse_records(path)
    _check_signature(shown, head, wanted)
    if wanted is None:
        raise ConfigError(
            f"{shown}: the suffix '{''.join(path.suffixes[-2:]) or path.suffix}' is none of {_KNOWN}",
            hint=_suffix_hint(head),
        )
    return wanted


def found_encoding(path: Path, shown: str) -> str | None:
    """Finds the encoding of a text file that says so itself: UTF-16 with its mark; None for any other file.

    Raises:
        DataError: UTF-16 without its mark, which only its zeros show.
    """
    head = _head(path, shown, unpacks=True)
    if head.startswith(_UTF_16):
        return "utf-16"
    if head.count(b"\x00") * 5 > len(head):
        raise DataError(
            f"{shown} is not UTF-8 text: its first bytes are full of zeros, as UTF-16 without a mark is",
            hint="read it with --encoding utf-16-le",
        )
    return None


def _head(path: Path, shown: str, *, unpacks: bool) -> bytes:
    try:
        with open_bytes(path, shown) if unpacks else path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror}") from error


def _check_is_file(path: Path, shown: str) -> None:
    if path.is_dir():
        raise ConfigError(f"{shown} is a folder, expected a file", hint="name one of the files in it")
    if path.exists():
        return
    folder = path.parent
    if not folder.is_dir():
        hint = near_path(path) or f"looked from {Path.cwd()}"
        raise ConfigError(f"{shown} does not exist, nor does its folder", hint=hint)
    raise ConfigError(f"{shown} does not exist", hint=near_path(path))


def _check_signature(shown: str, head: bytes, wanted: FileFormat | None) -> None:
    own = _OWN_SIGNATURE.get(wanted) if wanted is not None else None
    if own is not None and head.startswith(own):
        return
    for signature, what, hint in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{shown} is {what}, not {_expected(wanted)}", hint=hint)
    if wanted == "parquet":
        raise DataError(f"{shown} is not a Parquet file: it does not begin with PAR1")
    if wanted == "xlsx":
        raise DataError(f"{shown} is not an Excel workbook", hint="is it CSV by another name? call it .csv or .tsv")


def _expected(wanted: FileFormat | None) -> str:
    if wanted in ("parquet", "arrow"):
        return f"the {wanted.capitalize()} file that its suffix says"
    if wanted == "xlsx":
        return "the Excel workbook that its suffix says"
    return "a plain text table" if wanted is not None else "a table that can be read"


def _suffix_hint(head: bytes) -> str:
    if head.lstrip()[:1] in (b"[", b"{"):
        return "it looks like JSON: call it .json or .jsonl"
    return "save the table in one of these formats"
