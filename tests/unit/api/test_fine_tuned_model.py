"""The methods of a loaded model: what the functions of the same names do, for one text as for many."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.hub_server import Hub, serving

import bertune
from bertune.errors import ConfigError

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
TEXTS = ["a b", "c", "d e f"]
PAIRS = [("a b", "c"), ("d", "e f g h"), ("h", "h")]


def make_model(folder: Path, *, is_pair: bool = False, kind: str = "classification") -> bertune.Model:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    sizes = bertune.BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    is_value = kind == "regression"
    signature = bertune.ModelSignature(
        labels=() if is_value else ("no", "yes"),
        kind="regression" if is_value else "classification",
        metrics=("pearson",) if is_value else ("accuracy",),
        is_pair=is_pair,
        max_length=16,
        text_a="text",
        text_b="other" if is_pair else None,
        label="label",
    )
    classifier, _ = bertune.classifier_model(sizes, 1 if is_value else 2, seed=1)
    tokenizer = bertune.BertTokenizer(folder / "vocab.txt")
    bertune.save(classifier, folder / "model", tokenizer=tokenizer, signature=signature)
    return bertune.load(folder / "model")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bertune.Model:
    return make_model(tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def pair_model(tmp_path_factory: pytest.TempPathFactory) -> bertune.Model:
    return make_model(tmp_path_factory.mktemp("pairs"), is_pair=True)


def test_a_loaded_model_is_what_the_functions_take(model: bertune.Model) -> None:
    assert isinstance(model, bertune.LoadedModel)
    assert repr(model) == "Model(classification of 'no', 'yes'; texts of up to 16 tokens)"
    expected = bertune.predict(model, TEXTS)
    np.testing.assert_array_equal(model.predict(TEXTS).logits, expected.logits)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), expected.probabilities)
    assert model.labels == ("no", "yes")
    assert [prediction.label for prediction in model.predict(TEXTS)] == [
        model.predict(TEXTS)[row].label for row in range(3)
    ]


def test_one_text_is_a_list_of_one(model: bertune.Model) -> None:
    # A row's last bits depend on the batch that it is in.
    np.testing.assert_allclose(model.predict("c").logits, model.predict(TEXTS).logits[[1]], rtol=1e-5)
    assert model.predict("c")[0].to_dict() == next(iter(model.predict(["c"]))).to_dict()
    assert model.explain("d e f")[0].texts == ("d e f",)
    assert len(model.predict(("a b", "c"))) == 2, "of single texts a tuple is two of them"


def test_one_pair_is_a_list_of_one(pair_model: bertune.Model) -> None:
    one = pair_model.predict(("d", "e f g h"))
    assert len(one) == 1
    np.testing.assert_array_equal(one.logits, pair_model.predict([("d", "e f g h")]).logits)
    assert pair_model.explain(("d", "e f"))[0].texts == ("d", "e f")
    assert len(pair_model.predict(((("a", "b")), ("c", "d")))) == 2, "a tuple of pairs is several pairs"
    with pytest.raises(ConfigError, match="one text a row"):
        pair_model.predict("a b")


def test_tables_are_taken_by_every_method(pair_model: bertune.Model) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(PAIRS, columns=["other", "text"])
    expected = pair_model.predict_proba([(second, first) for first, second in PAIRS])
    np.testing.assert_array_equal(pair_model.predict_proba(frame), expected)
    np.testing.assert_array_equal(
        pair_model.predict_proba(frame, text_a="other", text_b="text"), pair_model.predict_proba(PAIRS)
    )
    frame["label"] = ["no", "yes", "no"]
    scores = pair_model.evaluate(frame)
    assert scores.rows == 3
    assert scores.values == pair_model.evaluate(([(b, a) for a, b in PAIRS], frame["label"])).values
    assert scores.values == bertune.evaluate(pair_model, frame)[0].values


def test_a_model_of_values_has_no_probabilities(tmp_path: Path) -> None:
    values = make_model(tmp_path, kind="regression")
    assert isinstance(values.predict("a b")[0].value, float)
    with pytest.raises(ConfigError, match="no probabilities"):
        values.predict_proba("a b")


def test_a_model_is_saved_and_exported(model: bertune.Model, tmp_path: Path) -> None:
    again = bertune.load(model.save(tmp_path / "copy"))
    np.testing.assert_array_equal(again.predict(TEXTS).logits, model.predict(TEXTS).logits)
    agreement = model.export(tmp_path / "exported", format="tf_checkpoint")
    assert agreement.max_difference <= agreement.tolerance
    assert model.to("cpu") is model


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serving(Hub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


CARD = {"license": "mit", "language": "en", "datasets": "me/texts", "base_model": "none"}


def test_a_model_goes_to_the_hub_in_a_private_repository(model: bertune.Model, hub: Hub, tmp_path: Path) -> None:
    address = model.push_to_hub("me/moods", token="hf_secret", **CARD)
    assert address.endswith("/me/moods/commit/1")
    assert hub.repositories["me/moods"].private
    assert hub.tokens == {"Bearer hf_secret"}
    files = hub.files("me/moods")
    assert set(files) == {path.name for path in model.save(tmp_path / "copy").iterdir()} | {
        "agreement.json",
        "proof.json",
        "proof_rows.npz",
    }
    for name, content in files.items():
        target = tmp_path / "from_hub" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    again = bertune.load(tmp_path / "from_hub")
    np.testing.assert_array_equal(again.predict(TEXTS).logits, model.predict(TEXTS).logits)


def test_a_name_that_the_hub_has_not_and_a_card_that_lacks_something_send_nothing(
    model: bertune.Model, hub: Hub
) -> None:
    with pytest.raises(ConfigError, match="no name of a repository"):
        model.push_to_hub("no such//name", token="hf_secret", **CARD)
    with pytest.raises(ConfigError, match="the model card needs --license"):
        model.push_to_hub("me/moods", token="hf_secret", language="en", datasets="none", base_model="none")
    assert not hub.asked
