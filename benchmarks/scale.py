"""Cost per million rows and peak memory of encoding and predicting, at one size and at ten times as many.

    python -m benchmarks.scale --model ENCODER --out benchmarks/results/scale_HARDWARE_DATE
    .venv-ray/bin/python -m benchmarks.scale --ray --model ENCODER --out benchmarks/results/scale-ray_HARDWARE_DATE

The rows are sentences of 6 to 40 words with one of two labels; ENCODER is a MiniLM-L6 for the numbers of the docs. Each
measurement is a process of its own with one thread; memory at ten times the rows is measured with a model of two layers
of 32, which is as large in rows and small in time. `--ray` compares one actor of Ray with the plain loop on the same
files, in turns, both from a started engine to the manifest.
"""

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import hardware_name, machine, versions

LABELS = ("no", "yes")


def write_table(path: Path, rows: int, vocabulary: Path) -> None:
    source = random.Random(1)
    words = [word for word in vocabulary.read_text("utf-8").split("\n") if word.isascii() and word.isalpha()]
    with path.open("w") as stream:
        stream.write("id,text,label\n")
        for row in range(rows):
            text = " ".join(source.choices(words, k=source.randint(6, 40)))
            stream.write(f"{row},{text},{source.choice(LABELS)}\n")
    # Written long ago, so that other processes may rely on its time.
    os.utime(path, (time.time() - 60, time.time() - 60))


def write_model(folder: Path, encoder: Path | None, vocabulary: Path) -> Path:
    """Writes a classifier with a new head: its numbers mean nothing, and cost what others cost."""
    import torch

    from bertune.checkpoints.model_folder import save
    from bertune.checkpoints.restore import restore
    from bertune.checkpoints.signature import ModelSignature
    from bertune.models.bert import BertConfig
    from bertune.models.classifier import classifier_model
    from bertune.models.registry import read_config
    from bertune.tokenization.read_tokenizer import read_tokenizer
    from bertune.tokenization.tokenizer import BertTokenizer

    tokenizer: Any = BertTokenizer(vocabulary) if encoder is None else read_tokenizer(encoder)
    if encoder is None:
        config: Any = BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
    else:
        config = read_config(encoder / "config.json")
    torch.manual_seed(1)
    classifier, inner = classifier_model(config, 2, seed=1)
    if encoder is not None:
        restore(inner, encoder)
    signature = ModelSignature(
        LABELS, is_pair=False, max_length=128, task="", text_a="text", text_b=None, label="label"
    )
    return save(classifier.eval(), folder, tokenizer=tokenizer, signature=signature)


def measured(arguments: list[str]) -> dict[str, float]:
    """Runs the command line in a process of its own; seconds, processor seconds, and peak memory."""
    began = time.perf_counter()
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen([sys.executable, "-m", "bertune", *arguments], env=variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(arguments)}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def run_all(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    vocabulary = options.model / "vocab.txt"
    tiny, full = folder / "tiny", folder / "full"
    # By processes of their own: a child's peak memory begins at what this one has.
    for made, encoder in ((tiny, ""), (full, str(options.model))):
        code = "import sys; from pathlib import Path as P; from benchmarks.scale import write_model as w; a = sys.argv"
        code += "; w(P(a[1]), P(a[2]) if a[2] else None, P(a[3]))"
        subprocess.run([sys.executable, "-c", code, str(made), encoder, str(vocabulary)], check=True)
    results = []
    for rows in (options.rows, 10 * options.rows):
        table = folder / f"t-{rows}.csv"
        write_table(table, rows, vocabulary)
        columns = ["--text-a", "text", "--label", "label"]
        commands = {
            "encode": ["encode", "--data", str(table), *columns, "--model", str(options.model), "--format", "store"],
            "predict, two small layers": ["predict", str(tiny), str(table), "--key", "id"],
        }
        for name, command in commands.items():
            more = ["--processes", "1"] if name == "encode" else []
            out = folder / f"{name}-{rows}"
            values = measured([*command, *more, "--shards", "4", "--out", str(out), "--quiet"])
            again = measured([*command, *more, "--shard", "0/4", "--out", str(out), "--quiet"])
            again = measured([*command, *more, "--shard", "0/4", "--out", str(out), "--quiet"])
            results.append({"what": name, "rows": rows, **values, "seconds_when_finished": again["seconds"]})
            print(results[-1], flush=True)
    table = folder / "predicted.csv"
    write_table(table, options.predicted, vocabulary)
    for precision in ("fp32", "auto"):
        command = ["predict", str(full), str(table), "--key", "id", "--precision", precision, "--shards", "1"]
        values = measured([*command, "--out", str(folder / precision), "--quiet"])
        results.append({"what": f"predict, {options.model_name}, {precision}", "rows": options.predicted, **values})
        print(results[-1], flush=True)
    return results


COUNT = """
import json, sys, time
from bertune.data.examples import Columns, Task
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.shards.survey import survey_file
task = Task.for_columns(Columns("text", None, "label"))
source = RowSource(find_splits(sys.argv[1], task)["train"], task, task.columns)
before = time.perf_counter(), time.process_time()
survey_file(source)
after = time.perf_counter(), time.process_time()
print(json.dumps({"seconds": after[0] - before[0], "cpu_seconds": after[1] - before[1]}))
"""


def count_rows(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures the counting pass alone, and what a shard costs that is finished."""
    vocabulary, table = options.model / "vocab.txt", folder / "t.csv"
    write_table(table, options.rows, vocabulary)
    done = subprocess.run([sys.executable, "-c", COUNT, str(table)], stdout=subprocess.PIPE, text=True, check=True)
    values = json.loads(done.stdout)
    results = [{"what": "counting pass alone", "rows": options.rows, **values}]
    command = ["encode", "--data", str(table), "--text-a", "text", "--label", "label", "--model", str(options.model)]
    command += ["--format", "store", "--processes", "1", "--out", str(folder / "out"), "--quiet"]
    for what in ("to be encoded", "finished before"):
        values = measured([*command, "--shard", "0/1"])
        results.append({"what": f"one shard {what}", "rows": options.rows, **values})
    return results


def compare_with_ray(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    from benchmarks.timed_work import HereEngine, TimedEngine
    from bertune.checkpoints.read_signature import read_signature
    from bertune.cli.model_source import source_for
    from bertune.cli.options import DataOptions
    from bertune.evaluation.predict_shards import PredictionSettings, WhoPredicts, predict_shards
    from bertune.system.ray_engine import RayEngine

    vocabulary = options.model / "vocab.txt"
    model = write_model(folder / "full", options.model, vocabulary)
    table = folder / "t.csv"
    write_table(table, options.predicted, vocabulary)
    signature = read_signature(model)
    began = time.perf_counter()
    turns: dict[str, list[dict[str, float]]] = {"plain loop": [], "one actor of Ray": []}
    with RayEngine(actors=1) as ray:
        started = time.perf_counter() - began
        for turn in range(options.turns):
            for name in turns:
                source = source_for(signature, DataOptions(), str(table))
                engine = TimedEngine(HereEngine() if name == "plain loop" else ray)
                before = time.perf_counter()
                settings = PredictionSettings(shards=4, key=("id",))
                out, who = folder / f"{name}-{turn}", WhoPredicts(engine=engine)
                predict_shards(model, signature, source, out, settings, who)
                values = {"seconds": time.perf_counter() - before, "cpu_seconds": sum(engine.pieces)}
                turns[name].append(values)
                print(name, values, flush=True)
            pair = [
                {path.name: path.read_bytes() for path in (folder / f"{name}-{turn}").glob("*.parquet")}
                for name in turns
            ]
            assert pair[0] == pair[1], "the bytes differ"
    ratios = {
        of: [mine[of] / plain[of] for plain, mine in zip(*turns.values(), strict=True)]
        for of in ("seconds", "cpu_seconds")
    }
    return [
        {
            "what": "predict by Ray beside the plain loop",
            "rows": options.predicted,
            "turns": turns,
            "ratios": ratios,
            "ratio": {of: statistics.median(values) for of, values in ratios.items()},
            "seconds_to_start_ray": started,
        }
    ]


def report(about: dict[str, Any]) -> str:
    lines = ["# Rows at scale", "", about["command"], ""]
    rows = [result for result in about["results"] if "cpu_seconds" in result]
    if rows:
        lines += [
            "| what | rows | seconds | CPU seconds | CPU seconds a million rows | peak memory | again, finished |",
            "|---|---|---|---|---|---|---|",
        ]
    for result in rows:
        again = f"{result['seconds_when_finished']:.1f} s" if "seconds_when_finished" in result else "-"
        peak = f"{result['peak_bytes'] / 2**20:,.0f} MiB" if "peak_bytes" in result else "-"
        lines.append(
            f"| {result['what']} | {result['rows']:,} | {result['seconds']:.1f} | {result['cpu_seconds']:.1f} | "
            f"{result['cpu_seconds'] / result['rows'] * 1e6:,.1f} | {peak} | {again} |"
        )
    for result in about["results"]:
        if "ratio" in result:
            lines += ["| turn | plain loop: s | CPU s of the shards | one actor of Ray: s | CPU s of the shards |"]
            lines += ["|---|---|---|---|---|"]
            for turn, pair in enumerate(zip(*result["turns"].values(), strict=True)):
                cells = [f"{values[of]:.2f}" for values in pair for of in ("seconds", "cpu_seconds")]
                lines.append(f"| {turn + 1} | {' | '.join(cells)} |")
            lines += [
                "",
                f"{result['rows']:,} rows in 4 files. Ray by the plain loop, median of the turns: CPU seconds of the "
                f"shards {result['ratio']['cpu_seconds']:.3f}, time {result['ratio']['seconds']:.3f}. The time has in "
                "it that an actor starts, imports torch and loads the model, which the plain loop has done in turns "
                f"after its first; not that Ray starts, which took {result['seconds_to_start_ray']:.1f} s. The files "
                "are the same, byte for byte.",
            ]
    load = ", ".join(f"{value:.1f}" for value in about["load_average"])
    facts = ", ".join(f"{name} {value}" for name, value in {**about["machine"], **about["versions"]}.items())
    lines += [
        "",
        f"One thread; start-up and the counting pass included. Load average {load}. {facts}.",
        about["note"],
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--model-name", default="MiniLM-L6")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--predicted", type=int, default=10_000)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--count", action="store_true", help="the counting pass alone, and a shard that is finished")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    day = datetime.datetime.now(tz=datetime.UTC).date()
    name = "scale-ray" if options.ray else "scale-count" if options.count else "scale"
    measure = compare_with_ray if options.ray else count_rows if options.count else run_all
    out = options.out or Path(__file__).parent / "results" / f"{name}_{hardware_name()}_{day}"
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options)
    about = {
        "command": f"`python -m benchmarks.scale{' --ray' * options.ray}{' --count' * options.count} --model ENCODER "
        f"--rows {options.rows} --predicted {options.predicted}`",
        "machine": machine(),
        "versions": versions("bertune", "torch", "pyarrow", "tokenizers", "numpy", "ray"),
        "load_average": os.getloadavg(),
        "note": options.note,
        "results": results,
    }
    out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    out.with_suffix(".md").write_text(report(about))
    print(report(about))


if __name__ == "__main__":
    main()
