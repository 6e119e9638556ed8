from dataclasses import replace
from pathlib import Path

import pytest

from bertune.checkpoints.model_card import card_text, with_answers_of
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.deberta import DebertaV2Config


def front_matter(card: str) -> str:
    start, matter, _ = card.split("---\n", 2)
    assert start == ""
    return matter


def test_the_card_says_what_goes_in_and_what_comes_out(classifier: Classifier, signature: ModelSignature) -> None:
    card = card_text(classifier, signature, {"metrics": {"f1": 0.8512, "accuracy": 0.79}, "rows": 408})
    assert "takes pairs of texts of at most 48 tokens together; gives labels in this order: different, same" in card
    assert "validation, 408 rows: F1 of 'same' 85.1 %, accuracy 79.0 %" in card
    assert 'pipeline("text-classification", "THIS_FOLDER")' in card
    assert '"text_pair"' in card
    assert "library_name: transformers" in front_matter(card)
    assert "validation" not in card_text(classifier, signature, None)


def test_single_texts_and_values_are_said_to_be_so(sizes: BertConfig) -> None:
    regressor, _ = classifier_model(sizes, 1)
    card = card_text(regressor, ModelSignature(labels=(), is_pair=False, max_length=9, kind="regression"), None)
    assert "takes single texts of at most 9 tokens" in card
    assert "gives one value" in card
    assert "text_pair" not in card


def test_a_mean_pooled_card_claims_nothing_of_transformers(sizes: BertConfig, signature: ModelSignature) -> None:
    classifier, _ = classifier_model(sizes, 2, pooling="mean")
    card = card_text(classifier, signature, None)
    assert "library_name: bertune" in front_matter(card)
    assert "does not load there" in card
    assert "from transformers import" not in card


def test_only_a_table_of_positions_ends(sizes: BertConfig, signature: ModelSignature) -> None:
    classifier, _ = classifier_model(sizes, 2)
    assert "tokens fail there;" in card_text(classifier, signature, None)
    small = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    without, _ = classifier_model(DebertaV2Config(**small, intermediate_size=32), 2)  # type: ignore[arg-type]
    assert "tokens are read whole there;" in card_text(without, signature, None)


@pytest.mark.parametrize(
    ("base_model", "is_named"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("/models/mine", False),
        ("./models/mine", False),
        ("C:\\models/mine", False),
        ("owner/name\nlicense: mit", False),
        ("folder/here", False),
        ("", False),
    ],
)
def test_only_a_name_of_the_hub_goes_into_the_metadata(
    classifier: Classifier,
    signature: ModelSignature,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    base_model: str,
    is_named: bool,
) -> None:
    (tmp_path / "folder" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    matter = front_matter(card_text(classifier, replace(signature, base_model=base_model), None))
    assert (f"base_model: {base_model}\n" in matter) == is_named
    assert ("base_model" in matter) == is_named


def test_the_card_says_whose_probabilities_are_calibrated(classifier: Classifier, signature: ModelSignature) -> None:
    assert "- probabilities: those of the logits as they are, not calibrated" in card_text(classifier, signature, None)
    chosen = replace(signature, temperature=1.8437, thresholds=(0.4312,))
    card = card_text(classifier, chosen, None)
    assert "divides the logits by the temperature 1.844" in card
    assert "probabilities in other programs, transformers among them, are not calibrated" in card
    assert "bertune gives same from 0.4312 on, chosen on validation data; other programs give the most probable" in card


def test_a_card_that_was_edited_changes_only_in_what_follows_from_the_signature(
    classifier: Classifier, signature: ModelSignature
) -> None:
    chosen = replace(signature, temperature=2.0, thresholds=(0.25,))
    old, new = (card_text(classifier, each, None) for each in (signature, chosen))
    assert with_answers_of(old, chosen) == new
    assert with_answers_of(new, signature) == old
    assert with_answers_of("my words\n" + old + "more", chosen) == "my words\n" + new + "more"
    assert with_answers_of("all my own\n", chosen) == "all my own\n"


def test_labels_are_text_on_the_card_whatever_they_hold(classifier: Classifier) -> None:
    labels = ("<img src=x onerror=alert(1)>", "a\n## Use\nrm -rf\x1b[2J\u202e", "[here](https://evil)")
    signature = ModelSignature(
        labels=labels, is_pair=False, max_length=48, kind="multi-label", thresholds=(0.3, 0.4, 0.5)
    )
    card = card_text(classifier, signature, None)
    assert "<img" not in card
    assert "[here]" not in card.replace("\\[here\\]", "")
    assert card.count("\n## Use") == 1
    assert not set(card) & {"\x1b", "\u202e"}
    assert "&lt;img src=x onerror=alert(1)&gt;, a\\n## Use\\nrm -rf\\x1b" in card
