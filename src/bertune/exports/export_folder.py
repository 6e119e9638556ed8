"""The folder of an export: there whole and proved, or not at all, and never in the place of something else."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertune.errors import CheckpointError, ConfigError
from bertune.exports.agreement import Agreement
from bertune.runtime.export_files import AGREEMENT_FILE, CARD_FILE, FORMAT_VERSION, NOT_PROVED, PROOF_FILE
from bertune.system.atomic import replaced_folder
from bertune.system.json_file import read_json_object

_NEW_FOLDER = "name a folder that does not exist yet"


def check_replaceable(folder: Path) -> None:
    """Refuses a place where no export can be put: it holds something else, or cannot be written to.

    An earlier export is replaced if nothing else is in its folder.

    Raises:
        ConfigError: says what is there.
    """
    if folder.exists() or folder.is_symlink():
        _check_earlier(folder)
        return
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise ConfigError(f"{folder}: {parent} is a file", hint="name another folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder}: {parent} cannot be written to", hint="name another folder")


def _check_earlier(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder} exists and is not a folder", hint=_NEW_FOLDER)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not present and not any(folder.iterdir()):
        return
    others = sorted(present - _files_of(folder) - NOT_PROVED)
    if others:
        raise ConfigError(f"{folder} holds more than an export: {others[0]} would be lost", hint=_NEW_FOLDER)


def _files_of(folder: Path) -> set[str]:
    """Returns the files that the export in a folder consists of."""
    try:
        values = read_json_object(folder / AGREEMENT_FILE)
    except CheckpointError as error:
        raise ConfigError(f"{folder} exists and is not an export of bertune", hint=_NEW_FOLDER) from error
    files = values.get("files")
    if values.get("format_version") != FORMAT_VERSION or not isinstance(files, dict):
        raise ConfigError(f"{folder} exists and is not an export of this bertune", hint=_NEW_FOLDER)
    return set(files)


@contextmanager
def new_export(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `folder`, which takes its place when the block ends without an error.

    When it ends with one nothing is left, not even the folders that were made above it.
    """
    made = [parent for parent in folder.absolute().parents if not parent.exists()]
    try:
        with replaced_folder(folder) as temporary:
            yield temporary
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def write_agreement(folder: Path, agreement: Agreement) -> None:
    """Writes `agreement.json`, and `proof.json` with what no two exports have alike."""
    for name, values in ((AGREEMENT_FILE, agreement.to_dict()), (PROOF_FILE, agreement.proof())):
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file but the card, by its path in the folder."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / CARD_FILE:
            with path.open("rb") as stream:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
