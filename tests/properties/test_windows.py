"""Attention in local windows beside attention with a dense mask, for any lengths: values and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertune.batches.layout import Layout
from bertune.nn.rotary_attention import RotaryAttention

HEADS, SIZE, THETA = 2, 8, 50.0
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
REACHES = st.integers(0, 14)


def attention(reach: int | None, *, dropout: float = 0.0) -> RotaryAttention:
    torch.manual_seed(3)
    made = RotaryAttention(SIZE, HEADS, theta=THETA, reach=reach, dropout=dropout, bias=True).double()
    torch.nn.init.normal_(made.qkv.bias)
    return made


def turned(vectors: Tensor) -> Tensor:
    """Rotary positions as products of complex numbers: (heads, length, head size)."""
    half = vectors.shape[-1] // 2
    speeds = THETA ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(vectors.shape[1])[:, None] * speeds
    numbers = torch.complex(vectors[..., :half], vectors[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([numbers.real, numbers.imag], dim=-1)


def dense(module: RotaryAttention, hidden: Tensor, lengths: list[int]) -> Tensor:
    """One sequence after another, with a mask over all of it."""
    mixed = []
    for rows in torch.split(hidden, lengths):
        query, key, value = module.qkv(rows).view(len(rows), 3, HEADS, -1).permute(1, 2, 0, 3)
        scores = turned(query) @ turned(key).transpose(-1, -2) / (SIZE // HEADS) ** 0.5
        places = torch.arange(len(rows))
        if module.reach is not None:
            scores = scores.masked_fill((places[:, None] - places).abs() > module.reach, -torch.inf)
        mixed.append((scores.softmax(-1) @ value).transpose(0, 1).reshape(len(rows), SIZE))
    output: Tensor = module.output(torch.cat(mixed))
    return output


def check(module: RotaryAttention, lengths: list[int], *, first_only: bool = False) -> None:
    torch.manual_seed(4)
    hidden = torch.randn(sum(lengths), SIZE, dtype=torch.float64)
    layout = Layout(np.array(lengths))
    given_, expected_ = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found, expected = module(given_, layout, first_only=first_only), dense(module, expected_, lengths)
    if first_only:
        expected = expected[layout.first_tokens]
    # The angles are float32.
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    weights = torch.randn_like(expected)
    parameters = list(module.parameters())
    ours = torch.autograd.grad((found * weights).sum(), [given_, *parameters])
    theirs = torch.autograd.grad((expected * weights).sum(), [expected_, *parameters])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


@settings(deadline=None)
@given(LENGTHS, REACHES, st.booleans())
def test_a_window_is_attention_with_a_mask(lengths: list[int], reach: int, first_only: bool) -> None:
    check(attention(reach), lengths, first_only=first_only)


@settings(deadline=None, max_examples=20)
@given(LENGTHS, st.booleans())
def test_whole_sequences_are_attention_without_one(lengths: list[int], first_only: bool) -> None:
    check(attention(None), lengths, first_only=first_only)


@given(LENGTHS, REACHES)
def test_every_token_has_one_cell_and_no_more_keys_than_three_blocks(lengths: list[int], reach: int) -> None:
    layout = Layout(np.array(lengths))
    plan = layout.window_plan(reach)
    cells = plan.cell_of_token.numpy()
    assert len(set(cells.tolist())) == layout.num_tokens
    assert np.array_equal(plan.token_of_cell.numpy()[cells], np.arange(layout.num_tokens))
    assert sum(group.cells for group in plan.groups) == len(plan.token_of_cell)
    assert layout.window_plan(reach) is plan
    for group in plan.groups:
        keys = 3 * group.columns if group.are_blocks else group.columns
        assert keys <= 3 * max(reach, 1)
        # No row is empty, which would be 0 / 0.
        assert group.mask is None or bool(group.mask.any(dim=-1).all())


@pytest.mark.parametrize("length", [4096, 8192])
def test_a_long_sequence_takes_memory_as_its_length_does(length: int) -> None:
    plan = Layout(np.array([length])).window_plan(64)
    masks = sum(group.mask.numel() for group in plan.groups if group.mask is not None)
    assert masks == length * 192


def test_a_sequence_sees_nothing_of_its_neighbours() -> None:
    module, layout = attention(5), Layout(np.array([30, 17, 40]))
    hidden = torch.randn(87, SIZE, dtype=torch.float64)
    before = module(hidden, layout)
    hidden[30:47] = 100.0
    after = module(hidden, layout)
    assert torch.equal(before[:30], after[:30])
    assert torch.equal(before[47:], after[47:])


@pytest.mark.parametrize("reach", [None, 5])
def test_dropout_of_the_probabilities_keeps_the_mean(reach: int | None) -> None:
    torch.manual_seed(5)
    hidden = torch.randn(60, SIZE, dtype=torch.float64)
    module, layout = attention(reach, dropout=0.5), Layout(np.array([40, 3, 17]))
    with torch.no_grad():
        exact = module.eval()(hidden, layout)
        module.train()
        drawn = torch.stack([module(hidden, layout) for _ in range(600)])
    assert float(drawn.std(dim=0).min()) > 0
    assert float((drawn.mean(dim=0) - exact).abs().max()) < 0.15


@pytest.mark.parametrize("reach", [None, 64])
def test_tables_of_angles_made_for_inference_serve_training(reach: int | None) -> None:
    torch.manual_seed(6)
    module = RotaryAttention(SIZE, HEADS, theta=777.0 + (reach or 0), reach=reach, dropout=0.0, bias=False)
    hidden, layout = torch.randn(500, SIZE), Layout(np.array([450, 50]))
    with torch.inference_mode():
        before = module(hidden, layout)
    trained = module(hidden, Layout(np.array([450, 50])))
    trained.sum().backward()
    assert torch.equal(before, trained)


@pytest.mark.parametrize("reach", [None, 64])
def test_bf16_has_the_angles_of_late_places(reach: int | None) -> None:
    """Angles in bf16 would be off by whole turns."""
    torch.manual_seed(7)
    module = RotaryAttention(32, HEADS, theta=10_000.0, reach=reach, dropout=0.0, bias=False)
    hidden, layout = torch.randn(3000, 32), Layout(np.array([3000]))
    with torch.no_grad():
        exact, rough = module(hidden, layout), module(hidden.bfloat16(), layout)
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - exact).abs().max()) < 0.03 * float(exact.abs().max())
