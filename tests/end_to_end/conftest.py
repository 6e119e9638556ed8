"""A small world for the command line: a tiny encoder with real files, and tables of a task it can learn."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.forked_commands import AT_ANY_TIME, ForkedCommands
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, SPECIAL, TRAINING, Run, write_encoder, write_table


def _environment() -> dict[str, str]:
    # What is promised bit for bit is promised on a processor.
    fixed = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **fixed}


@pytest.fixture(scope="session")
def fresh_run() -> Run:
    """Runs the command line in a process that starts from nothing."""

    def run_bertune(*arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bertune", *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=300,
            env=_environment() | variables,
        )

    return run_bertune


@pytest.fixture(scope="session")
def run(fresh_run: Run) -> Iterator[Run]:
    """Runs the command line in a process of its own, which finds torch imported."""
    commands = ForkedCommands(_environment())

    def run_bertune(*arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        if all(name.startswith(AT_ANY_TIME) for name in variables):
            return commands.run(list(arguments), stdin=stdin, variables=variables)
        return fresh_run(*arguments, stdin=stdin, **variables)

    yield run_bertune
    commands.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("model"), [*SPECIAL, *GOOD, *BAD, *OTHER])


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder / "train.csv", 320, 1)
    write_table(folder / "validation.csv", 80, 2)
    write_table(folder / "test.csv", 80, 3)
    (folder / "pairs").mkdir()
    write_table(folder / "pairs" / "train.csv", 64, 1, pairs=True)
    write_table(folder / "pairs" / "validation.csv", 32, 2, pairs=True)
    return folder


@pytest.fixture(scope="session")
def trained(run: Run, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by the real command line."""
    out = tmp_path_factory.mktemp("runs") / "mood"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    return out
