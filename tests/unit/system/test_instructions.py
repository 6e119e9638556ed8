"""What the processor has."""

import platform
from pathlib import Path

import pytest

from bertune.system import instructions


@pytest.mark.parametrize(
    ("machine", "flags", "found"),
    [
        ("x86_64", "fpu avx2 avx512_vnni", "avx512_vnni"),
        ("AMD64", "fpu avx2 avx_vnni", "avx_vnni"),
        ("x86_64", "fpu avx2 avx512f", None),
        ("aarch64", "", "aarch64"),
    ],
)
def test_weights_have_7_bits_where_products_would_saturate(
    machine: str, flags: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(instructions, "Path", lambda _name: tmp_path / "cpuinfo")
    assert instructions.integer_instructions() == found


@pytest.mark.parametrize(
    ("machine", "line", "found"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512_vnni sse", ("x86_64", "avx2", "avx512_vnni")),
        ("aarch64", "Features\t: fp asimd i8mm", ("aarch64", "asimd", "i8mm")),
        ("arm64", "", ("arm64",)),
    ],
)
def test_the_instructions_that_matter_are_told(
    machine: str, line: str, found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(instructions, "Path", lambda _name: tmp_path / ("cpuinfo" if line else "nowhere"))
    assert instructions.instructions() == found
