"""Buckets of distances beside a plain loop, the rows that a batch needs, and the view in the place of a gather."""

import math

import pytest
import torch
from tests.unit.kernels.encoder_worlds import batch_of

from bertune.nn.initialization import initialize
from bertune.nn.relative_positions import Distances, RelativePositions, log_buckets, skew


def bucket_of(distance: int, buckets: int, longest: int) -> int:
    """As in the paper's code, one distance at a time."""
    near, size = buckets // 2, abs(distance)
    if size <= near:
        return distance
    share = math.log(size / near) / math.log((longest - 1) / near)
    # Where a float64 falls just beyond a whole number, the bucket is that number's.
    bucket = math.ceil(share * (near - 1) - 1e-6) + near
    return bucket if distance > 0 else -bucket


@pytest.mark.parametrize(("buckets", "longest"), [(256, 512), (2, 8), (4, 512), (16, 64), (17, 64), (32, 18)])
def test_buckets_are_those_of_a_plain_loop(buckets: int, longest: int) -> None:
    distances = torch.arange(-3 * longest, 3 * longest + 1)
    expected = [bucket_of(int(distance), buckets, longest) for distance in distances]
    assert log_buckets(distances, buckets, longest).tolist() == expected
    assert int(log_buckets(torch.tensor(longest - 1), buckets, longest)) == 2 * (buckets // 2) - 1


def test_distances_beyond_the_table_share_its_ends() -> None:
    distances = torch.tensor([-5, -4, -3, 0, 2, 3, 4, 5])
    assert Distances(3).rows(distances).tolist() == [0, 0, 0, 3, 5, 5, 5, 5]
    near = Distances(512, buckets=256)
    assert near.rows(torch.tensor([-100_000, -128, 0, 128, 100_000])).tolist() == [0, 128, 256, 384, 511]


@pytest.mark.parametrize("distances", [Distances(4), Distances(64), Distances(64, buckets=8)])
def test_each_group_gets_the_row_of_each_of_its_distances(distances: Distances) -> None:
    positions = RelativePositions(8, distances, norm_eps=1e-7)
    initialize(positions, 0.5, seed=0)
    layout = batch_of([3, 40, 2, 9]).layout
    relative = positions(layout, torch.float32)
    for group, of_distance in zip(layout.attention_plan.groups, relative.of_distance, strict=True):
        length = group.max_length
        rows = distances.rows(torch.arange(1 - length, length))
        expected = torch.nn.functional.layer_norm(positions.table.weight[rows], (8,), eps=1e-7)
        torch.testing.assert_close(relative.vectors[of_distance], expected)
    assert len(relative.vectors) == int(distances.rows(torch.tensor(39)) - distances.rows(torch.tensor(-39))) + 1


@pytest.mark.parametrize("length", [1, 2, 5])
def test_skew_is_a_gather_by_the_distance_of_row_and_column(length: int) -> None:
    products = torch.randn(3, 2, length, 2 * length - 1, generator=torch.Generator().manual_seed(0))
    ours, theirs = (products.clone().requires_grad_() for _ in range(2))
    place = torch.arange(length)
    index = (place - place[:, None] + length - 1).expand(3, 2, length, length)
    weights = torch.rand(3, 2, length, length)
    (skew(ours * 1) * weights).sum().backward()  # type: ignore[no-untyped-call]
    (theirs.gather(-1, index) * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(skew(products), products.gather(-1, index))
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)
