"""What it is worth to train a table of the run's own tokens: time of a step and memory, beside the whole table.

    python -m benchmarks.vocabulary --shapes minilm xlm-r --rounds 3 --base COMMIT

Each measurement is a process of its own, in turns: `compact`, as bertune trains; `whole`, with every row of the table
trained; with `--base` also `before`, the code of another commit. Random weights and tokens, drawn so that a few
thousand of the table's rows occur, as in a data set of a few thousand texts. Writes NAME.json and NAME.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, versions

ROOT = Path(__file__).resolve().parent.parent
# Rows of the table, hidden size, layers, heads, intermediate size; rows that occur; examples a batch.
SHAPES = {
    "minilm": (30_522, 384, 12, 12, 1536, 9_000, 32),
    "xlm-r": (250_002, 768, 12, 12, 3072, 9_000, 8),
}
LENGTH = 48


def work(shape: str, system: str, engine: str, steps: int) -> None:
    """Trains two epochs of `steps` steps and prints seconds a step of the second, the engine, and the peak memory."""
    import resource

    import numpy as np
    import torch

    import bertune
    from bertune.tokenization.encode_texts import EncodedExamples
    from bertune.training import loop

    vocabulary, hidden, layers, heads, intermediate, used, batch = SHAPES[shape]
    if system == "whole":
        of_run: Any = vars(loop)
        compact = of_run["CompactVocabulary"]
        of_run["CompactVocabulary"] = lambda classifier, _: compact(classifier, None)
    config = bertune.BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        hidden_act="gelu",
    )
    source = np.random.default_rng(0)
    examples = batch * steps
    ids = source.choice(vocabulary, used, replace=False)[source.zipf(1.1, examples * LENGTH) % used]
    offsets = np.arange(examples + 1) * LENGTH
    lengths = np.full(examples, LENGTH, np.int32)
    encoded = EncodedExamples(ids.astype(np.int32), offsets, lengths, np.zeros(examples, bool), 128)
    data = bertune.Dataset(encoded, source.integers(0, 2, examples))
    classifier, _ = bertune.classifier_model(config, 2, seed=1)
    found: dict[str, Any] = {}

    class Observer(bertune.Callback):
        def on_start(self, _total: int, _per_epoch: int, how: str) -> None:
            found["how"] = how

        def on_step(self, _result: object) -> None:
            pass

        def on_epoch(self, result: Any) -> None:
            found["seconds"] = result.train_seconds / steps

    settings = bertune.TrainingConfig(recipe="lesson", learning_rate=2e-5, epochs=2, batch_size=batch)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    bertune.fit(classifier, data, config=settings, callbacks=[Observer()])
    found["mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["rows"] = len(np.unique(ids))
    expected = "compiled kernels" if engine == "kernels" else "torch operators"
    assert expected in found["how"], found["how"]
    print(json.dumps(found))


def measure(shape: str, system: str, engine: str, options: argparse.Namespace, sources: Path) -> dict[str, Any]:
    """Runs `work` in a process of its own."""
    variables = os.environ | {
        "PYTHONPATH": f"{sources}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": str(options.threads),
        "BERTUNE_DISABLE": "" if engine == "kernels" else "kernels",
    }
    command = [sys.executable, "-m", "benchmarks.vocabulary", "--work", shape, system, engine, str(options.steps)]
    done = subprocess.run(command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def page(results: dict[str, Any]) -> str:
    """Returns the results as a table."""
    lines = [
        "# A table of the run's own tokens, beside the whole table",
        "",
        "| shape | engine | system | rows trained | ms a step | beside compact | peak MiB | beside compact |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, systems in results["runs"].items():
        shape, engine = key.split("/")
        own = systems["compact"]
        for system, runs in systems.items():
            seconds = statistics.median(run["seconds"] for run in runs)
            memory = statistics.median(run["mebibytes"] for run in runs)
            pairs = [
                (run["seconds"] / one["seconds"], run["mebibytes"] / one["mebibytes"])
                for run, one in zip(runs, own, strict=True)
            ]
            slower, larger = ([pair[part] for pair in pairs] for part in (0, 1))
            rows = SHAPES[shape][0] if system == "whole" else runs[0]["rows"]
            lines.append(
                f"| {shape} | {engine} | {system} | {rows:,} | {1000 * seconds:,.0f} | {_spread(slower)} "
                f"| {memory:,.0f} | {_spread(larger)} |"
            )
    made = " ".join(f"{name} {value}," for name, value in (results["machine"] | results["versions"]).items())
    lines += ["", "Medians of rounds in turns; in brackets the lowest and highest of the rounds' ratios."]
    return "\n".join([*lines, f"`{results['command']}`", "", made.rstrip(",") + ".", ""])


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Measures all shapes, engines and systems in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--engines", nargs="+", choices=["kernels", "torch"], default=["kernels", "torch"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--base", help="a commit whose code is measured too")
    parser.add_argument("--out", type=Path, default=Path(f"benchmarks/results/vocabulary_{time.strftime('%Y-%m-%d')}"))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        shape, system, engine, steps = options.work
        work(shape, system, engine, int(steps))
        return
    with tempfile.TemporaryDirectory() as folder:
        sources = {"compact": ROOT / "src", "whole": ROOT / "src"}
        if options.base:
            tree = Path(folder) / "base"
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "--quiet", "--detach", str(tree), options.base], check=True)
            sources["before"] = tree / "src"
        runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
        try:
            for number in range(1, options.rounds + 1):
                for shape in options.shapes:
                    for engine in options.engines:
                        # Each round begins with another one: the first after a pause finds another processor.
                        first = (number - 1) % len(sources)
                        for system in (*list(sources)[first:], *list(sources)[:first]):
                            found = measure(shape, system, engine, options, sources[system])
                            runs.setdefault(f"{shape}/{engine}", {}).setdefault(system, []).append(found)
                            print(f"round {number}  {shape}  {engine}  {system}: {found}", file=sys.stderr, flush=True)
        finally:
            if options.base:
                subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    command = f"python -m benchmarks.vocabulary {' '.join(sys.argv[1:])}"
    results = {"machine": machine(), "versions": versions("bertune", "torch"), "command": command, "runs": runs}
    options.out.with_name(f"{options.out.name}.json").write_text(json.dumps(results, indent=2) + "\n")
    options.out.with_name(f"{options.out.name}.md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
