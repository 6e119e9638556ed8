"""Model folders whose tokenizer has no vocab.txt."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.tokenization import trained
from tests.unit.tokenization.test_family_files import byte_level, spm
from tests.unit.tokenization.trained import TEXTS, save, sentencepiece, trained_pieces

from bertune import encode_examples, predict
from bertune.batches.batch import pack
from bertune.checkpoints import model_folder as model_directory
from bertune.checkpoints.model_digests import model_digest
from bertune.checkpoints.model_files import holds_model, tokenizer_folder
from bertune.checkpoints.model_folder import load, replace_signature
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import CheckpointError, ConfigError
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_files import ALL_FILES, VOCABULARY_FILES
from bertune.tokenization.tokenizer_protocol import Tokenizer

FILES = {"README.md", "SHA256SUMS", "bertune.json", "config.json", "model.safetensors"}
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json"}
SIGNATURE = ModelSignature(labels=("down", "up"), is_pair=False, max_length=24)


@pytest.fixture(params=["tokenizer.json", "vocab.json", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    if request.param == "tokenizer.json":
        return read_tokenizer(save(trained.unigram(), tmp_path / "given"))
    if request.param == "vocab.json":
        return read_tokenizer(byte_level(tmp_path / "given"))
    return read_tokenizer(spm(tmp_path / "given", sentencepiece(trained_pieces())))


@pytest.fixture
def classifier(sizes: BertConfig, tokenizer: Tokenizer) -> Classifier:
    return classifier_model(replace(sizes, vocab_size=tokenizer.vocab_size), 2, seed=4)[0].eval()


@pytest.fixture
def folder(tmp_path: Path, classifier: Classifier, tokenizer: Tokenizer) -> Path:
    return model_directory.save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=SIGNATURE)


def test_a_model_comes_back_with_its_tokenizer(folder: Path, classifier: Classifier, tokenizer: Tokenizer) -> None:
    assert {path.name for path in folder.iterdir()} == FILES | TOKENIZER_FILES
    loaded = load(folder)
    assert loaded.tokenizer.digest == tokenizer.digest == loaded.signature.tokenizer_digest
    batches = [pack(encode_examples(TEXTS[:4], None, each, 24)) for each in (tokenizer, loaded.tokenizer)]
    assert torch.equal(batches[0].token_ids, batches[1].token_ids)
    assert len(predict(loaded, TEXTS[:4])) == 4
    assert json.loads((folder / "tokenizer_config.json").read_bytes())["model_max_length"] == 64


def test_it_is_saved_over_and_given_another_signature(
    folder: Path, classifier: Classifier, tokenizer: Tokenizer
) -> None:
    before = model_digest(folder)
    replace_signature(folder, replace(load(folder).signature, temperature=1.5))
    assert load(folder).signature.temperature == 1.5
    assert {path.name for path in folder.iterdir()} == FILES | TOKENIZER_FILES
    assert model_digest(folder) != before
    model_directory.save(classifier, folder, tokenizer=tokenizer, signature=SIGNATURE)
    assert model_digest(folder) == before


@pytest.mark.parametrize("name", sorted(TOKENIZER_FILES))
def test_its_files_are_checked(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"{", b"{ ", 1))
    with pytest.raises(CheckpointError, match=f"{name}: the file was changed or damaged"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        load(folder)


def test_a_vocabulary_that_the_list_does_not_know_is_noticed(folder: Path) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(CheckpointError, match=r"the list of digests is damaged: it lacks vocab\.txt"):
        load(folder)


def test_the_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path, classifier: Classifier) -> None:
    other = read_tokenizer(save(trained.modern(), tmp_path / "other"))
    assert other.vocab_size != classifier.encoder.config.vocab_size
    sizes = classifier.encoder.config
    small, large = (classifier_model(replace(sizes, vocab_size=size), 2, seed=1)[0] for size in (100, 9000))
    with pytest.raises(ConfigError, match="the tokenizer has"):
        model_directory.save(small, tmp_path / "x", tokenizer=other, signature=SIGNATURE)
    with pytest.raises(CheckpointError, match="the vocabulary has"):
        model_directory.check_vocabulary(other, large.encoder, folder)


def test_every_vocabulary_makes_a_folder_a_models(tmp_path: Path) -> None:
    for name in VOCABULARY_FILES:
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        assert not holds_model(folder)
        (folder / name).touch()
        assert holds_model(folder)
        assert tokenizer_folder(folder) == folder
        (folder / "assets").mkdir()
        (folder / name).rename(folder / "assets" / name)
        assert tokenizer_folder(folder) == folder / "assets"


def test_no_list_of_files_forgets_one() -> None:
    """The hub, archives and addresses take their names from one place."""
    from bertune.fetch import archive
    from bertune.fetch import resolve as hub

    assert set(ALL_FILES) <= set(hub._FILES)
    assert all(archive._WANTED.fullmatch(name) for name in ALL_FILES)
