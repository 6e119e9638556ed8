"""The hub, with `huggingface_hub` replaced: there is no network in the tests."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet
import pytest
from huggingface_hub import errors

from bertune.data.examples import Columns
from bertune.data.formats.hub_datasets import HubSource, parse_address
from bertune.data.splits import find_splits, glue_task, read_split
from bertune.errors import ConfigError, DataError

# What huggingface_hub makes its requests with: httpx, and httpx2 since 2.4.
http_library = importlib.import_module(errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0])

FILES = [
    "README.md",
    "mrpc/train-00000-of-00002.parquet",
    "mrpc/train-00001-of-00002.parquet",
    "mrpc/validation-00000-of-00001.parquet",
    "sst2/train-00000-of-00001.parquet",
]


class FakeHub:
    """A hub that serves the files of a folder and remembers what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads: list[dict[str, Any]] = []
        self.revision_asked: str | None = "nothing asked"
        self.failure: Exception | None = None
        self.has_cache = False
        for number, file in enumerate(FILES[1:]):
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            columns = ["sentence1", "sentence2"] if "mrpc" in file else ["sentence"]
            table = pa.table({**{name: [f"{name} {number}"] for name in columns}, "label": [number % 2]})
            pa.parquet.write_table(table, path)

    def dataset_info(self, repo: str, *, revision: str | None = None) -> SimpleNamespace:
        self.revision_asked = revision
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=file) for file in FILES])

    def hf_hub_download(self, repo: str, file: str, **options: Any) -> str:
        self.downloads.append({"repo": repo, "file": file, **options})
        if self.failure is not None and not options["local_files_only"]:
            raise self.failure
        return str(self.folder / file)

    def snapshot_download(self, repo: str, **options: Any) -> str:
        assert options["local_files_only"]
        if not self.has_cache:
            raise errors.LocalEntryNotFoundError("not cached")
        return str(self.folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.hf_hub_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_addresses_name_owner_data_set_revision_and_configuration() -> None:
    assert parse_address("hf://datasets/nyu-mll/glue") == HubSource("nyu-mll/glue")
    assert parse_address("hf://datasets/nyu-mll/glue@v1/mrpc/") == HubSource("nyu-mll/glue", "mrpc", "v1")
    assert str(parse_address("hf://datasets/nyu-mll/glue@v1/mrpc")) == "hf://datasets/nyu-mll/glue@v1/mrpc"


@pytest.mark.parametrize(
    "address", ["hf://nyu-mll/glue", "hf://datasets/glue", "hf://datasets/a/b/c/d", "hf://datasets/../x y"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no data set address"):
        find_splits(address)


def test_a_task_is_read_from_the_hub_at_one_commit(hub: FakeHub) -> None:
    splits = find_splits("hf://datasets/nyu-mll/glue", glue_task("mrpc"))
    assert list(splits) == ["train", "validation"]
    assert hub.downloads == []
    train = read_split(splits["train"])
    assert train.texts_a == ["sentence1 0", "sentence1 1"]
    assert train.labels == ["not_equivalent", "equivalent"]
    assert train.where(1) == "hf://datasets/nyu-mll/glue/mrpc/train-00001-of-00002.parquet:1"
    assert [(call["file"], call["revision"], call["repo_type"]) for call in hub.downloads] == [
        (file, "c0ffee", "dataset") for file in FILES[1:3]
    ]


def test_the_revision_of_the_address_is_asked_for(hub: FakeHub) -> None:
    find_splits("hf://datasets/nyu-mll/glue@v1", glue_task("mrpc"))
    assert hub.revision_asked == "v1"


def test_a_configuration_must_be_chosen_and_exist(hub: FakeHub) -> None:
    with pytest.raises(ConfigError, match="several configurations: mrpc, sst2"):
        find_splits("hf://datasets/nyu-mll/glue")
    with pytest.raises(ConfigError, match="no configuration 'cola'; there are mrpc, sst2"):
        find_splits("hf://datasets/nyu-mll/glue", glue_task("cola"))
    split = find_splits("hf://datasets/nyu-mll/glue/sst2")["train"]
    assert read_split(split, columns=Columns("sentence")).texts_a == ["sentence 3"]


@pytest.mark.parametrize(
    "failure",
    [
        http_library.ConnectError("Name or service not known"),
        http_library.ReadTimeout("timed out"),
        errors.OfflineModeIsEnabled("offline mode is enabled"),
        ConnectionResetError("reset"),
    ],
)
def test_without_a_network_there_is_one_clear_error(hub: FakeHub, failure: Exception) -> None:
    hub.failure = failure
    with pytest.raises(DataError, match="cannot be fetched and is not in the local cache") as error:
        find_splits("hf://datasets/nyu-mll/glue", glue_task("mrpc"))
    assert "without a network" in str(error.value.hint)
    assert "\n" not in error.value.message


def test_without_a_network_the_local_cache_is_read(hub: FakeHub) -> None:
    hub.failure = http_library.ConnectError("no network")
    hub.has_cache = True
    splits = find_splits("hf://datasets/nyu-mll/glue", glue_task("mrpc"))
    assert len(read_split(splits["train"])) == 2
    assert all(call["local_files_only"] for call in hub.downloads)


def test_a_network_that_fails_during_the_download_is_one_clear_error(hub: FakeHub) -> None:
    splits = find_splits("hf://datasets/nyu-mll/glue", glue_task("mrpc"))
    hub.failure = http_library.ReadError("connection lost")
    with pytest.raises(DataError, match="connection lost"):
        read_split(splits["train"])


def test_an_unknown_data_set_is_a_config_error(hub: FakeHub) -> None:
    response = http_library.Response(404, request=http_library.Request("GET", "https://example.org"))
    hub.failure = errors.RepositoryNotFoundError("404", response=response)
    with pytest.raises(ConfigError, match="no such data set"):
        find_splits("hf://datasets/nyu-mll/gleu")


def test_an_error_of_another_kind_is_not_hidden(hub: FakeHub) -> None:
    hub.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        find_splits("hf://datasets/nyu-mll/glue", glue_task("mrpc"))
