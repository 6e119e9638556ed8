"""Uploads to the hub: what is sent, what a broken-off upload costs, and what a refusal says."""

import hashlib
import json
import math
import shutil
import time
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard, constants
from tests.hub_server import Hub, Repository, serving
from tests.unit.api.test_fine_tuned_model import TEXTS, make_model

import bertune
from bertune.api.card_facts import CardFacts
from bertune.api.hub_card import hub_card
from bertune.api.hub_push import Source, push, write_unsent
from bertune.api.hub_upload import HubTarget
from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.errors import CheckpointError, ConfigError, ResourceError
from bertune.evaluation.saved_scores import SavedScores
from bertune.evaluation.score_parts import Scoring
from bertune.evaluation.scores import score
from bertune.runtime.stored_rows import StoredRows, StoredValidation

# The hub's library sends large files in a way that its own client of HTTP has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

FACTS = CardFacts(license="mit", languages=("en",), datasets=("me/moods",), base_model="me/encoder")
SIGNATURE = ModelSignature(labels=("no", "yes"), is_pair=False, max_length=16, text_b=None)
SECRET = "hf_secret"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moods")
    make_model(folder).export(folder / "exported", format="transformers")
    return folder / "exported"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub(large=4000)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        # Its own protocol for large files has no stand-in; this is the older one that it falls back to.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        # What waits before it tries again need not wait here.
        quick = types.SimpleNamespace(sleep=lambda seconds: None, time=time.time, monotonic=time.monotonic)
        monkeypatch.setattr("huggingface_hub.utils._http.time", quick)
        yield hub


def send(exported: Path, target: HubTarget = HubTarget("me/moods"), facts: CardFacts = FACTS) -> str:  # noqa: B008
    pushed = push(Source(exported), target, facts, token=SECRET)
    assert pushed.uploaded is not None
    return pushed.uploaded.pull_request or pushed.uploaded.commit


def test_an_export_is_uploaded_as_it_was_proved_with_a_card(exported: Path, hub: Hub, tmp_path: Path) -> None:
    assert send(exported).endswith("/me/moods/commit/1")
    assert hub.repositories["me/moods"].private
    assert hub.tokens == {f"Bearer {SECRET}"}
    files = hub.files("me/moods")
    assert set(files) == {path.name for path in exported.iterdir()}
    changed = {name for name in files if files[name] != (exported / name).read_bytes()}
    assert changed == {"README.md", "agreement.json", "proof_rows.npz"}
    data: Any = ModelCard(files["README.md"].decode()).data
    assert (data.license, data.language, data.datasets, data.base_model) == ("mit", ["en"], ["me/moods"], "me/encoder")
    assert 'pipeline("text-classification", "me/moods")' in files["README.md"].decode()
    # What is downloaded from there is an export like the one that was uploaded, and can be published in its turn.
    for name, content in {**files, ".gitattributes": b"*.safetensors filter=lfs\n"}.items():
        (tmp_path / name).write_bytes(content)
    noted = tmp_path / ".cache" / "huggingface" / "download" / "config.json.metadata"
    noted.parent.mkdir(parents=True)
    noted.write_text("1\n")
    again, before = bertune.load(tmp_path), bertune.load(exported)
    np.testing.assert_array_equal(again.predict(TEXTS).logits, before.predict(TEXTS).logits)
    assert StoredRows.read(exported).rows.texts > 0
    rows = StoredRows.read(tmp_path).rows
    assert rows.texts == 0 < len(rows)
    send(tmp_path, HubTarget("me/copy"))
    assert hub.files("me/copy") == files


def test_the_same_upload_again_sends_no_file_a_second_time(exported: Path, hub: Hub) -> None:
    send(exported)
    assert hub.count("object") == len(hub.objects) >= 1
    send(exported)
    assert hub.count("object") == len(hub.objects)
    assert len(hub.repositories["me/moods"].commits) == 1


def test_a_connection_that_breaks_once_is_mended_by_the_same_upload(
    exported: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.breaks_after = 1000

    def mended(seconds: float) -> None:
        hub.breaks_after = None

    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", mended)
    send(exported)
    assert len(hub.objects) < hub.count("object") <= 2 * len(hub.objects)
    assert len(hub.files("me/moods")) == len(list(exported.iterdir()))


def test_an_upload_that_broke_off_is_finished_by_the_next(exported: Path, hub: Hub) -> None:
    hub.refusals["commit"] = (503, "down for a moment")
    with pytest.raises(ResourceError, match=r"me/moods: .*down for a moment") as caught:
        send(exported)
    assert "not sent a second time" in str(caught.value.hint)
    assert not hub.files("me/moods"), "nobody sees half of an upload"
    arrived = hub.count("object")
    assert arrived == len(hub.objects) >= 1
    del hub.refusals["commit"]
    send(exported)
    assert hub.count("object") == arrived
    assert set(hub.files("me/moods")) == {path.name for path in exported.iterdir()}


def test_a_connection_that_always_breaks_is_one_sentence_and_the_next_upload_finishes(exported: Path, hub: Hub) -> None:
    hub.breaks_after = 1000
    with pytest.raises(ResourceError, match="me/moods: the upload to the hub broke off") as caught:
        send(exported)
    assert "\n" not in caught.value.message
    assert not hub.files("me/moods")
    hub.breaks_after = None
    send(exported)
    assert set(hub.files("me/moods")) == {path.name for path in exported.iterdir()}


@pytest.mark.parametrize(
    ("route", "status", "message", "kind", "said"),
    [
        ("create", 401, "Invalid username or password", ConfigError, "the right to: Invalid username"),
        ("create", 403, "You don't have the rights", ConfigError, "write to me/moods without the right"),
        ("create", 400, "name is taken by a redirect", ConfigError, "the hub refuses me/moods: name is taken"),
        ("create", 422, "no such thing", ConfigError, "the hub refuses me/moods"),
        ("preupload", 403, "Forbidden: pass create_pr=1", ConfigError, "without the right"),
        ("preupload", 403, "Private repository storage limit reached", ResourceError, "takes no more: Private"),
        ("preupload", 404, "Repository not found", ConfigError, "has no me/moods"),
        ("commit", 409, "a commit has happened since", ConfigError, "refuses me/moods: a commit has happened"),
        ("commit", 413, "payload too large", ResourceError, "too large for the hub"),
        ("batch", 402, "billing needed", ResourceError, "takes no more"),
        ("batch", 403, "no rights", ConfigError, "without the right"),
        ("object", 413, "entity too large", ResourceError, "too large for the hub"),
        ("object", 403, "signature does not match", ConfigError, "without the right"),
        ("quota", 413, "storage quota exceeded", ResourceError, "storage quota exceeded"),
        ("commit", 500, "internal", ResourceError, "refused the upload"),
        ("card", 500, "internal", ResourceError, "refused the upload"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_with_what_to_do(
    exported: Path, hub: Hub, route: str, status: int, message: str, kind: type[bertune.BertuneError], said: str
) -> None:
    hub.refusals[route] = (status, message)
    with pytest.raises(kind, match=said) as caught:
        send(exported)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert SECRET not in caught.value.message + caught.value.hint
    assert all(not files for repository in hub.repositories.values() for files in repository.branches.values())


def test_a_card_that_the_hub_refuses_is_told_before_a_repository_is_made(exported: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError, match=r'the hub refuses the model card: .*"license" must be one of'):
        send(exported, facts=CardFacts(license="nonsense", languages=("en",), datasets=("none",), base_model="none"))
    assert not hub.repositories


def test_nothing_is_published_that_was_not_said_to_be_public(exported: Path, hub: Hub) -> None:
    hub.repositories["me/moods"] = Repository(private=False)
    with pytest.raises(ConfigError, match="me/moods is there and public") as caught:
        send(exported)
    assert "--public" in str(caught.value.hint)
    assert not hub.files("me/moods")
    send(exported, HubTarget("me/moods", public=True))
    assert hub.files("me/moods")
    send(exported, HubTarget("me/new", public=True))
    assert not hub.repositories["me/new"].private


def test_an_upload_goes_to_a_branch_or_becomes_a_pull_request(exported: Path, hub: Hub) -> None:
    send(exported, HubTarget("me/moods", revision="second"))
    assert not hub.files("me/moods")
    assert set(hub.files("me/moods", "second")) == {path.name for path in exported.iterdir()}
    assert send(exported, HubTarget("me/moods", as_pull_request=True)).endswith("/me/moods/discussions/1")
    assert not hub.files("me/moods")
    with pytest.raises(ConfigError, match="takes no revision"):
        HubTarget("me/moods", revision="second", as_pull_request=True)


def test_without_a_network_or_an_account_nothing_begins(
    exported: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ConfigError, match="nobody is logged in"):
        push(Source(exported), HubTarget("me/moods"), FACTS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        send(exported)
    assert not hub.asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match="me/moods: the upload to the hub broke off"):
        send(exported)


def test_an_export_whose_files_changed_is_not_uploaded(exported: Path, hub: Hub, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(exported, tmp_path / "changed"))
    (changed / "vocab.txt").write_text("other\n")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: has changed"):
        send(changed)
    added = Path(shutil.copytree(exported, tmp_path / "added"))
    (added / "validation.jsonl").write_text("{}\n")
    with pytest.raises(CheckpointError, match=r"validation\.jsonl: was not there"):
        send(added)
    assert not hub.asked


def test_texts_among_the_rows_of_a_proof_go_only_where_that_was_said(exported: Path, hub: Hub, tmp_path: Path) -> None:
    push(Source(exported, with_rows=True), HubTarget("me/moods"), FACTS, token=SECRET)
    assert hub.files("me/moods")["proof_rows.npz"] == (exported / "proof_rows.npz").read_bytes()
    quantized = Path(shutil.copytree(exported, tmp_path / "int8"))
    stored = StoredRows.read(quantized)
    labels = np.zeros(len(stored.expected), np.int64)
    validation = StoredValidation(stored.rows.encoded, stored.expected, labels, is_whole=True)
    replace(stored, validation=validation).write(quantized)
    agreement = json.loads((quantized / "agreement.json").read_text())
    rows_digest = hashlib.sha256((quantized / "proof_rows.npz").read_bytes()).hexdigest()
    agreement["files"]["proof_rows.npz"] = rows_digest
    (quantized / "agreement.json").write_text(json.dumps(agreement))
    with pytest.raises(ConfigError, match="proved in int8 by validation rows") as caught:
        send(quantized, HubTarget("me/int8"))
    assert "--with-rows" in str(caught.value.hint)
    assert "me/int8" not in hub.repositories
    push(Source(quantized, with_rows=True), HubTarget("me/int8"), FACTS, token=SECRET)
    assert hub.files("me/int8")["proof_rows.npz"] == (quantized / "proof_rows.npz").read_bytes()


def test_the_card_names_what_it_lacks_and_what_is_of_no_form(exported: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError, match="needs --license, --language, --dataset and --base-model") as caught:
        send(exported, facts=CardFacts())
    assert "apache-2.0" in str(caught.value.hint)
    for wrong in (
        {"license": "Apache License"},
        {"languages": ("English",)},
        {"datasets": ("a/b/c",)},
        {"datasets": ("none", "a/b")},
        {"base_model": "/models/mine"},
    ):
        with pytest.raises(ConfigError, match="--"):
            CardFacts(**wrong)  # type: ignore[arg-type]
    assert not hub.asked


def made_scores() -> SavedScores:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.0, 2.0]] * 25)
    scoring = Scoring(TaskKind.CLASSIFICATION, ("accuracy", "f1"), ("no", "[x](y) <b>"))
    return score(logits, [0, 1, 1, 1] * 25, scoring).saved()


def test_a_card_has_its_scores_with_intervals_and_comes_back_as_it_was_written() -> None:
    scores = made_scores()
    text = "---\ntags:\n- bert\n---\n\n# Moods\n"
    made = hub_card(text, "me/moods", FACTS, SIGNATURE, {"validation": scores})
    card: Any = ModelCard(made)
    assert str(card) == made
    assert (card.data.tags, card.data.license) == (["bert"], "mit")
    accuracy, f1 = card.data.eval_results
    assert (accuracy.metric_type, accuracy.dataset_type, accuracy.dataset_split) == (
        "accuracy",
        "me/moods",
        "validation",
    )
    assert math.isclose(accuracy.metric_value, 0.75)
    low, high = (100 * end for end in (scores.metrics["accuracy"].low, scores.metrics["accuracy"].high))
    assert accuracy.metric_name == f"accuracy (95 % interval {low:.1f}–{high:.1f} %, 100 rows)"  # noqa: RUF001
    assert f1.metric_type == "f1"
    assert f"accuracy 75.0 %, with 95 % confidence between {low:.1f} % and {high:.1f} %" in made
    assert "<b>" not in card.text
    assert hub_card(made, "me/moods", FACTS, SIGNATURE, {"validation": scores}) == made, "written again it is the same"
    for damaged in ("---\n- no\n- object\n---\n", "---\na: [\n---\n", "---\nmodel-index: 3\n---\n"):
        with pytest.raises(ConfigError, match=r"README\.md: its metadata cannot be read"):
            hub_card(damaged, "me/moods", FACTS, SIGNATURE, {})


def test_a_card_of_unpublished_parts_says_nothing_of_them() -> None:
    facts = CardFacts(license="mit", languages=("en", "de"), datasets=("none",), base_model="none")
    text = "---\nbase_model: me/other\n---\n\n# Moods\n"
    data = ModelCard(hub_card(text, "me/moods", facts, SIGNATURE, {"test": made_scores()})).data.to_dict()
    assert "base_model" not in data
    assert "datasets" not in data
    assert data["language"] == ["en", "de"]
    (result,) = {entry["dataset"]["type"] for entry in data["model-index"][0]["results"]}
    assert result == "unpublished"


def test_a_dry_run_writes_the_folder_and_asks_nobody(exported: Path, hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "dry"
    written = write_unsent(Source(exported), out, "me/moods", FACTS)
    assert written.uploaded is None
    assert sorted(path.name for path in out.iterdir()) == list(written.files)
    assert json.loads((out / "agreement.json").read_text())["format"] == "transformers"
    assert not hub.asked
    with pytest.raises(ConfigError, match="exists"):
        write_unsent(Source(exported), out, "me/moods", FACTS)
