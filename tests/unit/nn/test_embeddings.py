import numpy as np
import pytest
import torch

from bertune.batches.batch import Batch
from bertune.batches.layout import Layout
from bertune.errors import DataError
from bertune.nn.embeddings import Embeddings, Positions
from bertune.nn.norm import NormOptions


def embeddings(*, num_types: int = 2, position_offset: int = 0) -> Embeddings:
    torch.manual_seed(0)
    return Embeddings(
        20, 8, positions=Positions(10, position_offset), num_types=num_types, norm=NormOptions(1e-6), dropout=0.5
    ).eval()


def batch_of(lengths: list[int], *, types: int = 2) -> Batch:
    total = sum(lengths)
    torch.manual_seed(1)
    return Batch(
        torch.randint(0, 20, (total,)),
        torch.randint(0, types, (total,)),
        torch.cat([torch.arange(length) for length in lengths]),
        Layout(np.array(lengths)),
    )


@pytest.mark.parametrize("num_types", [0, 1, 2])
@pytest.mark.parametrize("position_offset", [0, 2])
def test_rows_are_summed_from_the_offset_on_and_types_where_there_are_any(num_types: int, position_offset: int) -> None:
    made, batch = embeddings(num_types=num_types, position_offset=position_offset), batch_of([8, 3], types=1)
    summed = made.token.weight[batch.token_ids] + made.position.weight[position_offset:][batch.position_ids]
    if num_types:
        assert made.token_type is not None
        summed = summed + made.token_type.weight[batch.token_type_ids]
    torch.testing.assert_close(made(batch), torch.nn.functional.layer_norm(summed, (8,), eps=1e-6))


def test_there_is_no_parameter_of_types_without_types() -> None:
    assert "token_type.weight" not in dict(embeddings(num_types=0).named_parameters())


def test_given_vectors_stand_in_the_place_of_the_token_tables() -> None:
    made, batch = embeddings(position_offset=2), batch_of([4])
    vectors = made.token.weight[batch.token_ids]
    assert torch.equal(made(batch, token_vectors=vectors), made(batch))
    assert not torch.equal(made(batch, token_vectors=vectors + 1), made(batch))


@pytest.mark.parametrize(("position_offset", "longest"), [(0, 10), (2, 8)])
def test_a_sequence_may_be_as_long_as_there_are_positions_from_the_offset_on(
    position_offset: int, longest: int
) -> None:
    made = embeddings(position_offset=position_offset)
    made.check_ids(batch_of([longest]))
    made(batch_of([longest]))
    with pytest.raises(DataError, match=rf"position {longest} is outside 0\.\.{longest - 1}"):
        made.check_ids(batch_of([longest + 1]))


def test_types_are_held_against_their_table_where_there_is_one() -> None:
    batch = batch_of([9, 9])
    assert batch.token_type_ids.max() == 1
    embeddings(num_types=0).check_ids(batch)
    embeddings(num_types=2).check_ids(batch)
    with pytest.raises(DataError, match=r"token type id 1 is outside 0\.\.0"):
        embeddings(num_types=1).check_ids(batch)
