import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertune.models.bert import BERT, TENSORFLOW_NAMES, BertConfig
from bertune.models.encoder import Encoder
from bertune.models.names import NameTable, Place

LAYERS = 13
TABLES = pytest.mark.parametrize("table", [BERT.names, TENSORFLOW_NAMES], ids=["transformers", "google-research/bert"])


def parameters() -> list[str]:
    config = BertConfig(
        hidden_size=8, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=16, vocab_size=9
    )
    with torch.device("meta"):
        return [name for name, _ in Encoder.from_config(config).named_parameters()]


@TABLES
def test_every_parameter_is_found_again_from_each_of_its_stored_names(table: NameTable) -> None:
    every: list[str] = []
    for parameter in parameters():
        stored = table.stored_names(parameter)
        assert [table.place_of(name) for name in stored] == [Place(parameter, part) for part in range(len(stored))]
        every += stored
    assert len(set(every)) == len(every) == 5 + LAYERS * 16 + 2


@TABLES
def test_every_row_is_of_a_parameter_that_an_encoder_has(table: NameTable) -> None:
    for parameter in table.rows:
        names = [parameter.replace("{layer}", "0").replace("{kind}", kind) for kind in ("weight", "bias")]
        assert set(names) <= set(parameters())
        assert all(table.has(name) for name in names)


@TABLES
@given(layer=st.integers(0, 10**9 - 1), data=st.data())
def test_names_read_one_way_and_back_are_the_same_for_any_layer(
    table: NameTable, layer: int, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(sorted(table.rows)))
    kind = data.draw(st.sampled_from(["weight", "bias", "weight_scale"]))
    parameter = row.replace("{layer}", str(layer)).replace("{kind}", kind)
    for part, stored in enumerate(table.stored_names(parameter)):
        assert table.place_of(stored) == Place(parameter, part)
        assert table.layer_of(stored) == (layer if "{layer}" in row else None)


@TABLES
@given(name=st.text("abelory.0123/_", max_size=30))
def test_a_name_that_is_of_no_parameter_is_told_apart(table: NameTable, name: str) -> None:
    place = table.place_of(name)
    assert place is None or table.stored_names(place.parameter)[place.part] == name
    if table.has(name):
        assert table.place_of(table.stored_names(name)[0]) == Place(name, 0)
    else:
        with pytest.raises(KeyError):
            table.stored_names(name)


def test_dots_stand_for_themselves() -> None:
    assert BERT.names.place_of("poolerxdense.weight") is None
    assert BERT.names.place_of("encoder.layer.1.output.dense.weight.more") is None


def test_the_layer_is_told_by_the_beginning_of_a_name_alone() -> None:
    assert BERT.names.layer_of("encoder.layer.11.adapter.down.weight") == 11
    assert BERT.names.layer_of("encoder.layer.11") is None
    assert BERT.names.layer_of("decoder.encoder.layer.11.output") is None
    assert BERT.names.layer_of("encoder.layer.12345678901.output.dense.weight") is None
    assert TENSORFLOW_NAMES.layer_of("encoder/layer_3/whatever") == 3
