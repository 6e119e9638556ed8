import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from huggingface_hub import constants
from tests.golden.tf_checkpoints_folder import FOLDER, unpack
from tests.model_server import ModelServer, Served, serving

from bertune.checkpoints.restore import restore
from bertune.errors import CheckpointError
from bertune.fetch import download, model_cache, remote_folder
from bertune.fetch.download import FetchProgress
from bertune.fetch.hub_module import classifier_model
from bertune.fetch.model_cache import MANIFEST_FILE, fetch_model
from bertune.fetch.resolve import resolve_model
from bertune.models.bert import BertConfig
from bertune.models.encoder import Encoder
from bertune.system.cache_folder import cache_folder

SMALL_FILES = ["bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index", "vocab.txt"]
FETCH = "import sys; from bertune.fetch.model_cache import fetch_model; print(fetch_model(sys.argv[1]))"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, online."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    return cache_folder("models")


@pytest.fixture
def small(server: ModelServer, tmp_path: Path) -> str:
    """The address of a small TensorFlow checkpoint."""
    server.add_folder(unpack("functional", tmp_path / "golden"), "/models/small")
    return f"{server.url}/models/small"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def is_restored(folder: Path) -> bool:
    encoder = Encoder.from_config(BertConfig.from_json_file(folder / "bert_config.json"))
    restore(encoder, folder).assert_consumed()
    return True


def test_a_folder_is_fetched_once_and_used_without_a_network_from_then_on(
    server: ModelServer, small: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resolve_model(small)
    assert folder.parent == cache
    assert names(folder) == sorted([*SMALL_FILES, MANIFEST_FILE])
    assert is_restored(folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    assert manifest["url"] == small
    for name in SMALL_FILES:
        content = server.files[f"/models/small/{name}"].content
        known = manifest["files"][name]
        assert (known["size"], known["sha256"]) == (len(content), sha256(content).hexdigest())
        assert known["inode"] == (folder / name).stat().st_ino
    assert [path for path in cache.iterdir() if path.suffix == ".part"] == []
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_model(small + "/") == folder
    assert server.requests == []


def test_the_folder_of_the_lesson_is_read_through_its_public_address(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    source = unpack("functional", tmp_path / "golden")
    server.add_folder(source, "/cloud-tpu-checkpoints/bert/v3/uncased_L-12_H-768_A-12")
    # Storage that may not be listed forbids what is not there.
    server.not_found_status = 403
    lesson = "gs://cloud-tpu-checkpoints/bert/v3/uncased_L-12_H-768_A-12"
    folder = resolve_model(lesson)
    assert names(folder) == sorted([*SMALL_FILES, MANIFEST_FILE])
    server.requests.clear()
    # The lesson restores from the prefix; it is the same download.
    assert resolve_model(f"{lesson}/bert_model.ckpt") == folder / "bert_model.ckpt"
    assert server.requests == []


def test_a_checkpoint_of_another_name_is_fetched_by_its_prefix(server: ModelServer, tmp_path: Path) -> None:
    source = unpack("functional", tmp_path / "golden")
    for name in ("index", "data-00000-of-00001"):
        content = (source / f"bert_model.ckpt.{name}").read_bytes()
        server.files[f"/runs/model.ckpt-7.{name}"] = Served(content)
    prefix = resolve_model(f"{server.url}/runs/model.ckpt-7")
    encoder = Encoder.from_config(BertConfig.from_json_file(source / "bert_config.json"))
    restore(encoder, prefix).assert_consumed()


def test_a_hugging_face_folder_is_fetched_with_its_tokenizer_and_all_its_weights(server: ModelServer) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = ["config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", *index["weight_map"].values()]
    for name in [*files, "pytorch_model.bin", "modeling.py"]:
        server.files[f"/m/{name}"] = Served(b"{}")
    server.files["/m/model.safetensors.index.json"] = Served(json.dumps(index).encode())
    folder = fetch_model(f"{server.url}/m")
    assert names(folder) == sorted([*files, "model.safetensors.index.json", MANIFEST_FILE])


def test_the_folder_of_a_saved_model_becomes_an_encoder(server: ModelServer, tmp_path: Path) -> None:
    source = unpack("hub", tmp_path / "golden")
    server.add_folder(source, "/hub")
    config = BertConfig.from_json_file(source / "bert_config.json")
    classifier_model(config, 2, hub_module=f"{server.url}/hub")
    assert "assets/vocab.txt" in names(fetch_model(f"{server.url}/hub"))


@pytest.mark.parametrize("name", ["functional.zip", "hub.tar.gz", "hub?tf-hub-format=compressed"])
def test_an_archive_is_fetched_unpacked_and_remembered(
    server: ModelServer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = name[:3].replace("fun", "functional")
    packed = FOLDER / f"{kind}.zip"
    if kind == "hub":
        packed = Path(shutil.make_archive(str(tmp_path / "hub"), "gztar", unpack("hub", tmp_path / "golden")))
    server.files["/" + name.partition("?")[0]] = Served(packed.read_bytes(), cuts=[10_000, 20_000])
    folder = resolve_model(f"{server.url}/{name}")
    assert is_restored(folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    assert sorted(manifest["files"]) == [name for name in names(folder) if name != MANIFEST_FILE]
    for file, known in manifest["files"].items():
        assert sha256((folder / file).read_bytes()).hexdigest() == known["sha256"]
    server.files.clear()
    assert resolve_model(f"{server.url}/{name}") == folder


def test_a_damaged_archive_is_not_kept_for_the_next_try(server: ModelServer, cache: Path) -> None:
    content = (FOLDER / "functional.zip").read_bytes()
    broken = bytearray(content)
    broken[len(content) // 2] ^= 1
    server.files["/m.zip"] = Served(bytes(broken), etag='"same"')
    with pytest.raises(CheckpointError, match=r"m\.zip: the archive is damaged"):
        fetch_model(f"{server.url}/m.zip")
    server.files["/m.zip"] = Served(content, etag='"same"')
    assert is_restored(fetch_model(f"{server.url}/m.zip"))
    with pytest.raises(CheckpointError, match=r"the archive is not there \(404 Not Found\)"):
        fetch_model(f"{server.url}/n.zip")


def test_what_is_not_there_is_told_with_what_was_looked_for(server: ModelServer, cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"/models/none: no BERT model found \(404 Not Found: config\.json") as c:
        fetch_model(f"{server.url}/models/none")
    for name in ("bert_config.json", "vocab.txt", "tokenizer.json"):
        assert name in c.value.message
    assert "bert_model.ckpt.index" in (c.value.hint or "")
    server.files["/models/none/config.json"] = Served(b"{}")
    server.files["/models/none/vocab.txt"] = Served(b"[PAD]")
    with pytest.raises(CheckpointError, match=r"model\.safetensors, .*bert_model\.ckpt\.index, variables/variables"):
        fetch_model(f"{server.url}/models/none")
    assert [path.name for path in cache.iterdir() if path.is_dir() and not path.name.endswith(".part")] == []


def test_a_firewalls_log_in_page_is_recognised(server: ModelServer, cache: Path) -> None:
    server.not_found, server.not_found_status = Served(b"<!doctype html><title>Log in</title>"), 200
    with pytest.raises(CheckpointError, match=r"\(a web page instead of the file: config\.json") as caught:
        fetch_model(f"{server.url}/models/none")
    assert "firewall" in (caught.value.hint or "")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_missing_data_file_is_named(server: ModelServer, small: str) -> None:
    del server.files["/models/small/bert_model.ckpt.data-00000-of-00001"]
    with pytest.raises(CheckpointError, match=r"small/bert_model\.ckpt\.data-00000-of-00001: not there \(404"):
        fetch_model(small)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bert_model.ckpt.index", b"not an index"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../../model.safetensors"}}'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": 1}}'),
        ("model.safetensors.index.json", b'{"weight_map": {}}'),
        ("model.safetensors.index.json", b"[]"),
    ],
)
def test_an_index_that_is_none_is_refused_and_fetched_again_next_time(
    server: ModelServer, small: str, name: str, content: bytes
) -> None:
    good = dict(server.files)
    server.files[f"/models/small/{name}"] = Served(content, etag='"same"')
    with pytest.raises(CheckpointError, match=rf"small/{name}: not (the|an) index") as caught:
        fetch_model(small)
    assert "\n" not in caught.value.message
    server.files = good
    server.files["/models/small/bert_model.ckpt.index"].etag = '"same"'
    assert is_restored(fetch_model(small))


def test_a_cache_entry_whose_file_changed_its_size_is_fetched_again_and_people_are_told(
    server: ModelServer, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_model(small)
    (folder / "vocab.txt").write_bytes(b"short")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"vocab\.txt has 5 bytes, expected 454 bytes, and HF_HUB_OFFLINE"):
        fetch_model(small)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    reports: list[FetchProgress] = []
    assert fetch_model(small, on_progress=reports.append) == folder
    assert "vocab.txt has 5 bytes, expected 454 bytes; fetching" in reports[0].note
    assert reports[-1].note.startswith(f"fetched {small}: 4 files, 104,671 bytes")
    assert (folder / "vocab.txt").stat().st_size == 454
    (folder / MANIFEST_FILE).write_text("{")
    assert fetch_model(small) == folder


@pytest.mark.parametrize("how", ["in place", "replaced", "its time put back"])
def test_a_cache_entry_with_one_wrong_bit_is_fetched_again(server: ModelServer, small: str, how: str) -> None:
    """Of the same size: TensorFlow's tensors have checksums of their own, safetensors and vocabularies have none."""
    folder = fetch_model(small)
    path = folder / "vocab.txt"
    right, status = path.read_bytes(), path.stat()
    wrong = bytearray(right)
    wrong[40] ^= 1
    if how == "in place":
        path.write_bytes(bytes(wrong))
    else:
        path.with_name("other").write_bytes(bytes(wrong))
        path.with_name("other").replace(path)
    if how == "its time put back":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    reports: list[FetchProgress] = []
    assert fetch_model(small, on_progress=reports.append) == folder
    assert "vocab.txt was changed or damaged: its SHA-256 is not" in reports[0].note
    assert path.read_bytes() == right


def test_a_copied_cache_is_read_through_once(
    server: ModelServer, small: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_model(small)
    shutil.copytree(cache, cache.with_name("copy"))
    shutil.rmtree(cache)
    cache.with_name("copy").rename(cache)
    digested: list[Path] = []
    digest = model_cache.digest_file  # type: ignore[attr-defined]
    monkeypatch.setattr(model_cache, "digest_file", lambda path, names: digested.append(path) or digest(path, names))
    server.requests.clear()
    assert fetch_model(small) == folder
    assert sorted(path.name for path in digested) == SMALL_FILES
    digested.clear()
    assert fetch_model(small) == folder
    assert digested == []
    # As written by an earlier version, which kept sizes and sums alone.
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    files = {name: {key: file[key] for key in ("size", "sha256")} for name, file in manifest["files"].items()}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": files}))
    assert fetch_model(small) == folder
    assert len(digested) == len(SMALL_FILES)
    assert server.requests == []


def test_offline_and_not_here_is_one_error_and_no_request(
    server: ModelServer, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="not in the cache, and HF_HUB_OFFLINE is set") as caught:
        fetch_model(small)
    assert "copy the folder by hand" in (caught.value.hint or "")
    assert server.requests == []


def test_a_cache_on_a_read_only_disk_can_be_used(small: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_model(small)

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert fetch_model(small) == folder


def test_files_of_two_states_of_a_folder_are_never_mixed(server: ModelServer, small: str, tmp_path: Path) -> None:
    server.files["/models/small/bert_model.ckpt.data-00000-of-00001"].statuses = [500] * 5
    with pytest.raises(CheckpointError, match="the server answered 500"):
        fetch_model(small)
    # What is whole is asked for again: the folder has become another model meanwhile.
    source = unpack("tf1", tmp_path / "golden")
    server.add_folder(source, "/models/small")
    folder = fetch_model(small)
    for name in SMALL_FILES:
        assert (folder / name).read_bytes() == (source / name).read_bytes()


def start(address: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, address],
        env=os.environ | {"HF_HUB_OFFLINE": "0"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_that_fetch_the_same_model_do_it_once(server: ModelServer, small: str) -> None:
    for file in server.files.values():
        file.pause_seconds = 0.1
    processes = [start(small), start(small)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert is_restored(Path(results[0][0].strip()))
    data = server.asked("/models/small/bert_model.ckpt.data-00000-of-00001")
    assert [request.status for request in data] == [200]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_leaves_a_part_with_which_the_next_goes_on(
    server: ModelServer, small: str, cache: Path, sent: signal.Signals
) -> None:
    path = "/models/small/bert_model.ckpt.data-00000-of-00001"
    server.files[path].pause_seconds = 0.2
    process = start(small)
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size > 40_000 for part in cache.rglob("*data-*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not [path for path in cache.glob("*") if path.suffix not in (".part", ".lock")]
    server.files[path].pause_seconds = 0.0
    server.requests.clear()
    assert is_restored(fetch_model(small))
    (request,) = server.asked(path)
    assert request.status == 206
    assert int(request.headers["range"].removeprefix("bytes=").rstrip("-")) > 40_000
    # The small ones were whole, and are the same.
    assert {server.asked(f"/models/small/{name}")[0].status for name in SMALL_FILES if "data" not in name} == {304}


def test_a_folder_comes_whole_from_a_server_that_cuts_every_connection(server: ModelServer, small: str) -> None:
    generator = random.Random(5)
    for file in server.files.values():
        file.cuts = [generator.randrange(1, max(2, len(file.content) // 6)) for _ in range(5)]
    folder = fetch_model(small)
    for name in SMALL_FILES:
        assert (folder / name).read_bytes() == server.files[f"/models/small/{name}"].content
    assert sum(request.status == 206 for request in server.requests) == 5 * len(SMALL_FILES)


def test_a_configuration_as_large_as_a_disk_is_refused(
    server: ModelServer, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_folder, "_MAX_SMALL_BYTES", 10_000)
    server.files["/models/small/bert_config.json"] = Served(b" " * 20_000, chunked=True)
    with pytest.raises(CheckpointError, match=r"bert_config\.json: cannot be fetched: more than 10,000 bytes"):
        fetch_model(small)


@pytest.mark.parametrize(
    ("files", "not_taken"),
    [
        (["vocab.json", "merges.txt", "tokenizer_config.json"], []),
        (["spm.model", "added_tokens.json", "special_tokens_map.json"], []),
        (["sentencepiece.bpe.model"], []),
        (["tokenizer.json", "tokenizer_config.json"], ["sentencepiece.bpe.model", "vocab.json", "merges.txt"]),
    ],
)
def test_the_tokenizer_of_another_family_is_fetched(
    server: ModelServer, files: list[str], not_taken: list[str]
) -> None:
    for name in ["config.json", *files, *not_taken, "model.safetensors"]:
        server.files[f"/m/{name}"] = Served(b"{}")
    folder = fetch_model(f"{server.url}/m")
    assert names(folder) == sorted(["config.json", *files, "model.safetensors", MANIFEST_FILE])
