"""Memory that is freed in training stays with the process until training ends."""

import ctypes
import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource
import torch
from bertune.training.kept_memory import freed_memory_kept

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        tensors = [torch.empty(20 << 20, dtype=torch.uint8).zero_() for _ in range(8)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

torch.set_num_threads(1)
# Every tensor is mapped by itself, as glibc begins, so that it need not be guessed how far it has adapted.
ctypes.CDLL(None).mallopt(-3, 128 * 1024)
empty = resident()
with freed_memory_kept():
    faults(4)  # until it has enough
    print(faults(5))
print(resident() - empty)
"""
PAGES = (160 << 20) // 4096  # of a round

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="another allocator"
)


def run(**settings: str) -> tuple[int, int]:
    """Returns the pages that five rounds were given again, and those still held at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    faults, held = map(int, answer.stdout.split())
    return faults, held


def test_what_is_freed_is_taken_again_and_given_back_at_the_end() -> None:
    faults, held = run()
    assert faults < PAGES // 10
    assert held < PAGES // 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"BERTUNE_DISABLE": "kept-memory"},
        {"MALLOC_TOP_PAD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.top_pad=131072"},
    ],
)
def test_it_can_be_switched_off_and_what_the_user_set_stays(settings: dict[str, str]) -> None:
    assert run(**settings)[0] >= 5 * PAGES
