"""Start-up: what is imported, and how long it takes."""

import subprocess
import sys
from pathlib import Path

from bertune.cli.app import _VERBS


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n', file=sys.__stdout__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_bertune_imports_no_torch() -> None:
    modules = modules_after("import bertune")
    assert not modules & {"torch", "numpy", "pyarrow", "tokenizers", "rich", "cyclopts", "sklearn", "matplotlib"}


def test_the_help_of_every_verb_imports_no_torch() -> None:
    for verb in ("", *_VERBS):
        arguments = [verb, "--help"] if verb else ["--help"]
        code = (
            f"import io, sys; sys.stdout = io.StringIO()\nfrom bertune.cli import main\nassert main({arguments!r}) == 0"
        )
        assert not modules_after(code) & {"torch", "pyarrow", "tokenizers", "transformers", "sklearn", "matplotlib"}


def test_help_takes_less_than_three_tenths_of_a_second_of_processor_time() -> None:
    import resource

    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bertune", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert best < 0.3


def test_every_public_name_is_there() -> None:
    import bertune

    for name in bertune.__all__:
        assert getattr(bertune, name) is not None
    assert set(dir(bertune)) == set(bertune.__all__)


def test_looking_into_a_table_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na good film,up\na bad film,down\n")
    for more in ([], ["--text-a", "text", "--label", "label"]):
        arguments = ["inspect", str(tmp_path / "t.csv"), *more]
        code = (
            f"import io, sys; sys.stdout = io.StringIO()\nfrom bertune.cli import main\nassert main({arguments!r}) == 0"
        )
        assert not modules_after(code) & {"torch", "transformers", "sklearn", "matplotlib"}
