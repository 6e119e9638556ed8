"""ONNX Runtime, fp32 or dynamic int8, from texts to probabilities: batches of 32, sorted by length (its fastest).

The model is exported by torch from transformers' classifier; exporting is part of loading.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.machine import versions
from benchmarks.speed.workload import Workload, read_workload

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def export(workload: Workload, tokenizer: Any, file: Path) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(workload.model), attn_implementation="eager"
    ).eval()

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    sample = tokenizer(["a first text", "short"], ["a second one", "this one"], padding=True, return_tensors="pt")
    axes = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("length", min=2, max=512)}
    torch.onnx.export(
        Plain(),
        tuple(sample[name] for name in INPUTS),
        str(file),
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_shapes=(axes, axes, axes),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    workload = read_workload(options.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(workload.model))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(workload, tokenizer, file)
        if options.int8:
            quantize_dynamic(file, Path(folder) / "int8.onnx", weight_type=QuantType.QInt8)
            file = Path(folder) / "int8.onnx"
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    slices.ready(
        versions=versions("onnxruntime", "onnx", "torch", "transformers"), precision="int8" if options.int8 else "fp32"
    )
    while True:
        count = slices.wait()["examples"]
        probabilities = predict(workload, tokenizer, session, count)
        slices.done(count, int(workload.test.lengths[:count].sum()), probabilities=probabilities.tolist())


def predict(workload: Workload, tokenizer: Any, session: Any, count: int) -> np.ndarray:
    encoded = tokenizer(
        workload.test.first[:count],
        workload.test.second[:count],
        truncation=True,
        max_length=workload.settings["max_length"],
    )
    order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable")
    logits = np.empty((count, 2), np.float32)
    for start in range(0, count, workload.batch_size):
        rows = order[start : start + workload.batch_size]
        padded = tokenizer.pad({name: [encoded[name][row] for row in rows] for name in encoded}, return_tensors="np")
        logits[rows] = session.run(None, {name: padded[name].astype(np.int64) for name in INPUTS})[0]
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return odds[:, 1] / odds.sum(axis=1)


if __name__ == "__main__":
    main()
