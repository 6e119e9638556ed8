"""The files of a model in a folder behind an address.

Nothing lists the folder: plain web servers cannot, and storage often may not. The names are known; the number of a
checkpoint's data files is in its index.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from bertune.checkpoints.bundle_entries import parse_header
from bertune.checkpoints.table_file import AGAIN, read_table
from bertune.errors import CheckpointError
from bertune.fetch.download import MAX_FILE_BYTES, Downloader
from bertune.fetch.http_client import COPY_HINT
from bertune.fetch.model_address import ModelAddress
from bertune.fetch.part_file import PartFile
from bertune.system.json_file import read_json_object
from bertune.system.protobuf_wire import WireError
from bertune.tokenization.tokenizer_files import (
    BPE_VOCABULARY_FILE,
    MERGES_FILE,
    SENTENCEPIECE_FILES,
    SIDE_FILES,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
)

# In the order in which a folder on this machine is read, too.
_CONFIGS = ("config.json", "bert_config.json")
_SAVED_MODEL = "variables/variables.index"
_WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    *("bert_model.ckpt.index", _SAVED_MODEL),
)
_SHARD = re.compile(r"\w[\w.-]*\.(safetensors|bin)", re.ASCII)
_MAX_SHARDS = 1000
_MAX_INDEX_BYTES = 2_000_000
# What is not weights: the tokenizer.json of the largest vocabulary takes 10 MB.
_MAX_SMALL_BYTES = 64_000_000
_LARGE = re.compile(r".+\.(safetensors|bin)|.+\.data-\d{5}-of-\d{5}")


def fetch_folder(address: ModelAddress, folder: Path, downloader: Downloader) -> list[str]:
    """Fetches the files of a model: small ones first, so that a wrong address is known soon.

    Args:
        address: of the folder, or of a checkpoint in it. A named checkpoint may lack configuration and vocabulary.
        folder: to fill; partial downloads in it are resumed.
        downloader: that fetches.

    Returns:
        The names of the files that belong to the model.

    Raises:
        CheckpointError: there is no model; says what was looked for and what the server answered.
    """
    files = _Files(address, folder, downloader)
    has_config = files.take_first(_CONFIGS)
    has_vocabulary = _take_tokenizer(files)
    if address.checkpoint:
        _take_checkpoint(files, f"{address.checkpoint}.index")
        return files.names
    # Only a SavedModel may come without these files, or with its vocabulary in a folder of its own.
    weights = files.take_first(_WEIGHTS if has_config and has_vocabulary else (_SAVED_MODEL,))
    if weights is None:
        raise files.no_model()
    if weights == _SAVED_MODEL and not has_vocabulary:
        files.take("assets/vocab.txt")
    if weights.endswith(".index"):
        _take_checkpoint(files, weights)
    elif weights.endswith(".json"):
        files.take_all(_shards_of(files, weights))
    return files.names


class _Files:
    """Files found, and files not found, with the reason."""

    def __init__(self, address: ModelAddress, folder: Path, downloader: Downloader) -> None:
        self.names: list[str] = []
        self.folder = folder
        self._address = address
        self._downloader = downloader
        self._absent: dict[str, str] = {}

    def take(self, name: str) -> bool:
        """Fetches a file if it is there."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        most = MAX_FILE_BYTES if _LARGE.fullmatch(name) else _MAX_SMALL_BYTES
        reason = self._downloader.fetch(self._address.file_url(name), target, max_bytes=most)
        if reason is None:
            self.names.append(name)
        else:
            self._absent[name] = reason
        return reason is None

    def take_first(self, names: Iterable[str]) -> str | None:
        """Fetches the first file that is there, and returns its name."""
        return next((name for name in names if self.take(name)), None)

    def take_all(self, names: Iterable[str]) -> None:
        """Fetches files all of which must be there."""
        for name in names:
            if not self.take(name):
                raise CheckpointError(
                    f"{self._address.shown}/{name}: not there ({self._absent[name]}), but the model's index names it",
                    hint="the model is not whole there; take it from another place",
                )

    def damaged(self, name: str, reason: str) -> CheckpointError:
        """Forgets a file that is not what it must be, so that the next try fetches it again."""
        PartFile(self.folder / name).discard()
        return CheckpointError(f"{self._address.shown}/{name}: {reason}", hint=AGAIN)

    def no_model(self) -> CheckpointError:
        """The error for an address without a model."""
        answers: dict[str, list[str]] = {}
        for name, reason in self._absent.items():
            answers.setdefault(reason, []).append(name)
        answered = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in answers.items())
        hint = (
            "needed: bert_config.json, vocab.txt, bert_model.ckpt.index (or config.json, model.safetensors), or a .zip"
        )
        if any(reason.startswith(("401", "a web page")) for reason in answers):
            hint = "is a login needed, or a firewall's page in between? " + COPY_HINT
        if urlsplit(self._address.url).hostname == "huggingface.co":
            hint = "name a model of the hub without its address: owner/name"
        return CheckpointError(f"{self._address.shown}: no BERT model found ({answered})", hint=hint)


def _take_tokenizer(files: _Files) -> bool:
    """Fetches the files of a tokenizer; whether a vocabulary is among them."""
    has_vocabulary = files.take(VOCABULARY_FILE)
    has_vocabulary = files.take(TOKENIZER_FILE) or has_vocabulary
    if not has_vocabulary:
        has_vocabulary = files.take_first((*SENTENCEPIECE_FILES, BPE_VOCABULARY_FILE)) is not None
    if BPE_VOCABULARY_FILE in files.names:
        files.take(MERGES_FILE)
    for name in SIDE_FILES if has_vocabulary else ():
        files.take(name)
    return has_vocabulary


def _take_checkpoint(files: _Files, index: str) -> None:
    if index not in files.names and not files.take(index):
        raise files.no_model()
    try:
        shards, _ = parse_header(read_table(files.folder / index).get(b"", b""))
    except (CheckpointError, WireError) as error:
        raise files.damaged(index, f"not the index of a TensorFlow checkpoint ({error})") from error
    if not 0 < shards <= _MAX_SHARDS:
        raise files.damaged(index, f"the index claims {shards:,} data files")
    prefix = index.removesuffix(".index")
    files.take_all(f"{prefix}.data-{shard:05d}-of-{shards:05d}" for shard in range(shards))


def _shards_of(files: _Files, index: str) -> list[str]:
    try:
        weight_map = read_json_object(files.folder / index, max_bytes=_MAX_INDEX_BYTES)["weight_map"]
        shards = sorted(set(weight_map.values()))
        # A name with a slash in it could reach outside of the folder.
        if not 0 < len(shards) <= _MAX_SHARDS or not all(_SHARD.fullmatch(shard) for shard in shards):
            raise ValueError("a file it names is not a plain .safetensors or .bin")
    except (CheckpointError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise files.damaged(index, f"not an index of weight files ({error})") from error
    return shards
