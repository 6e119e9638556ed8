"""Which seeds a setting names."""

import pytest

from bertune.errors import ConfigError
from bertune.experiments.seed_settings import SeedSettings


def test_a_number_counts_from_the_first_seed_and_commas_name_each() -> None:
    assert SeedSettings(seeds=3).numbers(7) == (7, 8, 9)
    assert SeedSettings(seeds="5, 1,12").numbers(7) == (5, 1, 12)
    assert SeedSettings(seeds="4").are_named
    assert not SeedSettings(seeds=4).are_named


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"seeds": -2}, "seeds must be at least 1, not -2"),
        ({"seeds": "1,2,1"}, "--seeds 1,2,1: seed 1 is named twice"),
        ({"seeds": "1,2,01"}, "--seeds 1,2,01: seed 1 is named twice"),
        ({"seeds": "1,,2"}, "--seeds 1,,2: '' is not a seed"),
        ({"seeds": "1,-2"}, "--seeds 1,-2: '-2' is not a seed"),
        ({"seeds": "five"}, "--seeds five: 'five' is not a seed"),
        ({"seeds": 10**30}, f"seeds must be at most 10,000, not {10**30}"),
        ({"seeds": "9" * 30}, f"--seeds {'9' * 30}: '{'9' * 30}' is not a seed"),
        ({"seeds": "1,²"}, "--seeds 1,²: '²' is not a seed"),
        ({"seeds": 1, "average": True}, "--average needs two seeds or more"),
        ({"seeds": "3", "average": True}, "--average needs two seeds or more"),
        ({"average": True}, "--average is about several seeds"),
        ({"parallel_seeds": 2}, "--parallel-seeds is about several seeds"),
        ({"seeds": 2, "parallel_seeds": 0}, "parallel_seeds must be at least 1, not 0"),
    ],
)
def test_what_cannot_work_is_refused_with_one_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SeedSettings(**settings)
    assert raised.value.message == message
