"""What workers of `bertune serve` hold in memory beside one process, and whether their end loses an answer.

    python -m benchmarks.workers --serve FOLDER --out benchmarks/results/workers-WHAT_MACHINE_DATE

FOLDER is what is served: a run, or an export to ONNX. The questions that come with bertune are asked at 32 connections;
then the memory of all processes of the server is read, as shares (PSS: a page that several processes map counts for
each as the part that falls to it, so that the sum is what all of them take), and of each process what is its own alone.
Then SIGTERM comes under the same load, several times. Everything stays on 127.0.0.1. Writes NAME.json and NAME.md.
"""

import argparse
import asyncio
import csv
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.http_load import bodies_of, in_parallel
from benchmarks.machine import machine, versions
from benchmarks.serving import server

CONNECTIONS = 32
QUESTIONS = Path(__file__).parents[1] / "examples" / "data" / "test.csv"


def megabytes(process: int) -> dict[str, int]:
    """Returns shares and what is a process's own."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in lines}
    own = values["Private_Clean"] + values["Private_Dirty"]
    return {"share": round(values["Pss"] / 1024), "own": round(own / 1024), "resident": round(values["Rss"] / 1024)}


def children(process: int) -> list[int]:
    """Returns the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def memory(folder: Path, workers: int, bodies: list[bytes], seconds: float) -> dict[str, Any]:
    """Returns what a server with so many workers takes."""
    begun = time.perf_counter()
    with server(folder, "--quiet", "--workers", str(workers)) as (process, port):
        ready = time.perf_counter() - begun
        answers = asyncio.run(in_parallel(port, bodies, connections=CONNECTIONS, seconds=seconds))
        started = [megabytes(each) for each in children(process.pid)]
        first = megabytes(process.pid)
    shares = [each["share"] for each in (first, *started)]
    found = {
        "workers": workers,
        "all, MiB": sum(shares),
        "parent, MiB": first["share"] if started else 0,
        "of each worker its own, MiB": [each["own"] for each in started or [first]],
        "of each worker resident, MiB": [each["resident"] for each in started or [first]],
        "seconds until ready": round(ready, 1),
        "answers": answers.counts,
    }
    print(found, flush=True)
    return found


def drains(folder: Path, workers: int, bodies: list[bytes], times: int) -> dict[str, Any]:
    """SIGTERM under load."""
    codes, slowest, lost, answered = set(), 0.0, 0, 0
    for _ in range(times):
        with server(folder, "--quiet", "--workers", str(workers)) as (process, port):
            answers, code, seconds = asyncio.run(drain(process, port, bodies))
        codes.add(code)
        slowest = max(slowest, seconds)
        lost += answers.lost
        answered += sum(map(len, answers.seconds.values()))
    found = {
        "workers": workers,
        "times": times,
        "exit codes": sorted(codes),
        "answered": answered,
        "lost": lost,
        "slowest end, seconds": round(slowest, 2),
    }
    print(found, flush=True)
    return found


async def drain(process: subprocess.Popen[str], port: int, bodies: list[bytes]) -> Any:
    """Returns the answers, the exit code, and the seconds of the end."""
    load = asyncio.ensure_future(in_parallel(port, bodies, connections=CONNECTIONS, seconds=40, until_closed=True))
    await asyncio.sleep(1)
    process.terminate()
    begun = time.perf_counter()
    answers = await load
    code = await asyncio.to_thread(process.wait, 40)
    return answers, code, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--drains", type=int, default=10)
    options = parser.parse_args()
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        pairs = [(row[0], row[1]) for row in list(csv.reader(file))[1:]]
    bodies = bodies_of(pairs)
    result = {
        "served": options.serve.name,
        "memory": [memory(options.serve, count, bodies, options.seconds) for count in options.workers],
        "end": drains(options.serve, max(2, options.workers[0]), bodies, options.drains),
        "machine": machine(),
        "versions": versions("torch", "onnxruntime", "prometheus-client", "uvicorn"),
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text("\n".join(page(result)) + "\n")


def page(result: dict[str, Any]) -> list[str]:
    """Says the same for people."""
    names = list(result["memory"][0])
    lines = [
        f"# Workers of a server: {result['served']}",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
    ]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in result["memory"]]
    lines += ["", "## SIGTERM under load", "", "| what | measured |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in result["end"].items()]
    return [*lines, "", f"Machine: {json.dumps(result['machine'])}. Versions: {json.dumps(result['versions'])}."]


if __name__ == "__main__":
    main()
