"""A server under load: latency and throughput beside the process alone and transformers' pipeline, overload, its end.

    python -m benchmarks.serving --serve FOLDER --model RUN/model --pairs msr_paraphrase_test.txt \
        --out benchmarks/results/serving_MACHINE_DATE [--parts cold,unloaded,throughput,overload,slow,drain,soak]

FOLDER is what is served: a run, or an export to ONNX; the pipeline reads the model of the run, by the Python that
BERTUNE_TRANSFORMERS_PYTHON names, or by this one. Everything stays on 127.0.0.1 and is bounded in count and time. The
parts that compare take turns, so that other work on the machine meets all of them. Writes NAME.json and NAME.md.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.http_load import (
    at_a_rate,
    bodies_of,
    in_parallel,
    numbers_of,
    one_after_another,
    percentiles,
    slow_connections,
)
from benchmarks.machine import machine, versions

PARTS = ("cold", "unloaded", "throughput", "overload", "slow", "drain", "soak")
CONNECTIONS = 32
HERE = Path(__file__).parent


class Worker:
    """A process of `answer_worker`."""

    def __init__(self, python: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [python, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        self._answer()

    def ask(self, command: str) -> list[float]:
        """Returns the seconds of what it is told to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker has ended: see above")
        return json.loads(line)

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def server(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server of its own, and its port."""
    command = [sys.executable, "-m", "bertune", "serve", str(folder), "--port", "0", "--json", *flags]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            for _ in range(6000):
                log.seek(0)
                found = [json.loads(line) for line in log if '"listening"' in line]
                if found or process.poll() is not None:
                    break
                time.sleep(0.05)
            if not found:
                log.seek(0)
                raise SystemExit(log.read())
            log.seek(0, os.SEEK_END)
            yield process, int(found[0]["address"].rpartition(":")[2])
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def cold(options: argparse.Namespace, bodies: list[bytes], _workers: dict[str, Worker]) -> dict[str, Any]:
    """From a cold process and a warm disk: the first prediction of the command line, and a server that listens."""
    texts = json.loads(bodies[0])["inputs"]
    predict = [sys.executable, "-m", "bertune", "predict", str(options.serve), *texts]
    seconds: dict[str, list[float]] = {"first prediction": [], "server listens": []}
    processor: list[float] = []
    for number in range(options.starts + 2):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(predict, stdout=subprocess.DEVNULL, check=True)
        taken, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        with server(options.serve, "--quiet"):
            listening = time.perf_counter() - begun
        if number >= 2:  # the first warm the disk
            seconds["first prediction"].append(taken)
            seconds["server listens"].append(listening)
            processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    found: dict[str, Any] = {name: percentiles(each) for name, each in seconds.items()}
    return {**found, "processor time of a first prediction": percentiles(processor)}


def unloaded(options: argparse.Namespace, bodies: list[bytes], workers: dict[str, Worker]) -> dict[str, Any]:
    """One request at a time: in the process, over HTTP, and the pipeline, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in (*workers, "http")}
    with server(options.serve, "--quiet") as (_, port):
        asyncio.run(one_after_another(port, bodies, 50))
        for _ in range(options.rounds):
            for name, worker in workers.items():
                seconds[name] += worker.ask(f"single {options.requests}")
            seconds["http"] += asyncio.run(one_after_another(port, bodies, options.requests)).seconds[200]
    found: dict[str, Any] = {name: percentiles(each) for name, each in seconds.items()}
    if "transformers" in found:
        found["http of transformers"] = round(found["http"]["p50"] / found["transformers"]["p50"], 3)
    return found


def throughput(options: argparse.Namespace, bodies: list[bytes], workers: dict[str, Worker]) -> dict[str, Any]:
    """Texts a second at 32 connections, and of batches in the process, in turns."""
    http, inside = [], []
    with server(options.serve, "--quiet") as (_, port):
        asyncio.run(in_parallel(port, bodies, connections=CONNECTIONS, seconds=2))
        for _ in range(options.rounds):
            inside.append(len(bodies) / sum(workers["bertune"].ask("batch")))
            begun = time.perf_counter()
            answers = asyncio.run(in_parallel(port, bodies, connections=CONNECTIONS, seconds=options.seconds))
            http.append(len(answers.seconds[200]) / (time.perf_counter() - begun))
    medians = {"http": statistics.median(http), "in the process": statistics.median(inside)}
    shares = [mine / theirs for mine, theirs in zip(http, inside, strict=True)]
    return {**{name: round(value, 1) for name, value in medians.items()}, "share": round(statistics.median(shares), 3)}


def overload(options: argparse.Namespace, bodies: list[bytes], _workers: dict[str, Worker]) -> dict[str, Any]:
    """Three times as many requests as can be answered."""

    async def measure(port: int) -> dict[str, Any]:
        before = await one_after_another(port, bodies, 100)
        full = await in_parallel(port, bodies, connections=CONNECTIONS, seconds=options.seconds)
        capacity = len(full.seconds[200]) / options.seconds
        memory = (await numbers_of(port))["process_resident_memory_bytes"]
        load = await at_a_rate(
            port, bodies, rate=3 * capacity, seconds=options.overload_seconds, connections=options.open_connections
        )
        ended = time.perf_counter()
        usual = percentiles(before.seconds[200])["p50"]
        while True:
            now = percentiles((await one_after_another(port, bodies, 20)).seconds.get(200, []))
            if (now and now["p50"] <= 1.5 * usual) or time.perf_counter() - ended > 30:
                break
        after = (await numbers_of(port))["process_resident_memory_bytes"]
        return {
            "capacity, requests a second": round(capacity, 1),
            "answers": load.counts,
            "lost": load.lost,
            "not sent": load.unsent,
            "accepted": percentiles(load.seconds.get(200, [])),
            "refused with 429": percentiles(load.seconds.get(429, [])),
            "seconds until usual": round(time.perf_counter() - ended, 2),
            "memory growth, per cent": round(100 * (after / memory - 1), 2),
        }

    with server(options.serve, "--quiet") as (_, port):
        return asyncio.run(measure(port))


def slow(options: argparse.Namespace, bodies: list[bytes], _workers: dict[str, Worker]) -> dict[str, Any]:
    """200 connections that send a byte a second, and one client beside them."""

    async def measure(port: int) -> dict[str, Any]:
        before = await one_after_another(port, bodies, 10 * options.requests)
        slowly = asyncio.ensure_future(slow_connections(port, 200, 45))
        beside: list[float] = []
        while not slowly.done():
            beside += (await one_after_another(port, bodies, 50)).seconds.get(200, [])
        closed = await slowly
        return {
            "unloaded": percentiles(before.seconds[200]),
            "beside 200 slow connections": percentiles(beside),
            "last head closed, seconds": round(max(closed[::2]), 2),
            "last body closed, seconds": round(max(closed[1::2]), 2),
        }

    with server(options.serve, "--quiet") as (_, port):
        return asyncio.run(measure(port))


def drain(options: argparse.Namespace, bodies: list[bytes], _workers: dict[str, Worker]) -> dict[str, Any]:
    """SIGTERM under load, many times."""
    codes, seconds, lost, answered = [], [], 0, 0
    for _ in range(options.drains):
        with server(options.serve, "--quiet") as (process, port):

            async def measure(process: subprocess.Popen[str] = process, port: int = port) -> Any:
                load = asyncio.ensure_future(
                    in_parallel(port, bodies, connections=CONNECTIONS, seconds=40, until_closed=True)
                )
                await asyncio.sleep(1)
                process.terminate()
                begun = time.perf_counter()
                answers = await load
                code = await asyncio.to_thread(process.wait, 40)
                return answers, code, time.perf_counter() - begun

            answers, code, took = asyncio.run(measure())
            codes.append(code)
            seconds.append(took)
            lost += answers.lost
            answered += sum(map(len, answers.seconds.values()))
    return {"exit codes": sorted(set(codes)), "lost": lost, "answered": answered, "slowest end": round(max(seconds), 2)}


def soak(options: argparse.Namespace, bodies: list[bytes], _workers: dict[str, Worker]) -> dict[str, Any]:
    """Memory over minutes of mixed requests."""
    mixed = [*bodies, json.dumps({"inputs": [["a " * 300, "b"]] * 8}).encode()]
    samples: list[tuple[float, float, float]] = []
    statuses: dict[str, int] = {}
    lost = 0

    async def measure(port: int) -> None:
        nonlocal lost
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < options.soak_minutes * 60:
            answers = await in_parallel(port, mixed, connections=4, seconds=5)
            lost += answers.lost
            for status, count in answers.counts.items():
                statuses[status] = statuses.get(status, 0) + count
            numbers = await numbers_of(port)
            samples.append((elapsed / 60, numbers["process_resident_memory_bytes"] / 1e6, numbers["process_open_fds"]))

    with server(options.serve, "--quiet") as (_, port):
        asyncio.run(measure(port))
    late = samples[len(samples) // 4 :]
    slope = statistics.linear_regression([s[0] for s in late], [s[1] for s in late]).slope if len(late) > 1 else None
    return {
        "minutes": options.soak_minutes,
        "answers": statuses,
        "lost": lost,
        "memory, MB in 10 minutes": None if slope is None else round(10 * slope, 3),
        "open files": [min(s[2] for s in late), max(s[2] for s in late)],
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("serve", "model", "pairs", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    for name, value in {
        "rounds": 5,
        "requests": 200,
        "rows": 512,
        "drains": 20,
        "starts": 15,
        "open-connections": 900,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, seconds in {"seconds": 10.0, "overload-seconds": 60.0, "soak-minutes": 20.0}.items():
        parser.add_argument(f"--{name}", type=float, default=seconds)
    options = parser.parse_args()
    lines = options.pairs.read_text("utf-8-sig").splitlines()[1 : options.rows + 1]
    pairs = [tuple(line.split("\t")[3:5]) for line in lines]
    parts = {
        "cold": cold,
        "unloaded": unloaded,
        "throughput": throughput,
        "overload": overload,
        "slow": slow,
        "drain": drain,
    }
    parts["soak"] = soak
    wanted = options.parts.split(",")
    result: dict[str, Any] = {
        "machine": machine(),
        "versions": versions("torch", "onnxruntime", "tokenizers", "uvicorn", "starlette", "httptools"),
        "served": options.serve.name,
        "connections": CONNECTIONS,
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "pairs.json"
        file.write_text(json.dumps(pairs))
        workers: dict[str, Worker] = {}
        if {"unloaded", "throughput"} & set(wanted):
            workers["bertune"] = Worker(
                sys.executable, "-m", "benchmarks.answer_worker", "bertune", str(options.serve.absolute()), str(file)
            )
        if "unloaded" in wanted:
            python = os.environ.get("BERTUNE_TRANSFORMERS_PYTHON", sys.executable)
            model = str(options.model.absolute())
            workers["transformers"] = Worker(python, str(HERE / "answer_worker.py"), "transformers", model, str(file))
        for worker in workers.values():
            stack.callback(worker.close)
        for name in wanted:
            result[name] = parts[name](options, bodies_of(pairs), workers)
            print(name, {key: value for key, value in result[name].items() if key != "samples"}, flush=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text("\n".join(page(result)) + "\n")


def page(result: dict[str, Any]) -> list[str]:
    """Says the same for people."""
    lines = [f"# The server under load: {result['served']}", "", "Milliseconds, unless something else is said.", ""]
    for part in PARTS:
        if part in result:
            lines += [f"## {part}", "", "| what | measured |", "|---|---|"]
            lines += [f"| {name} | {_told(value)} |" for name, value in result[part].items() if name != "samples"]
            lines.append("")
    return [*lines, f"Machine: {json.dumps(result['machine'])}. Versions: {json.dumps(result['versions'])}."]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


if __name__ == "__main__":
    main()
