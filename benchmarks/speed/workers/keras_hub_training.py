"""KerasHub's BertTextClassifier with its own preprocessor, on Keras' default backend.

Its preprocessor pads to a fixed length: 512 by default, here the workload's. Its `gelu` is the tanh approximation.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from benchmarks.machine import versions
from benchmarks.speed.workload import Workload, cross_entropy, read_workload


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The rate rises from 0 to its peak, then falls to 0, both on a line."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        rise = step / max(1, self.warmup_steps)
        fall = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * keras.ops.minimum(rise, fall)


class Turns(keras.callbacks.Callback):
    def __init__(self, batch_size: int, tokens: list[int]) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._tokens = tokens

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        slices.step_done(self._batch_size, self._tokens[batch], lambda: float(logs["loss"]))


def build(workload: Workload) -> Any:
    preset, length = str(workload.model), workload.settings["max_length"]
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        keras_hub.models.BertTokenizer.from_preset(preset), sequence_length=length
    )
    classifier = keras_hub.models.BertTextClassifier(
        backbone=keras_hub.models.BertBackbone.from_preset(preset),
        num_classes=2,
        preprocessor=preprocessor,
        dropout=workload.settings["dropout"],
    )
    head = load_file(workload.model / "model.safetensors")
    classifier.output_dense.set_weights([head["classifier.weight"].T, head["classifier.bias"]])
    return classifier


def optimizer_of(workload: Workload) -> Any:
    settings = workload.settings
    optimizer = keras.optimizers.AdamW(
        WarmUpAndDecay(settings["learning_rate"], workload.warmup_steps, workload.total_steps),
        weight_decay=settings["weight_decay"],
        global_clipnorm=settings["max_gradient_norm"],
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    # KerasHub's preprocessing runs in TensorFlow with every backend.
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    workload = read_workload(options.folder)
    keras.utils.set_random_seed(workload.settings["seed"])
    classifier = build(workload)
    texts, batches = workload.train, workload.batches()
    pairs = (np.array(texts.first), np.array(texts.second))
    labels = np.array(texts.labels)
    # With labels: a pair alone would be taken for a text and its label.
    inputs, _ = classifier.preprocessor(tuple(tf.constant(part[batches[0]]) for part in pairs), labels[batches[0]])
    lengths = np.asarray(inputs["padding_mask"]).sum(axis=1)
    logits = keras.ops.convert_to_numpy(classifier(inputs, training=False))
    loss = cross_entropy(logits, labels[batches[0]])
    expected = texts.lengths[batches[0]]
    classifier.compile(
        optimizer=optimizer_of(workload), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    rows = batches.ravel()
    slices.ready(
        versions=versions("keras-hub", "keras", "tensorflow"),
        first_batch_loss=loss,
        precision="fp32",
        backend=keras.backend.backend(),
        jit_compile=bool(classifier.jit_compile),
        padded_to=int(inputs["token_ids"].shape[1]),
        first_batch_tokens_differ=int((lengths != expected).sum()),
    )
    slices.wait()
    classifier.fit(
        tuple(part[rows] for part in pairs),
        labels[rows],
        batch_size=workload.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[Turns(workload.batch_size, workload.tokens_of(batches))],
    )


if __name__ == "__main__":
    main()
