"""The original's checkpoints restored by bertune, without TensorFlow, and what the encoder computes then."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from rows import Row, arrays_row

from bertune.checkpoints.receipt import Receipt
from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder

TOLERANCE = 2e-5
ENCODER_TENSORS = 3 + 2 + 12 * 16 + 2
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
BATCH = 32


def compare(folder: Path) -> list[Row]:
    """Restores the checkpoint in the folder: receipt, memory, outputs."""
    kind = folder.name
    about = json.loads((folder / "about.json").read_text())
    stored = np.load(folder / "outputs.npz")
    encoder = Encoder.from_config(BertConfig.from_json_file(folder / "bert_config.json")).eval()
    source = folder / "hub" if kind == "hub" else Path(about["prefix"])
    _reset_peak()
    before = _memory("VmRSS")
    receipt = restore(encoder, source)
    added = max(0, _memory("VmHWM") - before)
    receipt.assert_consumed()
    found = [_receipt_row(kind, receipt, about["tensors"]), _memory_row(kind, about["prefix"], added)]
    inputs = {name: stored[name] for name in INPUTS}
    if "logits" in stored.files:
        classifier = with_head(encoder, about["prefix"])
        logits = np.concatenate([classifier(part).detach().numpy() for part in batches(inputs)])
        return [*found, arrays_row(f"{kind}: classifier's logits", {"": logits}, {"": stored["logits"]}, TOLERANCE)]
    ours = outputs_of(encoder, inputs)
    real = inputs["input_mask"].astype(bool)
    sequence = {"": ours["sequence_output"][real]}, {"": stored["sequence_output"][real]}
    pooled = {"": ours["pooled_output"]}, {"": stored["pooled_output"]}
    return [
        *found,
        arrays_row(f"{kind}: sequence output of real tokens", *sequence, TOLERANCE, f"{len(real)} pairs"),
        arrays_row(f"{kind}: pooled output", *pooled, TOLERANCE),
    ]


def batches(inputs: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    rows = len(inputs["input_mask"])
    return [{name: array[at : at + BATCH] for name, array in inputs.items()} for at in range(0, rows, BATCH)]


def outputs_of(encoder: Encoder, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        parts = [encoder(part) for part in batches(inputs)]
    return {
        "sequence_output": np.concatenate([part.last_hidden_state.numpy() for part in parts]),
        "pooled_output": np.concatenate([part.pooled.numpy() for part in parts]),
    }


def with_head(encoder: Encoder, prefix: str) -> Classifier:
    """A classifier with the head of the checkpoint; `restore` itself restores encoders."""
    bundle, head = TensorBundle(Path(prefix)), {}
    for part in ("kernel", "bias"):
        pattern = rf"model/(classifier/out_proj|layer_with_weights-1/out_proj)/{part}/\.ATTRIBUTES/VARIABLE_VALUE"
        (name,) = (name for name in bundle.tensors if re.fullmatch(pattern, name))
        head[part] = torch.from_numpy(np.array(bundle.read_float(name)))
    classifier = Classifier(encoder, len(head["bias"])).eval()
    classifier.classifier.load_state_dict({"weight": head["kernel"].T, "bias": head["bias"]})
    return classifier


def _receipt_row(kind: str, receipt: Receipt, tensors: int) -> Row:
    loaded = sum(len(record.sources) for record in receipt.having("loaded"))
    unused = len(receipt.having("unused"))
    off = abs(loaded - ENCODER_TENSORS) + abs(loaded + unused - tensors) + len(receipt.having("new"))
    note = f"{loaded} loaded, {unused} unused with a reason, {tensors} in the file by TensorFlow's own list"
    return Row(f"{kind}: the receipt has every tensor of the file", tensors, off == 0, off, None, 0, note)


def _memory_row(kind: str, prefix: str, added: int) -> Row:
    """In MB; what restoring adds to an encoder that is there already."""
    size = sum(path.stat().st_size for path in Path(prefix).parent.glob(Path(prefix).name + ".*"))
    largest = (
        max(
            entry.shape[0] * entry.shape[1]
            for entry in TensorBundle(Path(prefix)).tensors.values()
            if len(entry.shape) == 2
        )
        * 4
    )
    allowed = min(size, 2 * largest + 64_000_000)
    note = f"MB at the peak, allowed are two copies of the largest tensor and 64 MB; the file has {size / 1e6:,.0f} MB"
    name = f"{kind}: memory that restoring adds to the encoder"
    return Row(name, 1, added <= allowed, added / 1e6, None, allowed / 1e6, note)


def _reset_peak() -> None:
    # Linux: sets VmHWM back to what is in use now.
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
