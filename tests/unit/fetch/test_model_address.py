import pytest

from bertune.errors import CheckpointError
from bertune.fetch.model_address import is_address, parse_address, without_query

LESSON = "gs://cloud-tpu-checkpoints/bert/v3/uncased_L-12_H-768_A-12"
PUBLIC = "https://storage.googleapis.com/cloud-tpu-checkpoints/bert/v3/uncased_L-12_H-768_A-12"


@pytest.fixture(autouse=True)
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)


def test_a_bucket_is_read_through_its_public_address() -> None:
    for text in (LESSON, LESSON + "/", "GS" + LESSON[2:]):
        address = parse_address(text)
        assert address.url == PUBLIC
        assert address.file_url("vocab.txt") == f"{PUBLIC}/vocab.txt"
        assert not address.is_archive
        assert address.entry_name == parse_address(PUBLIC).entry_name
    assert parse_address("gs://bucket/a folder").url.endswith("/a%20folder")
    # The name of an object is no address: its % is a plain character.
    assert parse_address("gs://bucket/100%").url.endswith("/100%25")


def test_another_host_may_speak_for_google(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("localhost:9023", "http://localhost:9023", "http://localhost:9023/"):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
        assert parse_address("gs://bucket/model").url == "http://localhost:9023/bucket/model"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://fake.example:4443")
    with pytest.raises(CheckpointError, match="can be changed on its way"):
        parse_address("gs://bucket/model")


@pytest.mark.parametrize("end", ["bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_a_checkpoint_in_the_folder_can_be_named(end: str) -> None:
    address = parse_address(f"{LESSON}/{end}")
    assert (address.url, address.checkpoint) == (PUBLIC, "bert_model.ckpt")
    assert parse_address(f"{LESSON}/model.ckpt-28252").checkpoint == "model.ckpt-28252"


@pytest.mark.parametrize(
    "text",
    [
        "https://storage.googleapis.com/bert_models/2020_02_20/uncased_L-12_H-768_A-12.zip",
        "gs://bucket/model.tar.gz",
        "https://host.example/model.TGZ?signature=1",
        "https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4?tf-hub-format=compressed",
        "https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4",
    ],
)
def test_archives_and_hub_modules_are_known_by_their_address(text: str) -> None:
    address = parse_address(text)
    assert address.is_archive
    if "tfhub" in text:
        assert address.file_url().endswith("/4?tf-hub-format=compressed")


def test_a_signature_goes_with_every_file_and_into_no_message() -> None:
    address = parse_address("https://host.example/model/?sig=secret#part")
    assert address.file_url("vocab.txt") == "https://host.example/model/vocab.txt?sig=secret"
    assert "secret" not in address.shown + address.entry_name


def test_entries_are_readable_and_different_for_different_addresses() -> None:
    texts = [
        "https://a.example/x/m",
        "https://a.example/y/m",
        "https://a.example/x/m?v=2",
        "https://a.example/x/m/k.ckpt",
    ]
    names = [parse_address(text).entry_name for text in texts]
    assert len(set(names)) == 4
    assert names[0].startswith("a.example-m-")
    assert len(parse_address("https://a.example/" + "x" * 900).entry_name) < 120


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://host.example/model", "can be changed on its way"),
        ("http://127.0.0.1.evil.example/model", "can be changed on its way"),
        ("https://me:secret@host.example/model", "holds a login"),
        ("https:///model", "no host"),
        ("https://", "no host"),
        ("https://host.example:port/model", "not an address"),
        ("https://host.example/a/../b", "a . or .. in it"),
        ("gs://bucket/../other", "a . or .. in it"),
        ("gs://", "not the name of a bucket"),
        ("gs://UPPER/model", "not the name of a bucket"),
        ("gs://me@bucket/model", "not the name of a bucket"),
        ("https://host.example/a b", "not an address"),
        ("https://host.example/a\nerror: x", "not an address"),
        ("https://host.example/\x1b[31m", "not an address"),
        ("https://[::1/model", "not an address"),
        ("https://host.example/" + "x" * 3000, "not an address"),
    ],
)
def test_what_is_no_address_is_refused_in_one_line(text: str, message: str) -> None:
    assert is_address(text)
    with pytest.raises(CheckpointError, match=message) as caught:
        parse_address(text)
    assert caught.value.message.isprintable()
    assert "secret" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("host", ["localhost:80", "127.0.0.1:1", "127.8.8.8", "[::1]:80"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    assert parse_address(f"http://{host}/model").url == f"http://{host}/model"


@pytest.mark.parametrize("text", ["bert-base-uncased", "owner/name", "hf://owner/name", "/a/b", "s3://b/k", "gs:/b/k"])
def test_other_names_are_no_addresses(text: str) -> None:
    assert not is_address(text)


def test_a_signature_is_taken_from_addresses_alone() -> None:
    assert without_query("https://host.example/model.zip?sig=secret") == "https://host.example/model.zip"
    assert without_query("/what?/model") == "/what?/model"
