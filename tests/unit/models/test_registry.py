import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.models.toy_family import TOY, ToyConfig, know_toy

from bertune.batches.batch import Batch
from bertune.batches.layout import Layout
from bertune.errors import ConfigError, DataError
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.bert import BERT, BertConfig
from bertune.models.encoder import Encoder
from bertune.models.registry import FAMILIES, family_named, family_of, family_of_architecture, read_config


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    know_toy(monkeypatch)
    return Encoder(model_type="toy")


def batch_of(length: int) -> Batch:
    return Batch(torch.full((length,), 7), torch.full((length,), 1), torch.arange(length), Layout(np.array([length])))


def test_each_model_type_and_class_and_architecture_is_of_one_family() -> None:
    names = [name for family in FAMILIES for name in family.type_names]
    assert len(set(names)) == len(names)
    assert len({family.config for family in FAMILIES}) == len({family.architecture for family in FAMILIES})
    for family in FAMILIES:
        assert all(family_named(name) is family for name in family.type_names)
        assert family_of(family.config()) is family
        assert family_of_architecture(["Other", family.architecture]) is family


@pytest.mark.parametrize("model_type", ["gpt2", "", 3, ["bert"]])
def test_an_unknown_model_type_is_refused_with_those_that_are_known(model_type: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(
        ConfigError, match=r"model_type = .*; the encoders that are known are 'bert', 'roberta'"
    ) as caught:
        read_config(tmp_path / "config.json")
    assert caught.value.hint is not None
    assert "bert-base-uncased" in caught.value.hint


def test_the_error_names_every_family(monkeypatch: pytest.MonkeyPatch) -> None:
    know_toy(monkeypatch)
    with pytest.raises(ConfigError, match=r"are 'bert', .*, 'toy'$"):
        family_named("gpt2")


def test_a_file_without_model_type_is_bert() -> None:
    assert family_named(None) is BERT


@pytest.mark.parametrize("names", [None, [], "BertForSequenceClassification", ["BertModel"], {"a": 1}])
def test_other_architectures_are_of_no_family(names: object) -> None:
    assert family_of_architecture(names) is None


def test_a_class_of_sizes_of_ones_own_is_of_the_family_it_is_derived_from() -> None:
    class Mine(BertConfig):
        pass

    assert family_of(Mine()) is BERT


def test_an_encoder_is_built_of_its_familys_parts(toy: Encoder) -> None:
    assert toy.family is TOY
    assert toy.config == ToyConfig()
    assert toy.embeddings.token_type is None
    assert Encoder(model_type="toy", pooler=False).pooler is None
    assert Encoder.from_config(ToyConfig(hidden_size=64)).config.hidden_size == 64


def test_limits_of_positions_and_types_are_the_familys(toy: Encoder) -> None:
    toy.eval()
    assert toy(batch_of(64)).last_hidden_state.shape == (64, 32)
    with pytest.raises(DataError, match=r"position 64 is outside 0\.\.63"):
        toy(batch_of(65))


def test_kernels_give_the_familys_reason_for_leaving_it_to_torch(toy: Encoder) -> None:
    with pytest.raises(NoKernelsError, match=r"^nobody has computed a toy by kernels$"):
        KernelPass(toy, torch.float32)
