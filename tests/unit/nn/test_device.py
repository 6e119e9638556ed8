"""Where a model computes."""

import pytest
import torch

from bertune.errors import ConfigError
from bertune.nn.device import choose_device


@pytest.mark.parametrize(("found", "auto"), [(True, "cuda:3"), (False, "cpu")])
def test_auto_takes_a_gpu_where_there_is_one(found: bool, auto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert str(choose_device("auto")) == auto
    assert str(choose_device("cpu")) == "cpu"


@pytest.mark.parametrize(("built_for", "why"), [(None, "was built without CUDA"), ("13.0", "finds no GPU")])
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(
    built_for: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    with pytest.raises(ConfigError, match=why):
        choose_device("cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, cpu or cuda, not 'gpu'"):
        choose_device("gpu")  # type: ignore[arg-type]
