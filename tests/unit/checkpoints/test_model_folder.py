import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open

from bertune.checkpoints import model_folder as model_directory
from bertune.checkpoints.model_folder import check_vocabulary, load, save
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import CheckpointError, ConfigError, DataError, ResourceError
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder
from bertune.system import atomic
from bertune.tokenization.tokenizer import BertTokenizer

FILES = {
    "README.md",
    "SHA256SUMS",
    "bertune.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}


@pytest.fixture
def folder(tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature) -> Path:
    return save(classifier, tmp_path / "run" / "model", tokenizer=tokenizer, signature=signature)


def changed(classifier: Classifier) -> Classifier:
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(1.0)
    return classifier


def digest_of(folder: Path) -> str:
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert hashes.keys() == FILES
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "something was left behind"
    return json.dumps(hashes, sort_keys=True)


def assert_equal(first: Classifier, second: Classifier) -> None:
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_tanh", "relu"])
def test_a_saved_model_is_loaded_bit_for_bit(
    tmp_path: Path,
    sizes: BertConfig,
    tokenizer: BertTokenizer,
    signature: ModelSignature,
    pooling: Any,
    activation: str,
) -> None:
    config = BertConfig.from_dict(sizes.to_dict() | {"hidden_act": activation})
    classifier, _ = classifier_model(config, 2, pooling=pooling)
    loaded = load(save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=signature))
    assert_equal(loaded.classifier, classifier)
    assert not loaded.classifier.training
    assert loaded.signature == replace(signature, pooling=pooling, tokenizer_digest=tokenizer.digest)
    assert loaded.tokenizer.digest == tokenizer.digest
    batch = {name: torch.ones(1, 3, dtype=torch.long) for name in ("input_word_ids", "input_mask", "input_type_ids")}
    assert torch.equal(loaded.classifier(batch), classifier.eval()(batch))


def test_a_mean_pooled_classifier_on_an_encoder_with_pooler_is_saved_and_loaded(
    tmp_path: Path, encoder: Encoder, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    classifier = Classifier(encoder, 2, pooling="mean").eval()
    loaded = load(save(classifier, tmp_path / "model", tokenizer=tokenizer, signature=signature)).classifier
    batch = {name: torch.ones(1, 3, dtype=torch.long) for name in ("input_word_ids", "input_mask", "input_type_ids")}
    assert torch.equal(loaded(batch), classifier(batch))


def test_loading_sets_every_weight_and_draws_no_random_number(folder: Path, classifier: Classifier) -> None:
    before = torch.get_rng_state()
    loaded = load(folder).classifier
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in loaded.parameters())
    assert all(name in dict(loaded.named_parameters()) for name in loaded.state_dict())
    assert_equal(loaded, classifier)


def test_a_regressor_is_saved_and_loaded(tmp_path: Path, sizes: BertConfig, tokenizer: BertTokenizer) -> None:
    classifier, _ = classifier_model(sizes, 1)
    signature = ModelSignature(labels=(), is_pair=False, max_length=16, kind="regression", target_mean=2.5)
    assert_equal(
        load(save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature)).classifier, classifier
    )


def test_weights_are_written_as_fp32_under_the_names_of_transformers(folder: Path, classifier: Classifier) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"F32"}
        assert file.metadata() == {"format": "pt"}
    assert "bert.encoder.layer.1.attention.self.key.weight" in names
    assert {"classifier.weight", "classifier.bias"} <= names
    assert len(names) == 5 + 2 * 16 + 2 + 2


def test_saving_twice_gives_the_same_bytes(
    folder: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    before = digest_of(folder)
    save(classifier, folder, tokenizer=tokenizer, signature=signature)
    assert digest_of(folder) == before


def test_the_files_are_readable_to_all_who_may_read_a_new_file(folder: Path) -> None:
    (folder.parent / "new").write_text("")
    expected = (folder.parent / "new").stat().st_mode
    assert {path.name: path.stat().st_mode for path in folder.iterdir()} == dict.fromkeys(FILES, expected)


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
def test_one_changed_byte_in_any_file_is_refused_and_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    for position in sorted({0, len(content) // 3, len(content) // 2, len(content) - 2}):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (folder / name).write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            load(folder)
        # A digest that was changed cannot be told from a file that was.
        assert name == "SHA256SUMS" or name in caught.value.message
        assert "\n" not in caught.value.message
    (folder / name).write_bytes(content)
    load(folder)


@pytest.mark.parametrize("times", [1, 99])
def test_a_folder_replaced_while_it_is_read_is_read_again(
    folder: Path,
    classifier: Classifier,
    tokenizer: BertTokenizer,
    signature: ModelSignature,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
) -> None:
    """Never the signature of one model and the weights of another, though every digest fits."""
    replaced = 0
    read = read_signature

    def replace_after(path: Path) -> ModelSignature:
        nonlocal replaced
        found = read(path)
        if replaced < times:
            replaced += 1
            other = replace(signature, labels=tuple(f"{label} {replaced}" for label in signature.labels))
            save(changed(classifier), folder, tokenizer=tokenizer, signature=other)
        return found

    monkeypatch.setattr(model_directory, "read_signature", replace_after)
    if times == 99:
        with pytest.raises(CheckpointError, match="was replaced while it was read"):
            load(folder)
        return
    loaded = load(folder)
    assert loaded.signature.labels == tuple(f"{label} 1" for label in signature.labels)
    assert_equal(loaded.classifier, classifier)


@pytest.mark.parametrize("name", sorted(FILES - {"README.md"}))
def test_a_missing_file_is_refused_and_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises((CheckpointError, DataError), match=name):
        load(folder)


def test_the_card_may_be_edited_or_removed(folder: Path) -> None:
    signature = load(folder).signature
    (folder / "README.md").write_text("mine")
    assert load(folder).signature == signature
    (folder / "README.md").unlink()
    assert load(folder).signature == signature


@pytest.mark.parametrize("line", range(6))
def test_a_digest_that_was_struck_out_is_refused(folder: Path, line: int) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    name = lines.pop(line).split()[1]
    (folder / "SHA256SUMS").write_text("".join(lines))
    with pytest.raises(CheckpointError, match=f"the list of digests is damaged: it lacks {name}"):
        load(folder)


def test_the_digests_are_those_of_sha256sum(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.count(b": OK") == len(FILES) - 2  # neither the list itself nor the card


def test_a_later_version_and_no_model_are_refused(folder: Path, tmp_path: Path) -> None:
    values = json.loads((folder / "bertune.json").read_text())
    (folder / "bertune.json").write_text(json.dumps(values | {"format_version": 2}))
    with pytest.raises(CheckpointError, match="format_version is not 1"):
        load(folder)
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no model in this folder, but one in .*run"):
        load(tmp_path)


def sign_again(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", {"hidden_size": 64}, "hidden_size is 64 there, the weights have 32"),
        ("bertune.json", {"labels": ["a", "b", "c"], "label_counts": []}, r"classifier\.weight is missing or not"),
        ("bertune.json", {"tokenizer_digest": "0"}, "the tokenizer is not the one"),
        ("tokenizer_config.json", {"do_lower_case": True}, "tokenizer"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused_even_with_right_digests(
    folder: Path, name: str, change: dict[str, Any], message: str
) -> None:
    values = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(values | change))
    sign_again(folder)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize("content", [{"notes.txt": "x"}, {"bertune.json": "{}", "thesis.tex": "x"}])
def test_a_folder_that_holds_something_else_is_never_replaced(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature, content: dict[str, str]
) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    for name, text in content.items():
        (target / name).write_text(text)
    with pytest.raises(ConfigError, match="mine"):
        save(classifier, target, tokenizer=tokenizer, signature=signature)
    assert {path.name for path in target.iterdir()} == content.keys()
    with pytest.raises(ConfigError, match="is not a model folder"):
        save(classifier, target / next(iter(content)), tokenizer=tokenizer, signature=signature)


def test_an_empty_folder_is_filled(
    tmp_path: Path, classifier: Classifier, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    (tmp_path / "empty").mkdir()
    loaded = load(save(classifier, tmp_path / "empty", tokenizer=tokenizer, signature=signature))
    assert loaded.signature == replace(signature, tokenizer_digest=tokenizer.digest)
    assert all(map(torch.equal, loaded.classifier.parameters(), classifier.parameters()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "b", "c"), "label_counts": ()}, "the signature has 3 outputs, the classifier 2"),
        ({"max_length": 65}, r"max_length \(65\) exceeds the encoder's 64 positions"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path,
    classifier: Classifier,
    tokenizer: BertTokenizer,
    signature: ModelSignature,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=replace(signature, **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_with_more_pieces_than_the_encoder_has_rows_is_refused(
    tmp_path: Path, sizes: BertConfig, tokenizer: BertTokenizer, signature: ModelSignature
) -> None:
    small, _ = classifier_model(BertConfig.from_dict(sizes.to_dict() | {"vocab_size": 100}), 2)
    with pytest.raises(ConfigError, match="the tokenizer has 1007 pieces, the encoder has room for 100"):
        save(small, tmp_path / "m", tokenizer=tokenizer, signature=signature)


STEPS = [
    (model_directory, "save_file"),
    (model_directory, "config_values"),
    (model_directory, "_write_json"),
    (BertTokenizer, "save"),
    (model_directory, "card_text"),
    (model_directory, "write_digests"),
    (atomic, "flush"),
    (atomic, "put_in_place"),
]


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_an_error_at_any_step_leaves_the_old_model_and_nothing_else(
    folder: Path,
    classifier: Classifier,
    tokenizer: BertTokenizer,
    signature: ModelSignature,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    step: str,
) -> None:
    before = digest_of(folder)

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="No space"):
        save(changed(classifier), folder, tokenizer=tokenizer, signature=signature)
    assert digest_of(folder) == before
    load(folder)


def test_weights_that_cannot_be_written_are_a_lack_of_resources(
    tmp_path: Path,
    classifier: Classifier,
    tokenizer: BertTokenizer,
    signature: ModelSignature,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(model_directory, "save_file", full)
    with pytest.raises(ResourceError, match=r"model\.safetensors: cannot be written .*No space"):
        save(classifier, tmp_path / "m", tokenizer=tokenizer, signature=signature)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from bertune.system import atomic
from bertune.checkpoints import model_folder as model_directory
from bertune.checkpoints.model_folder import load, save
from bertune.tokenization.tokenizer import BertTokenizer

owners = {"atomic": atomic, "model_directory": model_directory, "tokenizer": BertTokenizer}

def kill_at(owner, step, after):
    real = getattr(owners[owner], step)
    def killing(*arguments, **options):
        if not after:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owners[owner], step, killing)

folder = Path(sys.argv[1])
model = load(folder)
with torch.no_grad():
    for parameter in model.classifier.parameters():
        parameter.add_(1.0)
for step in sys.argv[2:]:
    owner, name, after = step.split(":")
    if os.fork() == 0:
        kill_at(owner, name, after == "after")
        save(model.classifier, folder, tokenizer=model.tokenizer, signature=model.signature)
        os._exit(1)
    _, status = os.wait()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    value = float(load(folder).classifier.classifier.bias.detach().sum())
    print(step, value)
"""


def test_a_process_killed_while_saving_leaves_a_whole_model(folder: Path, classifier: Classifier) -> None:
    old = float(classifier.classifier.bias.detach().sum())
    before = [f"model_directory:{step}:{when}" for step in ("save_file", "_write_json") for when in ("before", "after")]
    before += ["tokenizer:save:after", "model_directory:write_digests:after", "atomic:flush:after"]
    before += ["atomic:put_in_place:before"]
    after = ["atomic:put_in_place:after"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *before, *after],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert signal.SIGKILL == 9
    bias = dict(line.split() for line in done.stdout.splitlines())
    assert [float(bias[step]) for step in before] == pytest.approx([old] * len(before))
    assert float(bias[after[0]]) == pytest.approx(old + 2)


@pytest.mark.parametrize(
    ("words", "rows", "fits"), [(1007, 1007, True), (1007, 1008, True), (1007, 1024, True), (1007, 1009, True)]
)
def test_a_table_with_spare_rows_is_no_mismatch(
    tokenizer: BertTokenizer, sizes: BertConfig, words: int, rows: int, fits: bool, tmp_path: Path
) -> None:
    assert tokenizer.vocab_size == words
    encoder = Encoder.from_config(BertConfig.from_dict(sizes.to_dict() | {"vocab_size": rows}))
    check_vocabulary(tokenizer, encoder, tmp_path)


@pytest.mark.parametrize("rows", [1006, 1520, 30522])
def test_another_vocabulary_is_refused_with_both_sizes(
    tokenizer: BertTokenizer, sizes: BertConfig, rows: int, tmp_path: Path
) -> None:
    encoder = Encoder.from_config(BertConfig.from_dict(sizes.to_dict() | {"vocab_size": rows}))
    with pytest.raises(CheckpointError, match=f"the vocabulary has 1007 entries, .* has {rows} rows"):
        check_vocabulary(tokenizer, encoder, tmp_path)
