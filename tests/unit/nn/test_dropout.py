import pytest
import torch
from torch import Tensor

from bertune.nn.dropout import Dropout, _draw_bits


def dropped_ones(probability: float, count: int = 400_000, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return Dropout(probability)(torch.ones(count))


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
def test_kept_share_scale_and_mean_are_those_of_the_probability(probability: float) -> None:
    dropped = dropped_ones(probability)
    kept = dropped > 0
    deviation = (probability * (1 - probability) / len(dropped)) ** 0.5
    assert abs(kept.float().mean() - (1 - probability)) < 5 * deviation
    assert dropped[kept].unique().tolist() == pytest.approx([1 / (1 - probability)], rel=1e-4)
    assert abs(dropped.mean() - 1) < 5 * deviation / (1 - probability)


@pytest.mark.parametrize("lane", range(4))
def test_each_16_bit_lane_keeps_the_right_share(lane: int) -> None:
    kept = dropped_ones(0.1)[lane::4] > 0
    assert abs(kept.float().mean() - 0.9) < 5 * (0.09 / len(kept)) ** 0.5


def test_lanes_and_neighbouring_words_are_independent() -> None:
    dropped = (dropped_ones(0.5) > 0).double()
    lanes = torch.stack([dropped[lane::4] for lane in range(4)])
    next_word = torch.cat([lanes[:, :-1], lanes[:, 1:]])
    correlation = torch.corrcoef(next_word) - torch.eye(8)
    # Five deviations of a correlation of independent draws, over 28 pairs.
    assert correlation.abs().max() < 5 / lanes.shape[1] ** 0.5


def test_drawn_numbers_cover_all_16_bits_evenly() -> None:
    torch.manual_seed(0)
    drawn = _draw_bits(torch.empty(1 << 20)).long() + (1 << 15)
    counts = torch.bincount(drawn >> 8, minlength=256).double()
    chi_squared = float(((counts - 4096) ** 2 / 4096).sum())
    assert 150 < chi_squared < 380  # 255 degrees of freedom, deviation 22.6
    low_bits = torch.bincount(drawn & 255, minlength=256).double()
    assert 150 < float(((low_bits - 4096) ** 2 / 4096).sum()) < 380


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 5, 7)])
def test_any_number_of_elements_gets_its_draws(shape: tuple[int, ...]) -> None:
    dropout = Dropout(0.5)
    values = torch.ones(shape)
    assert dropout(values).shape == shape
    strided = torch.ones(*shape, 2)[..., 0]
    assert dropout(strided).shape == shape


def test_the_gradient_goes_through_the_same_mask() -> None:
    torch.manual_seed(1)
    values = torch.rand(1000, requires_grad=True)
    dropped = Dropout(0.3)(values)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert torch.equal(values.grad > 0, dropped > 0)
    torch.testing.assert_close(values.grad * values.detach(), dropped.detach())


def test_evaluation_draws_nothing_and_changes_nothing() -> None:
    values = torch.rand(10)
    before = torch.get_rng_state()
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values
    assert torch.equal(before, torch.get_rng_state())


def test_the_seed_decides_the_mask() -> None:
    assert torch.equal(dropped_ones(0.1, 1000, seed=3), dropped_ones(0.1, 1000, seed=3))
    assert not torch.equal(dropped_ones(0.1, 1000, seed=3), dropped_ones(0.1, 1000, seed=4))


@pytest.mark.parametrize("probability", [1e-9, 0.999999])
def test_extreme_probabilities_stay_finite(probability: float) -> None:
    assert torch.isfinite(dropped_ones(probability, 1000)).all()


def test_bf16_keeps_the_mean() -> None:
    # bf16 holds 1.1111 as 1.109375; values that it can tell apart must not all shrink with it.
    torch.manual_seed(0)
    values = (torch.rand(400_000) + 0.5).to(torch.bfloat16)
    dropped = Dropout(0.1)(values)
    kept = dropped != 0
    ratio = dropped[kept].double().sum() / values[kept].double().sum()
    assert abs(float(ratio) - 1 / 0.9) < 2e-4
