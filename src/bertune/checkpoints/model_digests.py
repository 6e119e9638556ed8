"""The digests of a model folder's files: what `load` checks, and what tells one model from another."""

import hashlib
from pathlib import Path
from typing import Final

from bertune.checkpoints.signature import SIGNATURE_FILE
from bertune.checkpoints.transformers_classifier import DIGESTS_FILE
from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.tokenization.tokenizer_files import ALWAYS_WRITTEN, SOMETIMES_WRITTEN

WEIGHTS_FILE: Final = "model.safetensors"
# The card is not checked: people may edit it, and nothing else reads it.
CHECKED_FILES: Final = frozenset({WEIGHTS_FILE, "config.json", SIGNATURE_FILE}) | ALWAYS_WRITTEN | SOMETIMES_WRITTEN

_MAX_LIST_BYTES: Final = 100_000


def model_digest(directory: str | Path) -> str:
    """Returns a digest of a model folder's files, weights and signature among them: another model has another.

    Raises:
        CheckpointError: the folder has no list of its files' digests.
    """
    path = Path(directory) / DIGESTS_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, so whose scores these are cannot be told")
    return hashlib.sha256(read_bounded(path, _MAX_LIST_BYTES)).hexdigest()


def weights_file_digest(directory: str | Path) -> str:
    """Returns the digest of a model folder's weights, which another temperature or threshold does not change.

    Raises:
        CheckpointError: the folder has no list of its files' digests.
    """
    path = Path(directory) / DIGESTS_FILE
    try:
        return next(digest for digest, name in _listed(path) if name == WEIGHTS_FILE)
    except (CheckpointError, UnicodeDecodeError, StopIteration) as error:
        raise CheckpointError(f"{path}: whose scores these are cannot be told") from error


def _listed(path: Path) -> list[tuple[str, str]]:
    """Reads a list: digest and name of each file."""
    lines = read_bounded(path, _MAX_LIST_BYTES).decode("utf-8").split("\n")
    return [(digest, name) for digest, _, name in (line.partition("  ") for line in lines)]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def present_files(folder: Path) -> list[str]:
    """Returns the names of a folder's checked files: all that each model has, and others where they are."""
    return sorted(name for name in CHECKED_FILES if name not in SOMETIMES_WRITTEN or (folder / name).exists())


def write_digests(folder: Path) -> None:
    """Writes the list of a folder's files with their digests."""
    lines = [f"{_digest(folder / name)}  {name}\n" for name in present_files(folder)]
    (folder / DIGESTS_FILE).write_text("".join(lines), encoding="utf-8")


def check_digests(folder: Path) -> None:
    """Compares every file but the card with its digest.

    Raises:
        CheckpointError: one is missing or changed, or the list is damaged.
    """
    path = folder / DIGESTS_FILE
    try:
        digests = {name: digest for digest, name in _listed(path)}
    except (CheckpointError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read", hint="copy the whole model folder") from error
    # A list that lost a line would leave that file unchecked.
    if unlisted := [name for name in present_files(folder) if name not in digests]:
        raise CheckpointError(
            f"{path}: the list of digests is damaged: it lacks {unlisted[0]}", hint="copy the model folder again"
        )
    for name in sorted(CHECKED_FILES & digests.keys()):
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file}: missing", hint="copy the whole model folder")
        if _digest(file) != digests[name]:
            raise CheckpointError(
                f"{file}: the file was changed or damaged: its SHA-256 is not the one in {DIGESTS_FILE}",
                hint="copy the model folder again, or train again",
            )
