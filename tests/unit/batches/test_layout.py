import numpy as np
import pytest

from bertune.batches.layout import ATTENTION_GROUPS, Layout
from bertune.errors import DataError


def test_the_boundaries_are_those_of_the_sequences() -> None:
    layout = Layout(np.array([3, 1, 2]))
    assert layout.cu_seqlens.tolist() == [0, 3, 4, 6]
    assert layout.first_tokens.tolist() == [0, 3, 4]
    assert layout.sequence_of_token.tolist() == [0, 0, 0, 1, 2, 2]
    assert (layout.num_tokens, layout.max_seqlen, len(layout)) == (6, 3, 3)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2], [2, -1]])
def test_a_sequence_without_a_token_is_refused(lengths: list[int]) -> None:
    with pytest.raises(DataError, match="at least one"):
        Layout(np.array(lengths, np.int64))


def test_sequences_of_one_length_need_no_mask() -> None:
    plan = Layout(np.array([4, 4, 4])).attention_plan
    assert [group.attend for group in plan.groups] == [None] * ATTENTION_GROUPS


def test_two_groups_waste_fewer_cells_than_one_rectangle() -> None:
    lengths = np.array([2, 60, 3, 64, 2, 62, 3, 61])
    plan = Layout(lengths).attention_plan
    assert sum(group.cells for group in plan.groups) == 4 * 3 + 4 * 64 < len(lengths) * 64


def test_the_plan_is_made_once() -> None:
    layout = Layout(np.array([2, 5]))
    assert layout.attention_plan is layout.attention_plan
