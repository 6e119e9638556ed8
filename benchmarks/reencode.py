"""Rows a second, CPU seconds and peak memory of re-encoding, beside the original tool on the same rows.

    python benchmarks/reencode.py --vocab vocab.txt --original PYTHON --out benchmarks/results/reencode_DATE

PYTHON is an interpreter with tf-models-official; without it bertune is measured alone. The rows are generated: pairs of
sentences of 6 to 40 words out of the vocabulary. Every measurement is a process of its own; the two tools take turns.
"""

import argparse
import csv
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

MAX_LENGTH = 128


def write_table(path: Path, rows: int, vocabulary: Path) -> None:
    source = random.Random(1)
    words = [word for word in vocabulary.read_text("utf-8").split("\n") if word.isascii() and word.isalpha()]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["first", "second", "label"])
        for _ in range(rows):
            texts = [" ".join(source.choices(words, k=source.randint(6, 40))) for _ in range(2)]
            writer.writerow([*texts, source.randint(0, 1)])


def run_bertune(table: Path, vocabulary: Path, out: Path, processes: int, format: Any) -> None:
    from bertune.data.examples import Columns, Task
    from bertune.data.row_source import RowSource
    from bertune.data.splits import find_splits
    from bertune.shards.reencode import reencode
    from bertune.tokenization.tokenizer import BertTokenizer

    task = Task.for_columns(Columns("first", "second", "label"))
    source = RowSource(find_splits(table, task)["train"], task)
    reencode(
        source, BertTokenizer(vocabulary), out, format=format, max_length=MAX_LENGTH, shards=4, processes=processes
    )


def run_original(table: Path, vocabulary: Path, out: Path) -> None:
    from official.nlp.data import classifier_data_lib as lib
    from official.nlp.tools import tokenization

    class TableProcessor(lib.DataProcessor):
        def get_train_examples(self, data_dir: str) -> list[object]:
            with Path(data_dir).open(newline="") as stream:
                return [
                    lib.InputExample(f"train-{row}", cells["first"], cells["second"], cells["label"])
                    for row, cells in enumerate(csv.DictReader(stream))
                ]

        def get_labels(self) -> list[str]:
            return ["0", "1"]

        @staticmethod
        def get_processor_name() -> str:
            return "TABLE"

    lib.generate_tf_record_from_data_file(
        TableProcessor(),
        str(table),
        tokenization.FullTokenizer(str(vocabulary), do_lower_case=True),
        train_data_output_path=str(out / "train.tfrecord"),
        max_seq_length=MAX_LENGTH,
    )


def measure(options: argparse.Namespace) -> None:
    """Runs one tool in this process; prints what it took, imports not timed."""
    if options.tool == "original":
        from official.nlp.data import classifier_data_lib  # noqa: F401 (the import is not timed)
    else:
        import bertune.shards.reencode  # noqa: F401
    began = [time.perf_counter(), *_cpu()]
    with tempfile.TemporaryDirectory() as folder:
        if options.tool == "original":
            run_original(options.table, options.vocab, Path(folder))
        else:
            run_bertune(options.table, options.vocab, Path(folder), options.processes, options.format)
        took = [now - before for now, before in zip([time.perf_counter(), *_cpu()], began, strict=True)]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    workers = options.processes if options.tool == "bertune" and options.processes > 1 else 0
    print(
        json.dumps(
            {
                "seconds": took[0],
                "cpu_seconds": took[1] + took[2],
                "peak_bytes": own + workers * child,
                "peak_bytes_of_parent": own,
            }
        )
    )


def _cpu() -> tuple[float, float]:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def measured(python: str, tool: str, table: Path, vocabulary: Path, processes: int, format: str) -> dict[str, float]:
    command = [python, __file__, "--tool", tool, "--table", str(table), "--vocab", str(vocabulary)]
    done = subprocess.run(
        [*command, "--processes", str(processes), "--format", format],
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab", type=Path, required=True)
    parser.add_argument("--original")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, nargs="*", default=[200_000])
    parser.add_argument("--huge", type=int, nargs="*", default=[], help="measured once by each tool")
    parser.add_argument("--pause-while", type=Path, help="no measurement begins while this file is there")
    parser.add_argument("--note", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tool", choices=["bertune", "original"])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--format", default="tfrecord")
    options = parser.parse_args()
    if options.tool:
        measure(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = run_all(options, Path(folder))
    earlier = options.out.with_suffix(".json")
    if earlier.exists():  # results of other sizes are kept
        results += json.loads(earlier.read_text())["results"]
        results.sort(key=lambda entry: (entry["rows"], entry["tool"], entry["processes"], entry["format"]))
    about = {
        "note": options.note,
        "versions": versions(options.original),
        "load_average": os.getloadavg(),
        "cores": os.cpu_count(),
        "processor": next(
            (line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().split("\n") if "model name" in line), ""
        ),
        "python": platform.python_version(),
        "results": results,
    }
    options.out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(about))
    print(report(about))


def versions(original: str | None) -> dict[str, str]:
    found = {name: version(name) for name in ("bertune", "tokenizers", "numpy", "google-crc32c")}
    if original:
        code = "from importlib.metadata import version as v; print(v('tf-models-official'), v('tensorflow'))"
        done = subprocess.run([original, "-c", code], capture_output=True, text=True, check=True)
        found |= dict(zip(("tf-models-official", "tensorflow"), done.stdout.split(), strict=True))
    return found


def run_all(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    small = {options.small} if options.rounds else set()
    tables = {rows: folder / f"train-{rows}.csv" for rows in small | {*options.large, *options.huge}}
    for rows, table in tables.items():
        write_table(table, rows, options.vocab)
    one, two = (sys.executable, "bertune", 1), (sys.executable, "bertune", 2)
    kinds = [(*one, "tfrecord"), (*two, "tfrecord"), (*two, "store")]
    if options.original:
        kinds.append((options.original, "original", 1, "tfrecord"))
    runs: dict[tuple[int, str, int, str], list[dict[str, float]]] = {}

    def take(rows: int, python: str, tool: str, processes: int, format: Any) -> None:
        while options.pause_while is not None and options.pause_while.exists():
            time.sleep(5)
        values = measured(python, tool, tables[rows], options.vocab, processes, format)
        runs.setdefault((rows, tool, processes, format), []).append(values)
        print(rows, tool, processes, format, values, flush=True)

    for rows in options.large:
        for kind in kinds[:3]:
            take(rows, *kind)
    for rows in options.huge:
        for kind in kinds[1:]:
            take(rows, *kind)
    for _ in range(options.rounds):
        for kind in kinds:
            take(options.small, *kind)
    return [
        {"rows": rows, "tool": tool, "processes": processes, "format": format, "runs": values}
        for (rows, tool, processes, format), values in sorted(runs.items())
    ]


def report(about: dict[str, Any]) -> str:
    lines = [
        "# Re-encoding generated pairs at length 128",
        "",
        "| rows | tool | processes | format | rows/s (median, range) | CPU s per 1,000 rows | peak memory | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in about["results"]:
        rows, runs = entry["rows"], entry["runs"]
        rates = [rows / run["seconds"] for run in runs]
        cpu = statistics.median(run["cpu_seconds"] for run in runs) / rows * 1000
        peak = max(run["peak_bytes"] for run in runs) / 2**20
        lines.append(
            f"| {rows:,} | {entry['tool']} | {entry['processes']} | {entry['format']} | "
            f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) | {cpu:.3f} | "
            f"{peak:,.0f} MiB | {len(runs)} |"
        )
    load = ", ".join(f"{value:.1f}" for value in about["load_average"])
    lines += [
        "",
        "Peak memory is that of the parent and, for two processes, twice that of the larger worker. Tools take turns.",
        f"{about['processor']}, {about['cores']} cores, shared with other work (load average {load}); "
        f"Python {about['python']}, "
        + ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        + ".",
        str(about["note"]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
