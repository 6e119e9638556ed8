"""The faster library is used only where its float32 is float32."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bertune.nn import exact_products
from bertune.nn.exact_products import fast_float32_products, is_exact

AMX = "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else False


def setting() -> str:
    value: str = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    return value


@pytest.mark.skipif(not AMX, reason="this processor has no AMX, with which oneDNN would round")
def test_rounding_is_noticed() -> None:
    assert not is_exact()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="not Linux")
def test_without_amx_the_products_are_exact() -> None:
    code = "from bertune.nn.exact_products import is_exact; assert is_exact()"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("amd", "exact"), [(True, True), (True, False), (False, True)])
def test_the_setting_is_used_on_amd_if_exact_and_put_back(
    monkeypatch: pytest.MonkeyPatch, amd: bool, exact: bool
) -> None:
    monkeypatch.setattr(exact_products, "_is_amd", lambda: amd)
    monkeypatch.setattr(exact_products, "is_exact", lambda: exact)
    exact_products.are_of_onednn.cache_clear()
    before = setting()
    with fast_float32_products():
        assert setting() == ("bf16" if amd and exact else before)
    assert setting() == before
    exact_products.are_of_onednn.cache_clear()
