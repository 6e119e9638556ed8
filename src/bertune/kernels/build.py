"""Compiles the kernels with the machine's C compiler and loads them; where that cannot be, says why."""

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bertune.system.atomic import remove_leftovers, replaced_file

_FOLDER: Final = Path(__file__).parent / "c"
# No errno and no traps, so that square roots become vector instructions; sums keep the order they are written in.
_FLAGS: Final = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC")
_FLAGS_X86: Final = ("-mprefer-vector-width=512",)
_SECONDS: Final = 60  # it takes about three
# OpenMP runtimes of GNU, LLVM and Intel; each has GNU's entry points.
_RUNTIMES: Final = ("libgomp", "libomp", "libiomp")
_DIGEST_BYTES: Final = 32


class NoKernelsError(Exception):
    """Why there are no compiled kernels here; the message is one line for the user."""


def load_library(*, narrow: bool) -> ctypes.CDLL:
    """Returns the kernels, compiled now or found in the cache of an earlier run.

    The cache is `bertune/native` in `$XDG_CACHE_HOME`, else in `~/.cache`; where nothing can be written there, or
    others can write there, a temporary folder that is gone once the library is loaded. A file of the cache is code: it
    is only loaded if it is this user's or root's, and nobody else can change it.

    Args:
        narrow: with bfloat16 activations; else with float32.

    Raises:
        NoKernelsError: no compiler, another system, or the compiler failed.
    """
    if platform.system() != "Linux":
        raise NoKernelsError(f"compiled kernels are for Linux, this is {platform.system()}")
    _share_threads_with_torch()
    compiler = _find_compiler()
    try:
        name = f"{_key(compiler)}-{'bf16' if narrow else 'fp32'}.so"
        for folders in (_cache_folder, _temporary_folder):
            with folders() as folder:
                if folder is None:
                    continue
                library = _load(folder / name)
                if library is None:
                    _compile(compiler, folder / name, narrow=narrow)
                    library = _load(folder / name)
                if library is not None:
                    return library
        raise NoKernelsError("the compiled kernels cannot be stored where nobody else can change them")
    except OSError as error:
        raise NoKernelsError(f"the compiled kernels cannot be stored or loaded ({error})") from error


def library_key() -> str:
    """Returns what names the compiled file: a digest of sources, flags, compiler and processor.

    Raises:
        NoKernelsError: there is no compiler.
    """
    return _key(_find_compiler())


def processor_words() -> list[str]:
    """Returns model and features of the processor, as far as the system tells them."""
    return [platform.machine(), *_processor()]


def _find_compiler() -> tuple[str, ...]:
    """Returns the words of the command: `$CC`, which may bring arguments (`ccache gcc`), else the usual names."""
    try:
        wanted = shlex.split(os.environ.get("CC", ""))
    except ValueError:  # a quotation mark without its partner
        wanted = []
    for words in (wanted, ["cc"], ["gcc"], ["clang"]):
        if words and (found := shutil.which(words[0])):
            return (found, *words[1:])
    raise NoKernelsError("no C compiler (cc, gcc, clang) on the PATH")


def _share_threads_with_torch() -> None:
    """Makes the symbols of torch's own OpenMP runtime visible to the kernels."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    files = (line.split(maxsplit=5)[5] for line in maps.splitlines() if any(name in line for name in _RUNTIMES))
    # Other packages (scikit-learn) bring runtimes of their own, in folders beside torch's.
    for path in sorted(set(files), key=lambda file: "/torch/lib/" not in file):
        with contextlib.suppress(OSError, AttributeError):
            runtime = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            if runtime.GOMP_parallel and runtime.omp_get_thread_num and runtime.omp_get_num_threads:
                return
    raise NoKernelsError("torch's OpenMP runtime offers no GOMP_parallel")


def _flags() -> tuple[str, ...]:
    return (*_FLAGS, *_FLAGS_X86) if platform.machine() == "x86_64" else _FLAGS


def _sources() -> list[Path]:
    return sorted([*_FOLDER.glob("*.c"), *_FOLDER.glob("*.h")])


def _key(compiler: tuple[str, ...]) -> str:
    """Names what the compiled file depends on: source, flags, compiler, and the processor `native` stands for."""
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(f"{source.name}\0".encode() + source.read_bytes())
    digest.update(_run(compiler, "--version").stdout.encode())
    digest.update("\0".join((*compiler, *_flags(), platform.machine(), *_processor())).encode())
    return digest.hexdigest()[:32]


def _processor() -> list[str]:
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return [
            next((line for line in info if line.startswith(name)), "") for name in ("model name", "flags", "Features")
        ]
    return []


@contextlib.contextmanager
def _cache_folder() -> Iterator[Path | None]:
    """Gives the folder of the cache; none where it cannot be written, or others can write there."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = (base if base.is_absolute() else Path.home() / ".cache") / "bertune" / "native"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_usable = os.access(folder, os.W_OK | os.X_OK) and _is_ours(folder.stat())
    except (OSError, RuntimeError):  # the latter: a user without a home
        is_usable = False
    yield folder if is_usable else None


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory(prefix="bertune-native-") as temporary:
        yield Path(temporary)


def _is_ours(status: os.stat_result) -> bool:
    """Whether only this user and root can change a file or folder."""
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _load(path: Path) -> ctypes.CDLL | None:
    """Loads a whole library that only this user can change; None where there is none."""
    try:
        # A named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    library = None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and _is_ours(status) and _is_whole(descriptor):
            # By its descriptor, so that it is the file that was looked at.
            library = ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    finally:
        # The loader knows libraries by their names: that of one in use must not come to mean another file.
        if library is None:
            os.close(descriptor)
    return library


def _compile(compiler: tuple[str, ...], target: Path, *, narrow: bool) -> None:
    """Builds aside and renames, so that a second process sees the whole file or none."""
    remove_leftovers(target.parent)
    with replaced_file(target) as built:
        done = _run(compiler, *_flags(), f"-DBF16={int(narrow)}", str(_FOLDER / "kernels.c"), "-o", str(built), "-lm")
        if done.returncode or not built.is_file() or not built.stat().st_size:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            first = next((line for line in lines if "error" in line), lines[0])
            raise NoKernelsError(f"{' '.join(compiler)} failed: {first.strip()}")
        with built.open("ab") as stream:  # what follows an ELF file's last section is nobody's
            stream.write(hashlib.sha256(built.read_bytes()).digest())
    # The umask decides who else may write; such a file would not be loaded.
    target.chmod(0o700)


def _is_whole(descriptor: int) -> bool:
    """Returns whether a file ends with the digest of what comes before.

    One cut short by a full disk or a power failure would load and then crash the process.
    """
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        content = stream.read()
    return hashlib.sha256(content[:-_DIGEST_BYTES]).digest() == content[-_DIGEST_BYTES:]


def _run(compiler: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            [*compiler, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoKernelsError(f"{' '.join(compiler)} did not end within {_SECONDS} s") from error
    except OSError as error:
        raise NoKernelsError(f"{' '.join(compiler)} did not run ({error})") from error
