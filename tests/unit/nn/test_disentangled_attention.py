"""Dropout and number types of disentangled attention; its values are held beside transformers with the families."""

import pytest
import torch
from tests.unit.kernels.encoder_worlds import batch_of
from torch import Tensor

from bertune.nn.disentangled_attention import DisentangledSelfAttention, PositionTerms
from bertune.nn.initialization import initialize
from bertune.nn.relative_positions import Distances, RelativePositions

LENGTHS = [4, 7, 2]
LAYOUT = batch_of(LENGTHS).layout


def attention_of(dropout: float = 0.0, position_dropout: float = 0.0) -> DisentangledSelfAttention:
    terms = PositionTerms(asked=True, asking=True, own_products=False)
    attention = DisentangledSelfAttention(8, 2, terms, dropout=dropout, position_dropout=position_dropout)
    initialize(attention, 0.5, seed=1)
    return attention


def mixed(
    attention: DisentangledSelfAttention, dtype: torch.dtype = torch.float32, *, first_only: bool = False
) -> Tensor:
    positions = RelativePositions(8, Distances(16), norm_eps=None)
    initialize(positions, 0.5, seed=2)
    hidden = torch.randn(sum(LENGTHS), 8, generator=torch.Generator().manual_seed(3)).to(dtype)
    result: Tensor = attention(hidden, LAYOUT, relative=positions(LAYOUT, dtype), first_only=first_only)
    return result


@pytest.mark.parametrize("which", ["dropout", "position_dropout"])
def test_each_dropout_works_in_training_alone(which: str) -> None:
    still = mixed(attention_of())
    attention = attention_of(**{which: 0.5})
    torch.manual_seed(0)
    one, other = mixed(attention), mixed(attention)
    assert not torch.equal(one, other)
    torch.testing.assert_close(mixed(attention.eval()), still)


def test_dropped_probabilities_keep_their_mean() -> None:
    attention = attention_of(dropout=0.3)
    torch.manual_seed(0)
    with torch.no_grad():
        mean = torch.stack([mixed(attention) for _ in range(4000)]).mean(dim=0)
        still = mixed(attention.eval())
    torch.testing.assert_close(mean, still, atol=0.03 * float(still.abs().max()), rtol=0)


def test_the_first_tokens_are_those_of_all() -> None:
    attention = attention_of()
    torch.testing.assert_close(mixed(attention, first_only=True), mixed(attention)[LAYOUT.first_tokens])


def test_it_computes_in_the_type_of_its_input() -> None:
    with torch.no_grad():
        exact, rough = mixed(attention_of()), mixed(attention_of(), torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, atol=0.05 * float(exact.abs().max()), rtol=0)


def test_no_sequence_sees_another_one() -> None:
    attention = attention_of()
    positions = RelativePositions(8, Distances(16), norm_eps=None)
    initialize(positions, 0.5, seed=2)
    hidden = torch.randn(sum(LENGTHS), 8)
    together = attention(hidden, LAYOUT, relative=positions(LAYOUT, torch.float32))
    start = 0
    for length in LENGTHS:
        alone = batch_of([length]).layout
        some = slice(start, start + length)
        expected = attention(hidden[some], alone, relative=positions(alone, torch.float32))
        torch.testing.assert_close(together[some], expected)
        start += length
