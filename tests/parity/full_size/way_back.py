"""The way back, bertune's half: restored from the original's checkpoints and written again."""

import json
from pathlib import Path

import numpy as np
from restored import INPUTS, batches, outputs_of, with_head

from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder

ROWS = 32


def write(folder: Path) -> None:
    """Writes an encoder and a classifier into the folder, out of `functional` and `classifier` beside it."""
    for kind in ("functional", "classifier"):
        source = folder.parent / kind
        prefix = json.loads((source / "about.json").read_text())["prefix"]
        encoder = Encoder.from_config(BertConfig.from_json_file(source / "bert_config.json")).eval()
        restore(encoder, prefix).assert_consumed()
        stored = np.load(source / "outputs.npz")
        inputs = {name: stored[name][:ROWS] for name in INPUTS}
        if kind == "functional":
            _write(encoder, folder / kind)
            outputs = outputs_of(encoder, inputs)
        else:
            classifier = with_head(encoder, prefix)
            _write(classifier, folder / kind)
            outputs = {"logits": np.concatenate([classifier(part).detach().numpy() for part in batches(inputs)])}
        np.savez(folder / f"{kind}.npz", **inputs, **outputs)


def _write(model: Encoder | Classifier, prefix: Path) -> None:
    # The one place that knows how bertune writes for TensorFlow.
    write_tf_checkpoint(model, prefix)
