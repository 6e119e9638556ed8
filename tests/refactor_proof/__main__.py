"""Proves that a refactor changes nothing: every verb on two commits, and every file they write compared.

    make refactor-proof BASE=HEAD~1
    python tests/refactor_proof --base main --expected 'out/*/report.html=the headings were reworded'

Runs the steps of `steps.py` on a commit and on the working tree, each in fresh processes with one thread and a cache of
its own, then compares weights, answers, journals, reports and what was printed, byte by byte except for times.
Differences that are meant are named by a pattern with the reason; one that meets nothing is an error, too. Ends with 1
where something else differs. What a commit gave is kept below `--work`, and taken from there the next time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from comparison import contents, differences, judge
from inputs import write_inputs
from steps import STEPS, Step

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Runs both sides and prints what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="HEAD", help="the commit before the refactor")
    parser.add_argument("--expected", action="append", default=[], metavar="PATTERN=REASON")
    parser.add_argument("--only", nargs="+", default=(), help="these steps alone; they must need no others")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "refactor-proof")
    parser.add_argument("--again", action="store_true", help="run the commit's side again")
    arguments = parser.parse_args()
    expected = dict(_split(word, parser) for word in arguments.expected)
    steps = [step for step in STEPS if not arguments.only or step.name in arguments.only]
    commit = _git("rev-parse", "--verify", f"{arguments.base}^{{commit}}")
    before = arguments.work / (f"{commit}-{'-'.join(arguments.only)}" if arguments.only else commit)
    if arguments.again or not (before / "finished").exists():
        _run_commit(commit, before, steps, arguments.work)
    after = arguments.work / "working-tree"
    _run_side(ROOT, after, steps)
    found = differences(contents(before), contents(after))
    unexpected, unmet = judge(found, expected)
    for name, how in found.items():
        print(f"{'DIFFERS ' if name in unexpected else 'expected'} {name}", *how, sep="\n    ")
    for pattern in unmet:
        print(f"UNMET    {pattern}: no difference is called so")
    count = len(contents(after))
    print(f"{len(steps)} steps, {count:,} files: {len(unexpected)} unexpected differences, {len(found)} in all")
    return 1 if unexpected or unmet else 0


def _split(word: str, parser: argparse.ArgumentParser) -> tuple[str, str]:
    pattern, equals, reason = word.partition("=")
    if not (pattern and equals and reason):
        parser.error(f"--expected {word!r}: name a pattern and the reason, PATTERN=REASON")
    return pattern, reason


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _run_commit(commit: str, folder: Path, steps: list[Step], work: Path) -> None:
    tree = (work / "tree").resolve()
    shutil.rmtree(tree, ignore_errors=True)
    _git("worktree", "prune")
    _git("worktree", "add", "--detach", str(tree), commit)
    try:
        _run_side(tree, folder, steps)
    finally:
        _git("worktree", "remove", "--force", str(tree))


def _run_side(tree: Path, folder: Path, steps: list[Step]) -> None:
    """Runs the steps with the sources of a tree; the inputs are those of this one for both."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    (folder / "inputs").mkdir()
    write_inputs(folder / "inputs")
    shutil.copytree(ROOT / "examples" / "data", folder / "inputs" / "demo")
    cache = folder.with_name(f"{folder.name}.cache")
    shutil.rmtree(cache, ignore_errors=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cache.resolve()),
        "XDG_CACHE_HOME": str(cache.resolve()),
        "PYTHONPATH": str((tree / "src").resolve()),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    print(f"{folder.name}: {len(steps)} steps", file=sys.stderr)
    (folder / "printed").mkdir()
    for step in steps:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bertune", *step.command.split()],
            cwd=folder,
            env=environment | dict(step.environment),
            input=step.stdin,
            capture_output=True,
            text=True,
        )
        for name, text in (("out", done.stdout), ("err", done.stderr)):
            (folder / "printed" / f"{step.name}.{name}.txt").write_text(text)
        print(f"  {step.name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
        if done.returncode != step.code:
            sys.exit(f"{step.name} ended with {done.returncode}, not {step.code}: {done.stderr[-2000:]}")
    shutil.rmtree(cache)
    (folder / "finished").touch()


if __name__ == "__main__":
    sys.exit(main())
