"""Compiles `kernels.c` with the machine's C compiler and loads it; where that cannot be, says why."""

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("kernels.c")
# No errno and no traps, so that square roots become vector instructions; sums keep the order they are written in.
_FLAGS: Final = (
    "-O3",
    "-march=native",
    "-mprefer-vector-width=512",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-shared",
    "-fPIC",
)
_SECONDS: Final = 120


class NotNativeError(Exception):
    """Why there are no compiled kernels here; the message is one line for the user."""


@cache
def load_library(*, narrow: bool) -> ctypes.CDLL:
    """Returns the kernels, compiled now or found in the cache of an earlier run.

    Args:
        narrow: with bfloat16 activations; else with float32.

    Raises:
        NotNativeError: no compiler, another system, or the compiler failed.
    """
    if platform.system() != "Linux":
        raise NotNativeError(f"compiled kernels are for Linux, this is {platform.system()}")
    _share_threads_with_torch()
    compiler = _find_compiler()
    try:
        target = _cache_folder() / f"{_key(compiler)}-{'bf16' if narrow else 'fp32'}.so"
        if not target.exists():
            _compile(compiler, target, narrow=narrow)
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NotNativeError(f"the compiled kernels cannot be stored or loaded ({error})") from error


def _find_compiler() -> str:
    wanted = os.environ.get("CC", "").split()[:1]
    for name in (*wanted, "cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    raise NotNativeError("no C compiler (cc, gcc, clang) on the PATH")


def _share_threads_with_torch() -> None:
    """Makes the symbols of torch's own OpenMP runtime visible to the kernels."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    paths = {line.split()[-1] for line in maps.splitlines() if "libgomp" in line or "libomp" in line}
    for path in sorted(paths, key=lambda path: "torch" not in path):
        with contextlib.suppress(OSError, AttributeError):
            runtime = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            if runtime.GOMP_parallel and runtime.omp_get_thread_num:
                return
    raise NotNativeError("torch's OpenMP runtime offers no GOMP_parallel")


def _key(compiler: str) -> str:
    """Names what the compiled file depends on: source, flags, compiler, and the processor `native` stands for."""
    digest = hashlib.sha256(_SOURCE.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for name in ("model name", "flags", "Features"):
            digest.update(next((line for line in info if line.startswith(name)), "").encode())
    digest.update(version.stdout + " ".join((compiler, *_FLAGS, platform.machine())).encode())
    return digest.hexdigest()[:32]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "bertune" / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="bertune-native-"))


def _compile(compiler: str, target: Path, *, narrow: bool) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / "kernels.so"
        command = [compiler, *_FLAGS, f"-DBF16={int(narrow)}", str(_SOURCE), "-o", str(built), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotNativeError(f"{compiler} did not run ({error})") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise NotNativeError(f"{compiler} failed: {lines[0]}")
        built.replace(target)
