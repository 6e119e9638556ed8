"""Models behind an address, through the command line in a fresh process."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run
from tests.golden.tf_checkpoints_folder import FOLDER, unpack
from tests.model_server import ModelServer, Served, serving

ONE_EPOCH = ["--epochs", "1", "--max-length", "32"]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest.fixture
def online(tmp_path: Path) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "0", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_inspect_shows_a_model_behind_an_address_through_a_server_that_cuts_connections(
    server: ModelServer, run: Run, online: dict[str, str], tmp_path: Path
) -> None:
    server.add_folder(unpack("functional", tmp_path), "/small_model")
    server.files["/small_model/bert_model.ckpt.data-00000-of-00001"].cuts = [10_000, 30_000]
    done = run("inspect", f"{server.url}/small_model", "--json", **online)
    assert done.returncode == 0, done.stderr
    tensors = json.loads(done.stdout)["receipt"]["tensors"]
    assert sum(max(1, len(tensor["sources"])) for tensor in tensors) == 40
    lines = done.stderr.splitlines()
    assert sum("trying again" in line for line in lines) == 2
    assert lines[-1] == f"fetched {server.url}/small_model: 4 files, 104,671 bytes"
    server.requests.clear()
    again = run("inspect", f"{server.url}/small_model", "--json", **(online | {"HF_HUB_OFFLINE": "1"}))
    assert (again.returncode, again.stderr, again.stdout) == (0, "", done.stdout)
    assert server.requests == []


def test_training_starts_from_a_bucket_and_repeats_from_its_settings(
    server: ModelServer, run: Run, online: dict[str, str], tables: Path, tmp_path: Path
) -> None:
    server.add_folder(unpack("functional", tmp_path), "/bucket/bert/small")
    environment = online | {"STORAGE_EMULATOR_HOST": server.url}
    arguments = ["--data", str(tables), *COLUMNS, "--model", "gs://bucket/bert/small", *ONE_EPOCH]
    done = run("train", *arguments, "--out", str(tmp_path / "one"), **environment)
    assert done.returncode == 0, done.stderr
    assert "restored gs://bucket/bert/small: 23,136 parameters; new: classifier head" in done.stderr
    settings = tmp_path / "one" / "run.toml"
    assert 'model = "gs://bucket/bert/small"' in settings.read_text()
    server.files.clear()
    again = run("train", "--config", str(settings), "--out", str(tmp_path / "two"), "--quiet", **environment)
    assert (again.returncode, again.stderr) == (0, "")
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_hub_module_and_googles_archive_can_be_inspected_and_encode_texts(
    server: ModelServer, run: Run, online: dict[str, str], tables: Path, tmp_path: Path
) -> None:
    server.files["/small.zip"] = Served((FOLDER / "tf1.zip").read_bytes())
    packed = Path(shutil.make_archive(str(tmp_path / "hub"), "gztar", unpack("hub", tmp_path)))
    server.files["/hub.tar.gz"] = Served(packed.read_bytes())
    done = run("inspect", f"{server.url}/small.zip", **online)
    assert done.returncode == 0, done.stderr
    assert "39 tensors loaded" in done.stdout
    out = tmp_path / "encoded"
    arguments = ["--data", str(tables / "train.csv"), *COLUMNS, "--model", f"{server.url}/hub.tar.gz"]
    done = run("encode", *arguments, "--out", str(out), "--max-length", "32", **online)
    assert done.returncode == 0, done.stderr
    assert (out / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing", "no BERT model found (404 Not Found: config.json"),
        ("/page", "a web page instead of the file: bert_config.json"),
        ("/lies", "vocab.txt: damaged twice: its md5 is"),
        ("/loop", "more than 10 redirects"),
    ],
)
def test_a_model_that_cannot_be_had_exits_3_with_one_line_and_a_hint(
    server: ModelServer, run: Run, online: dict[str, str], path: str, message: str
) -> None:
    server.files |= {
        "/page/bert_config.json": Served(b"<!doctype html><title>Log in</title>"),
        "/lies/config.json": Served(b"{}"),
        "/lies/vocab.txt": Served(b"[PAD]\n", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
        "/loop/config.json": Served(location="/loop/config.json"),
    }
    done = run("inspect", server.url + path, **online)
    assert done.returncode == 3
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith(f"error: {server.url}{path}")
    assert hint.startswith("hint: ")


def test_offline_is_one_line(run: Run) -> None:
    done = run("inspect", "gs://cloud-tpu-checkpoints/bert/v3/uncased_L-12_H-768_A-12", XDG_CACHE_HOME="/nonexistent")
    assert done.returncode == 3
    assert done.stderr.splitlines()[0].endswith("not in the cache, and HF_HUB_OFFLINE is set")
    assert len(done.stderr.splitlines()) == 2
