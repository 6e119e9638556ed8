"""Compiling on the user's machine: every way in which that can go wrong is a reason, none is a crash."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bertune.kernels import build, library
from bertune.kernels.build import NoKernelsError, load_library
from bertune.kernels.interface import declare
from bertune.kernels.self_check import check_numbers
from bertune.training.callback import Callback


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and nothing remembered in the process; temporary folders are made where they can be counted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    # The slowest part of these tests by far; how well the code is optimized is of no concern to them.
    monkeypatch.setattr(build, "_FLAGS", tuple(flag.replace("-O3", "-O1") for flag in build._FLAGS))
    library._prepare.cache_clear()
    yield tmp_path / "cache" / "bertune" / "native"
    library._prepare.cache_clear()


def program(folder: Path, name: str, text: str) -> Path:
    """Writes a shell script that can be run."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def counted(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes down each call, one a line."""
    log = tmp_path / "calls"
    monkeypatch.setenv("CC", str(program(tmp_path / "bin", "counted", f'echo "$@" >> {log}\nexec {compiler} "$@"')))
    return log


def compilations(log: Path) -> int:
    return sum("kernels.c" in line for line in log.read_text().splitlines())


def works(narrow: bool = False) -> None:
    library = load_library(narrow=narrow)
    declare(library)
    check_numbers(library, torch.bfloat16 if narrow else torch.float32)


# ---- compilers ---------------------------------------------------------------------------------------------------


def test_without_a_compiler_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoKernelsError, match=r"no C compiler \(cc, gcc, clang\) on the PATH"):
        load_library(narrow=False)


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(NoKernelsError, match="for Linux, this is Darwin"):
        load_library(narrow=False)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'In file included' >&2; echo 'x.h:1:2: error: no vectors here' >&2; exit 1", "x.h:1:2: error: no vect"),
        ("exit 3", "failed: exit code 3"),
        ("exit 0", "failed: exit code 0"),  # without having written anything
        ("sleep 5", "did not end within 0.3 s"),
        ('[ "$1" = --version ] || sleep 5', "did not end within 0.3 s"),
        ("cat; exit 1", "failed: exit code 1"),  # reads what is typed
    ],
)
def test_a_compiler_that_fails_is_a_reason_of_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(build, "_SECONDS", 0.3)
    monkeypatch.setenv("CC", str(program(tmp_path / "bin", "strange", script)))
    with pytest.raises(NoKernelsError) as caught:
        load_library(narrow=False)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir()) if cache.exists() else True


def test_a_file_that_is_no_program_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = program(tmp_path / "bin", "strange", "")
    strange.write_bytes(b"\0\1\2")
    monkeypatch.setenv("CC", str(strange))
    with pytest.raises(NoKernelsError, match="did not run"):
        load_library(narrow=False)


def test_what_a_compiler_writes_that_is_no_library_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo nonsense > "$2"; shift; done'
    monkeypatch.setenv("CC", str(program(tmp_path / "bin", "strange", script)))
    with pytest.raises(NoKernelsError, match="cannot be stored or loaded"):
        load_library(narrow=False)


def test_a_command_with_arguments_is_run_with_them(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    wrapper = program(tmp_path / "a folder", "wrap", f'echo "$@" >> {log}\nexec "$@"')
    monkeypatch.setenv("CC", f"'{wrapper}' {compiler} -DSOMETHING='a b'")
    works()
    assert all(line.startswith(f"{compiler} -DSOMETHING=a b ") for line in log.read_text().splitlines())


@pytest.mark.parametrize("wanted", ["a-compiler-that-is-not-here -O1", "'", ""])
@pytest.mark.usefixtures("compiler")
def test_a_command_that_is_not_there_leaves_the_usual_ones(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", wanted)
    works()


def test_a_reason_is_remembered_rather_than_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "calls"
    monkeypatch.setenv("CC", str(program(tmp_path / "bin", "strange", f"echo call >> {log}; exit 1")))
    for _ in range(3):
        with pytest.raises(NoKernelsError, match="failed"):
            library.kernels_for(torch.float32)
    assert len(log.read_text().splitlines()) == 2  # its version, and one attempt


# ---- the cache ---------------------------------------------------------------------------------------------------


def test_the_second_process_compiles_nothing(counted: Path, cache: Path) -> None:
    works()
    works(narrow=True)
    works()
    assert compilations(counted) == 2
    assert sorted(path.name[-8:] for path in cache.iterdir()) == ["-bf16.so", "-fp32.so"]


@pytest.fixture
def kept(counted: Path, cache: Path) -> Path:
    """What an earlier process left in the cache. This one has not loaded it: it would not look at the file again."""
    command = build._find_compiler()
    path = cache / f"{build._key(command)}-fp32.so"
    cache.mkdir(parents=True)
    build._compile(command, path, narrow=False)
    return path


def test_a_whole_file_of_an_earlier_process_is_used(kept: Path, counted: Path) -> None:
    works()
    assert compilations(counted) == 1


@pytest.mark.parametrize("keep", [0, 31, 33, 64, 4096, 20000, -1])
def test_a_file_that_was_cut_short_is_compiled_again(keep: int, kept: Path, counted: Path) -> None:
    """Such a file can be loaded and then kill the process at the first page that is not there."""
    kept.write_bytes(kept.read_bytes()[:keep])
    works()
    assert compilations(counted) == 2
    works()
    assert compilations(counted) == 2


def test_a_file_with_one_wrong_bit_is_compiled_again(kept: Path, counted: Path) -> None:
    whole = bytearray(kept.read_bytes())
    whole[len(whole) // 2] ^= 1
    kept.write_bytes(bytes(whole))
    works()
    assert compilations(counted) == 2


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_cache_in_which_others_can_write_is_not_used(mode: int, kept: Path, counted: Path, cache: Path) -> None:
    cache.chmod(mode)
    before = kept.stat()
    works()
    assert compilations(counted) == 2  # in a temporary folder
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_file_that_others_can_change_is_compiled_again(mode: int, kept: Path, counted: Path) -> None:
    kept.chmod(mode)
    works()
    assert compilations(counted) == 2
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_code_of_another_user_is_never_run(what: str, kept: Path, cache: Path, tmp_path: Path) -> None:
    """A planted library has the right name and ends in its own right digest; loading it would run its constructor."""
    source, trace = tmp_path / "planted.c", tmp_path / "planted-code-ran"
    source.write_text(f'#include <fcntl.h>\n__attribute__((constructor)) void f(void) {{ creat("{trace}", 0600); }}')
    subprocess.run([*build._find_compiler(), "-shared", "-fPIC", str(source), "-o", str(kept)], check=True)
    kept.write_bytes(kept.read_bytes() + hashlib.sha256(kept.read_bytes()).digest())
    kept.chmod(0o755)
    os.chown(kept if what == "file" else cache, 65534, 65534)
    works()
    assert not trace.exists()


def test_a_named_pipe_in_the_cache_does_not_wait(kept: Path, counted: Path) -> None:
    kept.unlink()
    os.mkfifo(kept)
    works()
    assert compilations(counted) == 2


def test_a_umask_that_lets_the_group_write_costs_no_compilation(counted: Path, cache: Path) -> None:
    before = os.umask(0o002)
    try:
        works()
        works()
    finally:
        os.umask(before)
    assert compilations(counted) == 1
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    works()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_user_without_a_home_needs_none(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    works()
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("variable", [None, "", "relative/folder"])
def test_without_a_usable_variable_the_cache_is_in_the_home(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    if variable is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
    works()
    assert len(list((tmp_path / "home" / ".cache" / "bertune" / "native").glob("*.so"))) == 1
    assert not (tmp_path / "relative").exists()


@pytest.mark.slow
def test_processes_that_compile_at_once_all_succeed(compiler: str, cache: Path) -> None:
    text = (
        "import torch; from bertune.kernels.build import load_library; from bertune.kernels.interface import declare;"
        "from bertune.kernels.self_check import check_numbers; library = load_library(narrow=False);"
        "declare(library); check_numbers(library, torch.float32)"
    )
    running = [subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert len(list(cache.iterdir())) == 1  # and nothing half-built beside it


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that a test may change."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for source in build._sources():
        shutil.copy(source, folder)
    monkeypatch.setattr(build, "_FOLDER", folder)
    return folder


def test_the_name_changes_with_each_source_the_flags_the_compiler_and_the_processor(
    compiler: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {build._key((compiler,)), build._key((compiler, "-DX"))}
    assert {path.name for path in copied.iterdir()} >= {"kernels.c", "vectors.h", "attention.h"}
    for source in list(copied.iterdir()):
        source.write_text(source.read_text() + "\n")
        names.add(build._key((compiler,)))
    monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, "-g"))
    names.add(build._key((compiler,)))
    monkeypatch.setattr(build, "_processor", lambda: ["another model"])
    names.add(build._key((compiler,)))
    assert len(names) == 2 + len(list(copied.iterdir())) + 2
    assert build._key((compiler,)) in names


def test_every_source_that_is_included_is_there() -> None:
    text = (build._FOLDER / "kernels.c").read_text()
    included = {line.split('"')[1] for line in text.splitlines() if line.startswith('#include "')}
    assert included | {"kernels.c"} == {path.name for path in build._sources()}


# ---- the check of the numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "right", "wrong", "named"),
    [
        ("norm.h", "sum_of(square) / h + eps", "sum_of(square) / (h - 1) + eps", "norm"),
        ("norm.h", "* load32(gamma + j) - a - x * b", "* load32(gamma + j) - a", "norm"),
        ("norm.h", "store32(dbias + at, load32(dbias + at) + dx);", "", "norm"),
        ("activation.h", "0.044715f * x * x * x", "0.0447f * x * x", "activations"),
        ("activation.h", "+ x * density", "", "activations"),
        ("vectors.h", "1.0f / 6;", "1.0f / 5;", None),
        ("attention.h", "choose(kept, e, -e) * (g - delta)", "choose(kept, e, -e) * g", "attention"),
        ("attention.h", "1.0f / sqrtf((float)d)", "1.0f", "attention"),
        ("first_attention.h", "(g[j] - delta);", "g[j];", "first_attention"),
        ("first_attention.h", "load32(a->dfirst + (b + i) * h + j) +", "", "first_attention"),
        ("first_attention.h", "a->dq[b * h + j] *= t->scale;", ";", "first_attention"),
        ("first_attention.h", "write_bias_gradient(t, a->dq + r, 0, r);", "", "first_attention"),
        ("products.h", "for (; i < m; i++) tile(added, 1", "for (; i < m; i += 2) tile(added, 1", "attention"),
        ("products.h", "product_of(1, a, ai", "product_of(0, a, ai", "relative_attention"),
        ("relative_bias.h", "load32(numbers - i + j)", "load32(numbers + j)", "relative_attention"),
        ("relative_bias.h", "choose(real, load32(x + full), splat(0.0f))", "load32(x + full)", "relative_attention"),
        ("disentangled.h", "results + row * apart + n - 1 - row", "results + row * apart", "relative_attention"),
        ("disentangled.h", "load32(queries + e * d + j) * scale", "load32(queries + e * d + j)", "relative_attention"),
        (
            "disentangled.h",
            "add_product(room, 1, apart, rows + at * d",
            "(void)(dtable + first);//",
            "relative_attention",
        ),
        ("disentangled.h", "load32(dbias + h + j) + load32(sum + d + j)", "load32(sum + d + j)", "relative_attention"),
        (
            "attention.h",
            "for (long i = m; i < s; i++) memset",
            "for (long i = s; i < s; i++) memset",
            "relative_attention",
        ),
        ("distances.h", "(1 + r->asked + r->asking)", "1", "relative_attention"),
        ("projection.h", "if (w->g2) g +=", "if (w->g1) g -=", "projection"),
        ("adamw.h", "(1.0f - beta2) * g * g", "(1.0f - beta1) * g * g", "adamw"),
        ("adamw.h", "for (; j < to; j++) {", "for (; j < to; j += 2) {", "adamw"),
        ("threads.h", "for (int t = 0; t < team; t++)", "for (int t = 1; t < team; t++)", None),
    ],
)
def test_a_library_with_wrong_numbers_is_never_used(
    compiler: str, copied: Path, source: str, right: str, wrong: str, named: str | None
) -> None:
    text = (copied / source).read_text()
    if right not in text:
        pytest.fail(f"{source} no longer holds {right}")
    (copied / source).write_text(text.replace(right, wrong))
    with pytest.raises(NoKernelsError, match=rf"gave wrong numbers \({named or ''}"):
        library.kernels_for(torch.bfloat16)  # where rounding could hide more


@pytest.mark.usefixtures("compiler")
def test_the_right_library_passes_in_both_types() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert library.kernels_for(dtype) is library.kernels_for(dtype)


def test_training_goes_on_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.training.conftest import make_classifier, make_dataset

    from bertune.evaluation.logits import predict_logits
    from bertune.training.config import TrainingConfig
    from bertune.training.loop import fit

    class Listener(Callback):
        how = ""

        def on_start(self, total_steps: int, steps_per_epoch: int, precision: str) -> None:
            self.how = precision

        def on_step(self, result: object) -> None: ...

        def on_epoch(self, result: object) -> None: ...

    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    listener, classifier, data = Listener(), make_classifier(), make_dataset(32, 1)
    fit(classifier, data, config=TrainingConfig(epochs=1, precision="fp32"), callbacks=[listener])
    assert listener.how == "fp32, torch operators: no C compiler (cc, gcc, clang) on the PATH"
    assert predict_logits(classifier, data).shape == (32, 2)


def test_what_a_killed_process_left_of_a_compilation_is_removed(compiler: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    left = cache / ".tmp-kernels.so-4194305-0"  # no process has so high a number
    left.write_bytes(bytes(1000))
    load_library(narrow=False)
    assert [path.suffix for path in cache.iterdir()] == [".so"]
