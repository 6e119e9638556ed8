"""Seconds and peak memory of the data audit on generated rows, each measurement a process of its own.

    python -m benchmarks.audit

Writes benchmarks/results/audit-1-million_HARDWARE_DATE.json and .md. The rows are sentences of 4 to 30 words with two
labels, a twentieth of them with signs beyond ASCII, one in a thousand a repetition; one in ten goes to validation.
"""

import argparse
import csv
import datetime
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import hardware_name, machine, versions

RESULTS = Path(__file__).parent / "results"
LIMIT_SECONDS = 60


def write_tables(folder: Path, rows: int, *, pairs: bool) -> None:
    source = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(source.choices(letters, k=source.randint(2, 9))) for _ in range(30_000)]
    for name, count in (("train", rows - rows // 10), ("validation", rows // 10)):
        earlier: list[list[str]] = []
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text_a", *(["text_b"] if pairs else []), "label"])
            for number in range(count):
                if earlier and number % 1000 == 0:
                    writer.writerow(source.choice(earlier))
                    continue
                texts = [" ".join(source.choices(words, k=source.randint(4, 30))) for _ in range(1 + pairs)]
                if number % 20 == 0:
                    texts[0] = f"{texts[0].capitalize()}, café? It’s 5 €."  # noqa: RUF001
                row = [*texts, "yes" if source.random() < 0.5 else "no"]
                writer.writerow(row)
                if number < 1000:
                    earlier.append(row)


def measure(folder: Path, *, pairs: bool, model: str | None) -> None:
    """Audits the tables in this process as `bertune inspect` does; prints what it took, imports not timed."""
    from bertune.cli.inspect_data import AuditOptions, inspect_data
    from bertune.data.examples import Columns

    columns = Columns("text_a", "text_b" if pairs else None, "label")
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = inspect_data(str(folder), AuditOptions(columns=columns, model=model))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    values = {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "bytes_before": before.ru_maxrss * 1024,
        "peak_bytes": after.ru_maxrss * 1024,
        "findings": sorted({finding["code"] for finding in found.values["findings"]}),
    }
    print(json.dumps(values))


def measured(folder: Path, *, pairs: bool, model: str | None) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.audit", "--folder", str(folder), *(["--pairs"] if pairs else [])]
    command += ["--model", model] if model else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    values: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return values


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 2_000_000])
    parser.add_argument(
        "--model", default=None, help="measure the counting of tokens too, with this encoder's tokenizer"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    if options.folder is not None:
        measure(options.folder, pairs=options.pairs, model=options.model)
        return
    results = []
    for rows in options.rows:
        for pairs in (False, True):
            with tempfile.TemporaryDirectory() as name:
                write_tables(Path(name), rows, pairs=pairs)
                size = sum(path.stat().st_size for path in Path(name).iterdir())
                for model in dict.fromkeys((None, options.model)):
                    if model is not None and (pairs or rows != min(options.rows)):
                        continue
                    values = measured(Path(name), pairs=pairs, model=model)
                    results.append({"rows": rows, "pairs": pairs, "tokens": model is not None, "bytes": size} | values)
                    print(results[-1], flush=True)
    about = {
        "machine": machine(),
        "versions": versions("bertune", "numpy", "tokenizers"),
        "load_average": os.getloadavg(),
        "note": options.note,
        "results": results,
    }
    out = RESULTS / f"audit-1-million_{hardware_name()}_{datetime.date.today().isoformat()}"
    out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    out.with_suffix(".md").write_text(page(about))
    print(page(about))


def page(about: dict) -> str:
    lines = [
        "# The data audit on generated rows",
        "",
        "| rows | texts | tokens | table | seconds | CPU seconds | rows/s | peak memory | of it for each row |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in about["results"]:
        grown = (entry["peak_bytes"] - entry["bytes_before"]) / entry["rows"]
        lines.append(
            f"| {entry['rows']:,} | {'pairs' if entry['pairs'] else 'single'} | {'yes' if entry['tokens'] else 'no'} | "
            f"{entry['bytes'] / 2**20:,.0f} MiB | {entry['seconds']:.1f} | {entry['cpu_seconds']:.1f} | "
            f"{entry['rows'] / entry['seconds']:,.0f} | {entry['peak_bytes'] / 2**20:,.0f} MiB | {grown:.0f} bytes |"
        )
    load = ", ".join(f"{value:.1f}" for value in about["load_average"])
    lines += [
        "",
        f"Asked for: a million rows in under {LIMIT_SECONDS} s. For each row: the peak less what the program had at "
        f"the start. `python -m benchmarks.audit`; {about['machine']['cpu']}, {about['machine']['cores']} cores "
        f"(load average {load}); " + ", ".join(f"{name} {number}" for name, number in about["versions"].items()) + ".",
        about["note"],
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
