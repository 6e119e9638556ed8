"""How many processors may be used, from the files of Linux's control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertune.system import processors
from bertune.system.processors import limit_threads, processor_limit, threads_of_workers, usable_processors


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "groups"
    folder.mkdir()
    monkeypatch.setattr(processors, "_GROUPS", folder)
    monkeypatch.setattr(processors, "_MEMBERSHIP", tmp_path / "membership")
    return folder


def join(groups: Path, text: str, files: dict[str, str]) -> float | None:
    membership = groups.parent / "membership"
    membership.write_text(text)
    for name, content in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return processor_limit(membership, groups)


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 50000\n"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "100000 100000\n"}, 1.0),
        # the path is that outside of the container, the files are those inside
        ("0::/docker/4f2\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/../other\n", {"cpu.max": "400000 100000\n"}, 4.0),
        (
            "5:memory:/m\n4:cpu,cpuacct:/docker/4f2\n0::/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            3.0,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("1:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
        ("0::/\n", {}, None),
        ("no colon\n\n::\n", {}, None),
        ("", {}, None),
    ],
)
def test_the_limit_is_the_smallest_of_the_group_and_those_above_it(
    groups: Path, membership: str, files: dict[str, str], limit: float | None
) -> None:
    assert join(groups, membership, files) == limit


def test_without_control_groups_there_is_no_limit(groups: Path) -> None:
    assert processor_limit(groups / "nothing", groups / "nowhere") is None
    environment: dict[str, str] = {}
    limit_threads(environment)
    assert environment == {}
    assert usable_processors() >= 1


@pytest.fixture
def eight_processors(groups: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two to a core."""
    folder = groups.parent / "topology"
    for number in range(8):
        path = folder / f"cpu{number}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{number % 4},{number % 4 + 4}\n")
    monkeypatch.setattr(processors, "_TOPOLOGY", folder)
    monkeypatch.setattr(processors, "_present", lambda: set(range(8)))
    return folder


@pytest.mark.parametrize(
    ("quota", "threads", "usable"),
    [(50_000, 1, 1), (100_000, 1, 1), (250_000, 2, 2), (399_999, 3, 3), (400_000, None, 4), (10**9, None, 8)],
)
@pytest.mark.usefixtures("eight_processors")
def test_a_limit_below_the_cores_decides(groups: Path, quota: int, threads: int | None, usable: int) -> None:
    join(groups, "0::/\n", {"cpu.max": f"{quota} 100000\n"})
    environment: dict[str, str] = {}
    limit_threads(environment)
    assert environment == ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    assert usable_processors() == usable


def test_where_cores_are_not_told_apart_each_processor_counts(groups: Path, eight_processors: Path) -> None:
    (eight_processors / "cpu3/topology/thread_siblings_list").unlink()
    join(groups, "0::/\n", {"cpu.max": "500000 100000\n"})
    environment: dict[str, str] = {}
    limit_threads(environment)
    assert environment == {"OMP_NUM_THREADS": "5"}


def test_a_number_that_is_set_stays(groups: Path) -> None:
    join(groups, "0::/\n", {"cpu.max": "50000 100000\n"})
    environment = {"OMP_NUM_THREADS": "7"}
    limit_threads(environment)
    assert environment == {"OMP_NUM_THREADS": "7"}


def test_the_command_line_limits_torchs_threads(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    program = """
import sys
from pathlib import Path
import bertune.__main__, bertune.system.processors
folder = Path(sys.argv.pop())
bertune.system.processors._MEMBERSHIP, bertune.system.processors._GROUPS = folder / "membership", folder
sys.argv[1:] = ["--version"]
bertune.__main__.start()
assert "torch" not in sys.modules
import torch
print(torch.get_num_threads())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split()[-1] == "1"


def test_workers_divide_the_processors_unless_their_threads_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_set_here", set())
    monkeypatch.setattr(processors, "usable_processors", lambda: 8)
    monkeypatch.setattr(processors, "_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_of_workers(count)["OMP_NUM_THREADS"] for count in (1, 2, 3, 8, 20)] == ["8", "4", "2", "1", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of_workers(4) == {"OMP_NUM_THREADS": "3"}


def test_workers_divide_what_the_container_allows(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_set_here", set())
    monkeypatch.setattr(processors, "_cores", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    join(groups, "0::/\n", {"cpu.max": "600000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    limit_threads(os.environ)
    try:
        assert os.environ["OMP_NUM_THREADS"] == "6"
        assert threads_of_workers(2) == {"OMP_NUM_THREADS": "3"}
    finally:
        monkeypatch.delenv("OMP_NUM_THREADS")
