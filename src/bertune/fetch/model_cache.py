"""Models that were fetched from an address, kept on this machine.

`$XDG_CACHE_HOME/bertune/models` (else `~/.cache/bertune/models`) has a folder for each address. It appears when
everything is there and checked; until then the files are in `NAME.part`, where the next try resumes.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.fetch.archive import unpack
from bertune.fetch.checksums import digest_file
from bertune.fetch.download import Downloader, FetchProgress, Report
from bertune.fetch.http_client import COPY_HINT
from bertune.fetch.model_address import ModelAddress, parse_address
from bertune.fetch.part_file import PartFile, disk_errors
from bertune.fetch.remote_folder import fetch_folder
from bertune.system.atomic import replaced_folder, write_text
from bertune.system.cache_folder import cache_folder
from bertune.system.json_file import read_json_object

MANIFEST_FILE = "bertune-source.json"
_ARCHIVE = "archive"


@dataclass(frozen=True)
class _Fetched:
    """Files of a model that are here and checked: where they lie, their names, and their SHA-256."""

    folder: Path
    sha256: dict[str, str]


def fetch_model(text: str, *, on_progress: Report | None = None) -> Path:
    """Returns the folder, or the checkpoint's prefix, of a model behind an address; fetches it if it is not here yet.

    What is here is used without asking the server again; a file that was touched since it was fetched is compared with
    its SHA-256 first. Two processes that fetch the same model wait for one another.

    Args:
        text: `gs://bucket/path` or `https://host/path`: a folder, a checkpoint's prefix in it, or an archive.
        on_progress: told how far the download is.

    Raises:
        CheckpointError: no model there, not reachable, damaged or unsafe.
        ResourceError: the disk has no room.
    """
    address = parse_address(text)
    report = on_progress or _say_nothing
    found = _find(address)
    if found is not None:
        return found
    entry = cache_folder("models") / address.entry_name
    problem = _problem(entry)
    if problem:
        report(FetchProgress(entry.name, note=f"{problem}; fetching {address.shown} again"))
    if _is_offline():
        reason = problem or "not in the cache"
        raise CheckpointError(f"{address.shown}: {reason}, and HF_HUB_OFFLINE is set", hint=COPY_HINT)
    with disk_errors(entry):
        entry.parent.mkdir(parents=True, exist_ok=True)
    with _locked(entry, lambda note: report(FetchProgress(entry.name, note=note))):
        # Another process may have fetched it meanwhile.
        if _problem(entry) is not None:
            part = entry.with_name(entry.name + ".part")
            try:
                _fetch(address, entry, part, report)
            finally:
                _remove_if_useless(part)
    return _named(address, entry)


def _find(address: ModelAddress) -> Path | None:
    """Returns a model that is here."""
    entry = cache_folder("models") / address.entry_name
    if _problem(entry) is None:
        return _named(address, entry)
    # The tutorial names a folder for the configuration and the checkpoint in it for the weights: both are one download.
    whole = cache_folder("models") / replace(address, checkpoint=None).entry_name
    if address.checkpoint and (whole / f"{address.checkpoint}.index").is_file() and _problem(whole) is None:
        return _named(address, whole)
    return None


def _named(address: ModelAddress, entry: Path) -> Path:
    return entry / address.checkpoint if address.checkpoint else entry


def _problem(entry: Path) -> str | None:
    """Returns None for a model that is here and as it was fetched; else what is wrong, empty if it is absent."""
    manifest = entry / MANIFEST_FILE
    if not manifest.is_file():
        return ""
    try:
        content = read_json_object(manifest)
        files = {name: (int(file["size"]), str(file["sha256"]), file) for name, file in content["files"].items()}
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError):
        return f"{manifest} is damaged"
    touched = False
    for name, (size, sha256, known) in files.items():
        path = entry / name
        status = path.stat() if path.is_file() else None
        if status is None or status.st_size != size:
            has = "is missing" if status is None else f"has {status.st_size:,} bytes"
            return f"{path} {has}, expected {size:,} bytes"
        seen = _seen(status)
        if any(known.get(key) != value for key, value in seen.items()):
            if digest_file(path, {"sha256"})["sha256"] != sha256:
                return f"{path} was changed or damaged: its SHA-256 is not the one it was fetched with"
            known.update(seen)
            touched = True
    if touched:
        # The same bytes, copied or restored: next time they need not be read.
        with suppress(OSError):
            write_text(manifest, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return None


def _seen(status: os.stat_result) -> dict[str, int]:
    """Returns what changes when a file is written or replaced, without reading its content."""
    return {"modified_ns": status.st_mtime_ns, "inode": status.st_ino}


def _fetch(address: ModelAddress, entry: Path, part: Path, report: Report) -> None:
    with disk_errors(part):
        part.mkdir(exist_ok=True)
        with Downloader(report) as downloader:
            if address.is_archive:
                fetched = _fetch_archive(address, part, downloader)
            else:
                names = fetch_folder(address, part, downloader)
                fetched = _Fetched(part, {name: PartFile(part / name).state.sha256 for name in names})
        with replaced_folder(entry) as folder:
            files = {name: _move(fetched.folder / name, folder / name, sha) for name, sha in fetched.sha256.items()}
            manifest = {"url": address.shown, "files": files}
            (folder / MANIFEST_FILE).write_text(
                json.dumps(manifest, indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )
        shutil.rmtree(part)
    size = sum(file["size"] for file in files.values())
    report(FetchProgress(entry.name, size, size, note=f"fetched {address.shown}: {len(files)} files, {size:,} bytes"))


def _remove_if_useless(part: Path) -> None:
    """Takes a working folder away in which there is nothing to resume."""
    if not any(path.is_file() for path in part.rglob("*")):
        shutil.rmtree(part, ignore_errors=True)


def _fetch_archive(address: ModelAddress, part: Path, downloader: Downloader) -> _Fetched:
    archive, unpacked = part / _ARCHIVE, part / "unpacked"
    reason = downloader.fetch(address.file_url(), archive)
    if reason is not None:
        raise CheckpointError(f"{address.shown}: the archive is not there ({reason})", hint="check the address")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        folder = unpack(archive, unpacked, shown=address.shown)
    except CheckpointError:
        # Else the next try would find the same archive and fail in the same way, though the server may have another.
        PartFile(archive).discard()
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return _Fetched(
        folder, {path.relative_to(folder).as_posix(): digest_file(path, {"sha256"})["sha256"] for path in paths}
    )


def _move(source: Path, target: Path, sha256: str) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    status = target.stat()
    return {"size": status.st_size, "sha256": sha256, **_seen(status)}


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def _locked(entry: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keeps other processes from fetching the same model; the lock of a process that ends is freed by the system."""
    from filelock import FileLock, Timeout

    lock = FileLock(entry.with_name(entry.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another process is fetching this model; waiting for it")
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()


def _say_nothing(progress: FetchProgress) -> None:
    """Takes the place of a report that nobody wants."""
