"""`--shard I/N` of encode and predict as job arrays use it: processes that are killed, run twice, and run again."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run, write_table

VERBS = ["encode", "predict"]
# The peak of this process's own memory. The system keeps none of that: in what it keeps are pages of libraries too, of
# which more or fewer are there as other work on the machine has it.
PEAK = """
import re, sys, threading, time
from pathlib import Path
peak = [0]

def watch():
    while True:
        peak[0] = max(peak[0], int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
from bertune.cli import main
code = main(sys.argv[1:])
print(peak[0], file=sys.stderr)
sys.exit(code)
"""


def command_of(verb: str, data: Path, model: Path, trained: Path, out: Path) -> list[str]:
    if verb == "predict":
        return ["predict", str(trained), str(data), "--out", str(out), "--quiet"]
    return ["encode", "--data", str(data), *COLUMNS, "--model", str(model), "--out", str(out), "--quiet"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("verb", VERBS)
def test_shards_of_several_processes_are_one_folder(
    run: Run, model: Path, trained: Path, tables: Path, tmp_path: Path, verb: str
) -> None:
    data = tables / "train.csv"
    whole = run(*command_of(verb, data, model, trained, tmp_path / "one"), "--shards", "2")
    assert whole.returncode == 0, whole.stderr
    for shard in ("1/2", "0/2"):
        done = run(*command_of(verb, data, model, trained, tmp_path / "two"), "--shard", shard)
        assert done.returncode == 0, done.stderr
        assert ("1 of 2 shards in" in done.stdout or "1 of 2 shards as" in done.stdout) == (shard == "1/2")
        if shard == "1/2":
            looked = run("inspect", str(tmp_path / "two"))
            assert "warning: 1 of 2 shards is not finished: 0; run" in looked.stdout, looked.stderr
    assert content(tmp_path / "two") == content(tmp_path / "one")
    looked = run("inspect", str(tmp_path / "two"), "--json")
    assert json.loads(looked.stdout)["shards_missing"] == []
    for shard, said in (("5/4", "the last of 4 is 3/4"), ("a", "--shard 0/4 is the first of four")):
        refused = run(*command_of(verb, data, model, trained, tmp_path / "three"), "--shard", shard)
        assert refused.returncode == 2
        assert [line.split(":")[0] for line in refused.stderr.splitlines()] == ["error", "hint"]
        assert said in refused.stderr
    assert not (tmp_path / "three").exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_processes_lose_their_own_unfinished_shard_alone(
    run: Run, model: Path, trained: Path, tmp_path: Path, verb: str
) -> None:
    data = write_table(tmp_path / "many.csv", 40_000, 7)
    os.utime(data, (time.time() - 60, time.time() - 60))
    whole = run(*command_of(verb, data, model, trained, tmp_path / "one"), "--shards", "4")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "four"
    command = command_of(verb, data, model, trained, out)

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "bertune", *command, "--shard", f"{number}/4"]
        return subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    processes = [start(number) for number in range(4)]
    for number in (1, 2):
        while not list(out.glob(f".partial-*-{number:05d}-of-00004.*")):
            assert processes[number].poll() is None, "it was done before it could be killed"
            time.sleep(0.005)
        processes[number].kill()
    codes = [process.wait() for process in processes]
    assert codes == [0, -9, -9, 0]
    assert len([path for path in content(out) if "-of-00004" in path]) == 2
    twice = [start(number) for number in (0, 1, 1, 2, 3)]
    codes = [process.wait() for process in twice]
    # Of two processes with the same number one does it; the other is told so, or finds it done.
    assert codes[0] == codes[3] == codes[4] == 0
    assert sorted(codes[1:3]) in ([0, 0], [0, 2])
    assert content(out) == content(tmp_path / "one")
    assert [path.name for path in out.glob(".*")] == [".parts"]


@pytest.mark.slow
def test_the_memory_of_predicting_does_not_grow_with_the_rows(trained: Path, tmp_path: Path) -> None:
    # By the first 50,000 rows every buffer has been full once; 170 bytes kept of each later row would be seen.
    peaks = []
    for rows in (50_000, 400_000):
        data = write_table(tmp_path / f"{rows}.csv", rows, 7)
        command = ["predict", str(trained), str(data), "--key", "id", "--shards", "2", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *command, "--out", str(tmp_path / f"out-{rows}")],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stderr.split()[-1]) / 1024)
    print(f"peak memory: {peaks[0]:.0f} MiB, at eight times the rows {peaks[1]:.0f} MiB")
    assert peaks[1] < peaks[0] + 60
