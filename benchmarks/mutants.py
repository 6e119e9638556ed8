"""How many small faults in a module its unit tests notice: mutants made by cosmic-ray, a sample for each module.

`make mutants MODULES="system/atomic optim/schedule" SAMPLE=20`, or
`python -m benchmarks.mutants system/atomic optim --sample 20`; a package stands for all modules in it. Works on a copy
of the sources, never on the sources themselves.

At each place (an operator, a number, a condition, a decorator) one mutant is drawn of those that cosmic-ray knows for
it, so that an addition, which can become eleven other things, counts no more than a `not`; then so many of the places.
The same seed draws the same of the same source. What survives is shown as a diff.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).parents[1]
DEFAULT = (
    *("system/atomic", "system/folder_lock", "fetch/http_client", "optim/schedule", "optim/parameter_groups"),
    *("evaluation/metrics", "evaluation/class_metrics", "evaluation/label_metrics", "evaluation/value_metrics"),
    *("evaluation/intervals", "evaluation/thresholds", "evaluation/significance"),
)
# Where `unit_tests_of` would find too few: tests that are named after another module, or come to it by way of one.
TESTS = {
    "system/atomic": ("system/test_atomic.py", "system/test_folder_lock.py"),
    "evaluation/metrics": ("evaluation/test_metrics.py", "evaluation/test_label_scores.py"),
    "evaluation/class_metrics": ("evaluation/test_metrics.py",),
    "evaluation/label_metrics": ("evaluation/test_label_scores.py",),
    "evaluation/value_metrics": ("evaluation/test_metrics.py",),
    "evaluation/against_baseline": ("evaluation/test_side_of_baseline.py",),
    "evaluation/label_scores": ("evaluation/test_judged_labels.py",),
    "evaluation/paired_bootstrap": ("evaluation/test_paired_bootstrap.py", "evaluation/test_comparison.py"),
    "evaluation/score_parts": ("evaluation/test_scores.py",),
    "evaluation/scores": ("evaluation/test_scores.py", "evaluation/test_label_scores.py"),
    "evaluation/scores_text": ("evaluation/test_scores.py",),
    "optim/create": ("optim/test_create.py", "optim/test_schedule.py"),
    "optim/parameter_groups": ("optim/test_create.py",),
    "fetch/http_client": ("fetch/test_download.py",),
}
COPIED = ("src", "tests", "examples", "benchmarks", "pyproject.toml", "README.md")
# Of annotations: `int | None` would become `int + None`, and no module could be imported.
IGNORED = ("core/ReplaceBinaryOperator_BitOr_",)


@dataclass(frozen=True)
class Result:
    """What became of a module's mutants.

    Args:
        module: below `bertune`, without its ending.
        places: where there are mutants.
        tried: mutants.
        timed_out: of them, which no test ended.
        survivors: diffs of those that no test noticed.
    """

    module: str
    places: int
    tried: int
    timed_out: int
    survivors: tuple[str, ...]


def modules_of(names: list[str]) -> list[str]:
    """Returns the modules that are named, or that are in the packages that are."""
    found = []
    for name in names:
        folder = ROOT / "src" / "bertune" / name
        if folder.is_dir():
            found += [f"{name}/{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        elif folder.with_suffix(".py").is_file():
            found.append(name)
        else:
            sys.exit(f"there is neither a module nor a package {folder.relative_to(ROOT)}")
    return found


def unit_tests_of(module: str) -> list[str]:
    """Returns the unit tests of a module: those that import it, else all of its package."""
    if module in TESTS:
        return [f"tests/unit/{name}" for name in TESTS[module]]
    package, _, name = ("bertune." + module.replace("/", ".")).rpartition(".")
    imports = (f"from {package}.{name} import", f"from {package} import {name}\n", f"import {package}.{name}\n")
    files = sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
    found = [path for path in files if any(line in path.read_text("utf-8") for line in imports)]
    own = ROOT / "tests" / "unit" / Path(module).parent / f"test_{name}.py"
    chosen = [own] if own in found else found or [ROOT / "tests" / "unit" / Path(module).parent]
    return [str(path.relative_to(ROOT)) for path in chosen]


def draw(path: Path, sample: int, seed: int, folder: Path) -> tuple[int, list["MutationSpec"]]:
    """Returns how many places there are, and mutants of so many of them."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import use_db

    by_place = defaultdict(list)
    with use_db(folder / "session.sqlite") as database:
        init([path], database, {})
        for item in database.work_items:
            (mutation,) = item.mutations
            if not mutation.operator_name.startswith(IGNORED):
                kind = mutation.operator_name.split("_")[0]
                by_place[mutation.start_pos, mutation.end_pos, kind].append(mutation)
    source = random.Random(seed)
    places = sorted(by_place)
    drawn = source.sample(places, min(sample, len(places)))
    return len(places), [source.choice(sorted(by_place[place], key=str)) for place in drawn]


def try_mutants(module: str, sample: int, seed: int, work: Path) -> Result:
    """Runs the module's tests on each mutant drawn.

    Raises:
        SystemExit: they fail without any.
    """
    from cosmic_ray.mutating import mutate_and_test
    from cosmic_ray.work_item import TestOutcome

    path = work / "src" / "bertune" / f"{module}.py"
    places, mutations = draw(path, sample, seed, work)
    tests = unit_tests_of(module)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    started = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the tests of {module} fail without a mutant:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    timeout = 10 + 5 * (time.monotonic() - started)
    timed_out, survivors = 0, []
    for mutation in mutations:
        result = mutate_and_test([mutation], " ".join(command), timeout)
        timed_out += result.output == "timeout"
        if result.test_outcome == TestOutcome.SURVIVED:
            survivors.append((result.diff or "").replace(str(work) + os.sep, "").strip())
        elif result.test_outcome != TestOutcome.KILLED:
            sys.exit(f"{module}: {mutation}: {result.output}")
        print("." if result.is_killed else "S", end="", file=sys.stderr, flush=True)
    print(f" {module}, tests {' '.join(tests)}", file=sys.stderr, flush=True)
    return Result(module, places, len(mutations), timed_out, tuple(survivors))


def page_of(results: list[Result]) -> str:
    """Returns a table of all modules and, below it, what survived."""
    rows = [
        f"| {each.module} | {each.places} | {each.tried} | {each.tried - len(each.survivors)} | {each.timed_out} | "
        f"{1 - len(each.survivors) / max(each.tried, 1):.0%} |"
        for each in results
    ]
    head = ["| module | places | mutants tried | noticed | of them by time | score |", "|---|---|---|---|---|---|"]
    parts = ["\n".join(head + rows)]
    for each in results:
        parts += [f"`{each.module}`\n\n```diff\n{diff}\n```" for diff in each.survivors]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Tries mutants of the modules that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "modules", nargs="*", default=DEFAULT, help="below src/bertune, such as optim or optim/schedule"
    )
    parser.add_argument("--sample", type=int, default=20, help="mutants of each module, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--out", type=Path, help="file for the table, instead of the terminal")
    arguments = parser.parse_args()
    modules, out = modules_of(list(arguments.modules)), arguments.out and arguments.out.absolute()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, work / name)
        os.chdir(work)
        os.environ |= {"PYTHONPATH": str(work / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        for module in modules:
            results.append(try_mutants(module, arguments.sample, arguments.seed, work))
            if out:
                out.write_text(page_of(results), "utf-8")
        os.chdir(ROOT)
    if not out:
        print(page_of(results))


if __name__ == "__main__":
    main()
