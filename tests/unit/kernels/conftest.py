"""The kernels as this machine compiles them, and as older processors would have them."""

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tests.unit.kernels.calls import Kernels

from bertune.kernels import build
from bertune.kernels.interface import declare
from bertune.kernels.library import kernels_for

DTYPES = (torch.float32, torch.bfloat16)


def older_processors() -> list[str]:
    """Instruction sets this machine can run: vectors of 8 without and with fused multiply-add, of 16 without bf16."""
    if platform.machine() != "x86_64":
        return []
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    needed = {"x86-64": set(), "x86-64-v3": {"avx2", "fma", "bmi2"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl"}}
    return [name for name, wanted in needed.items() if wanted <= flags]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def kernels(compiler: str) -> Callable[[torch.dtype], Kernels]:
    return lambda dtype: Kernels(kernels_for(dtype), dtype)


@pytest.fixture(scope="session")
def compiled_for(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, torch.dtype], Kernels]:
    """Compiles for another processor; kept for the session."""
    folder, kept = tmp_path_factory.mktemp("older"), {}

    def compile_for(march: str, dtype: torch.dtype) -> Kernels:
        if (march, dtype) not in kept:
            flags = tuple(flag.replace("-march=native", f"-march={march}") for flag in build._flags())
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(folder))
                patch.setattr(build, "_flags", lambda: flags)
                library = build.load_library(narrow=dtype == torch.bfloat16)
            declare(library)
            kept[march, dtype] = Kernels(library, dtype)
        return kept[march, dtype]

    return compile_for
