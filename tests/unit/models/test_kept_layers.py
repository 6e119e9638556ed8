"""A cut of some layers: the weights are those of the layers it names, and what is saved is such an encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertune.checkpoints.cut_receipt import cut_receipt
from bertune.checkpoints.model_folder import load, save
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.logits import predict_logits
from bertune.models.albert import AlbertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder_config import EncoderConfig
from bertune.models.kept_layers import copy_kept, cut_config, kept_name
from bertune.models.modernbert import ModernBertConfig
from bertune.models.registry import FAMILIES
from bertune.tokenization.encode_texts import encode_examples
from bertune.tokenization.tokenizer import BertTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(60))]
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
}
# Of DeBERTa, whose buckets are of a larger size than these positions.
BUCKETS = {"position_buckets": 16}
SEPARATE = [family for family in FAMILIES if family.name != "ALBERT"]


def cut(config: EncoderConfig, kept: tuple[int, ...]) -> tuple[Classifier, Classifier]:
    """A classifier with random weights, and the cut of it."""
    whole, encoder = classifier_model(config, 2, pooling=config.pooling, seed=1)
    with torch.no_grad():
        for number, parameter in enumerate(encoder.parameters()):
            parameter.add_(torch.randn_like(parameter) * 0.05 + 0.001 * number)
    shallow, own = classifier_model(cut_config(config, kept), 2, pooling=config.pooling, seed=2)
    copy_kept(encoder, own, kept)
    return whole.eval(), shallow.eval()


@pytest.mark.parametrize("family", SEPARATE, ids=lambda family: family.name)
def test_the_layers_of_a_cut_are_those_it_names_and_the_rest_is_kept(family: Any) -> None:
    of_family = BUCKETS if family.name.startswith("DeBERTa") else {}
    whole, shallow = cut(family.config(**SIZES, **of_family), (0, 3, 4))
    assert len(shallow.encoder.layers) == shallow.encoder.config.num_hidden_layers == 3
    wanted = dict(shallow.encoder.named_parameters())
    for own, of_whole in enumerate((0, 3, 4)):
        for name, parameter in whole.encoder.layers[of_whole].named_parameters():
            assert torch.equal(wanted.pop(f"layers.{own}.{name}"), parameter)
    for name, parameter in wanted.items():
        assert not name.startswith("layers.")
        assert torch.equal(parameter, whole.encoder.get_parameter(name))


@pytest.mark.parametrize(("config", "model"), [("BertConfig", "Bert"), ("ModernBertConfig", "ModernBert")])
def test_a_saved_cut_loads_in_transformers_and_answers_the_same(config: str, model: str, tmp_path: Path) -> None:
    family = next(each for each in FAMILIES if each.config.__name__ == config)
    _, shallow = cut(family.config(**SIZES), (0, 2, 3))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizer(tmp_path / "vocab.txt")
    signature = ModelSignature(labels=("down", "up"), is_pair=False, max_length=16)
    folder = save(shallow, tmp_path / "model", tokenizer=tokenizer, signature=signature)
    theirs = getattr(transformers, f"{model}ForSequenceClassification").from_pretrained(folder).eval()
    assert theirs.config.num_hidden_layers == 3
    if config == "ModernBertConfig":
        assert theirs.config.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    encoded = encode_examples(["w1 w2 w3", "w7 w4 w9"], None, tokenizer, 16)
    ids = torch.from_numpy(encoded.token_ids.astype(np.int64)).view(2, -1)
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()
    for classifier in (shallow, load(folder).classifier):
        assert np.abs(predict_logits(classifier, encoded) - expected).max() < 1e-5


def test_layers_that_share_their_weights_cannot_be_left_out() -> None:
    with pytest.raises(ConfigError, match="the 6 layers of this encoder share one set of weights"):
        cut_config(AlbertConfig(**SIZES), (0, 2))


def test_a_first_layer_that_is_not_like_the_others_has_to_stay() -> None:
    config = ModernBertConfig(**SIZES)
    assert cut_config(config, (0, 3)) == ModernBertConfig(
        **{**SIZES, "num_hidden_layers": 2}, layer_types=("full_attention", "full_attention")
    )
    with pytest.raises(ConfigError, match=r"--keep-layers 1,3: layer 1 cannot be layer 0") as refused:
        cut(config, (1, 3))
    assert refused.value.hint is not None
    assert "keep layer 0" in refused.value.hint


def test_names_of_layers_are_counted_again() -> None:
    assert kept_name("layers.4.output.weight", (0, 4)) == "layers.1.output.weight"
    assert kept_name("layers.3.output.weight", (0, 4)) is None
    assert kept_name("pooler.weight", (0, 4)) == "pooler.weight"


def test_the_receipt_of_a_cut_tells_of_every_tensor(tmp_path: Path) -> None:
    family = next(each for each in FAMILIES if each.name == "BERT")
    whole, _ = cut(family.config(**SIZES), (0, 3))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizer(tmp_path / "vocab.txt")
    signature = ModelSignature(labels=("down", "up"), is_pair=False, max_length=16)
    folder = save(whole, tmp_path / "model", tokenizer=tokenizer, signature=signature)
    again = classifier_model(family.config(**SIZES), 2, seed=3)[1]
    receipt = restore(again, folder)
    shallow = cut_receipt(receipt, (0, 3))
    stored = {source for record in receipt for source in record.sources}
    loaded = {source for record in shallow.having("loaded") for source in record.sources}
    left_out = {record.name for record in shallow.having("unused") if "--keep-layers" in record.reason}
    assert loaded | left_out == stored
    assert not loaded & left_out
    assert {name.split(".layer.")[1][0] for name in left_out} == set("1245")
    names = {record.name for record in shallow.having("loaded")}
    assert names == {
        name for name, _ in classifier_model(cut_config(family.config(**SIZES), (0, 3)), 2)[1].named_parameters()
    }
    assert shallow.assert_consumed() is shallow
