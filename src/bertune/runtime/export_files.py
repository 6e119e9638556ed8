"""Files of an export: what its proof says of them, and whether they are still those."""

import hashlib
from pathlib import Path
from typing import Final

from bertune.checkpoints.file_names import EXPORT_PROOF_FILE
from bertune.errors import CheckpointError, DataError
from bertune.system.json_file import JsonObject, read_json_object

AGREEMENT_FILE: Final = EXPORT_PROOF_FILE
# Beside the files that are proved: how fast they were.
PROOF_FILE: Final = "proof.json"
CARD_FILE: Final = "README.md"
FORMAT_VERSION: Final = 1
# What people write, and what the hub adds where a folder is published; nothing is computed by either.
NOT_PROVED: Final = frozenset({AGREEMENT_FILE, PROOF_FILE, CARD_FILE, ".gitattributes"})
# What `hf download` notes of the files that it has brought.
_DOWNLOADED: Final = ".cache/huggingface/"
_BLOCK_BYTES: Final = 16 << 20
_AGAIN: Final = "export the model again: bertune export RUN OUT --format …"


def is_export(folder: Path) -> bool:
    """Tells whether a folder holds an export with its proof."""
    return (folder / AGREEMENT_FILE).is_file()


def read_format(folder: Path) -> str | None:
    """Returns the format of an export; None for a folder that is none.

    Raises:
        CheckpointError: what the export says of itself cannot be read.
    """
    return str(read_agreement(folder)["format"]) if is_export(folder) else None


def read_agreement(folder: Path) -> JsonObject:
    """Reads `agreement.json`.

    Raises:
        DataError: there is no such folder, or it holds no export.
        CheckpointError: the file cannot be read, or another version of bertune wrote it.
    """
    path = folder / AGREEMENT_FILE
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not path.is_file():
        raise DataError(f"{folder}: no export of bertune (no {AGREEMENT_FILE})", hint=_AGAIN)
    values = read_json_object(path)
    files = values.get("files")
    is_known = isinstance(files, dict) and all(isinstance(digest, str) for digest in files.values())
    if values.get("format_version") != FORMAT_VERSION or not is_known or not isinstance(values.get("format"), str):
        raise CheckpointError(f"{path}: not an agreement of this version of bertune", hint=_AGAIN)
    return values


def check_files(folder: Path, files: dict[str, str]) -> None:
    """Makes sure that an export has the files that were proved, and no others.

    A link is no file of an export: what it leads to may change, and lie anywhere. The card is no part of the proof.

    Args:
        folder: of the export.
        files: SHA-256 of each, by its path in the folder.

    Raises:
        CheckpointError: one is missing, has changed, is a link, or was added.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise CheckpointError(f"{path}: a link, which no export has", hint=_AGAIN)
        if path.is_file() and name not in files and name not in NOT_PROVED and not name.startswith(_DOWNLOADED):
            raise CheckpointError(f"{path}: was not there when the export was proved", hint="move it elsewhere")
    for name, digest in files.items():
        if name == CARD_FILE:
            continue  # of exports whose digests still had it
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(f"{folder / AGREEMENT_FILE}: {name!r} is no name of a file of an export", hint=_AGAIN)
        if not path.is_file():
            raise CheckpointError(f"{path}: is missing", hint=_AGAIN)
        if _digest(path) != digest:
            raise CheckpointError(f"{path}: has changed since the export was proved", hint=_AGAIN)


def _digest(path: Path) -> str:
    """Returns the SHA-256 of a file; in a few large steps, since between any two it may wait for other Python code."""
    digest, block = hashlib.sha256(), memoryview(bytearray(min(_BLOCK_BYTES, path.stat().st_size + 1)))
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(block):
            digest.update(block[:size])
    return digest.hexdigest()
