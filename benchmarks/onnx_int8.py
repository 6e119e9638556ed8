"""Exports to ONNX in int8 beside the usual ones: int8 of a graph that torch exports, and transformers' pipeline.

    bertune export RUN fp32 --format onnx; bertune export RUN int8 --format onnx --int8
    .venv-onnx/bin/python -m benchmarks.onnx_int8 --run RUN --fp32 fp32 --int8 int8 --pairs msr_paraphrase_test.txt \
        --out benchmarks/results/NAME

All systems answer the same pairs from ready token ids, in batches of 32 sorted by length, in one process, in turns;
the pipeline tokenizes by itself, which takes it about a fiftieth of its time. Times are the processor's, so other work
on the machine counts little. Agreement is that of labels with the model in float32. Writes NAME.json and NAME.md.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.machine import machine, versions
from benchmarks.speed.workers.onnx_prediction import INPUTS, export

BATCH = 32


class _Workload:
    def __init__(self, model: Path) -> None:
        self.model = model


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("run", "fp32", "int8", "pairs", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    model = options.run / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    lines = options.pairs.read_text("utf-8-sig").splitlines()[1 : options.rows + 1]
    pairs = [tuple(line.split("\t")[3:5]) for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        plain, quantized = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        export(_Workload(model), tokenizer, plain)  # type: ignore[arg-type]
        quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8)
        files = {
            "bertune, int8": options.int8 / "model.onnx",
            "bertune, fp32": options.fp32 / "model.onnx",
            "torch.onnx.export and quantize_dynamic, int8": quantized,
            "torch.onnx.export, fp32": plain,
        }
        systems = {name: _onnx(file, tokenizer, pairs, options.threads) for name, file in files.items()}
        sizes = {name: file.stat().st_size for name, file in files.items()}
    systems["transformers' pipeline, fp32"] = _pipeline(model, tokenizer, pairs)
    labels = {name: answer() for name, answer in systems.items()}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(options.rounds):
        names = list(systems)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            systems[name]()
            seconds[name].append(time.process_time() - start)
    truth = labels["transformers' pipeline, fp32"]
    result: dict[str, Any] = {
        "machine": machine() | {"threads": options.threads},
        "versions": versions("onnxruntime", "onnx", "torch", "transformers"),
        "rows": len(pairs),
        "seconds": seconds,
        "bytes": sizes,
        "agreement": {name: float((found == truth).mean()) for name, found in labels.items()},
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(page(result))
    print(page(result))


def _onnx(file: Path, tokenizer: Any, pairs: list[Any], threads: int) -> Callable[[], np.ndarray]:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    encoded = tokenizer([a for a, _ in pairs], [b for _, b in pairs], truncation=True, max_length=128)
    order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable")

    def answer() -> np.ndarray:
        labels = np.empty(len(pairs), np.int64)
        for start in range(0, len(pairs), BATCH):
            rows = order[start : start + BATCH]
            padded = tokenizer.pad(
                {name: [encoded[name][row] for row in rows] for name in encoded}, return_tensors="np"
            )
            logits = session.run(None, {name: padded[name].astype(np.int64) for name in INPUTS})[0]
            labels[rows] = logits.argmax(axis=1)
        return labels

    return answer


def _pipeline(model: Path, tokenizer: Any, pairs: list[Any]) -> Callable[[], np.ndarray]:
    classify = transformers.pipeline(
        "text-classification", model=str(model), tokenizer=tokenizer, device="cpu", batch_size=BATCH
    )
    numbers: Any = classify.model.config.label2id
    order = np.argsort([-len(a) - len(b) for a, b in pairs], kind="stable")
    given = [{"text": pairs[row][0], "text_pair": pairs[row][1]} for row in order]

    def answer() -> np.ndarray:
        labels = np.empty(len(pairs), np.int64)
        labels[order] = [numbers[found["label"]] for found in classify(given, truncation=True, max_length=128)]
        return labels

    return answer


def page(result: dict[str, Any]) -> str:
    """The result as a table, each system beside bertune's int8, by the ratios of each round."""
    mine = result["seconds"]["bertune, int8"]
    told = "\n".join(
        f"| {name} | {result['rows'] / statistics.median(seconds):.0f} | "
        f"{statistics.median(other / own for other, own in zip(seconds, mine, strict=True)):.2f}x "
        f"({min(other / own for other, own in zip(seconds, mine, strict=True)):.2f} to "
        f"{max(other / own for other, own in zip(seconds, mine, strict=True)):.2f}) | "
        f"{result['agreement'][name]:.2%} | "
        + (f"{result['bytes'][name] / 1e6:.1f} MB |" if name in result["bytes"] else " |")
        for name, seconds in result["seconds"].items()
    )
    facts = ", ".join(f"{name} {value}" for name, value in (result["machine"] | result["versions"]).items())
    return f"""# ONNX in int8 beside the usual exports

{result["rows"]} pairs, batches of {BATCH} sorted by length, {len(mine)} rounds in turns, processor time.

| system | pairs/s | its time, in that of bertune's int8: median (range) | labels as in fp32 | file |
|---|---|---|---|---|
{told}

{facts}
"""


if __name__ == "__main__":
    main()
