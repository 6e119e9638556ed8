"""The lesson: tf-models-official's tokenizer, `classifier_model`, `create_optimizer`, then Keras' `compile` and `fit`.

It pads every example to the longest one of the training data, as the lesson does. Its `gelu` is the tanh
approximation, so its losses differ in the fourth digit from those of systems that compute erf.
"""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse
import os
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from official.legacy.bert import bert_models, configs
from official.nlp import optimization
from official.nlp.tools import tokenization

from benchmarks.machine import versions
from benchmarks.speed.workload import Workload, cross_entropy, read_workload


class Turns(tf_keras.callbacks.Callback):
    def __init__(self, batch_size: int, tokens: list[int]) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._tokens = tokens

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        slices.step_done(self._batch_size, self._tokens[batch], lambda: float(logs["loss"]))


def encode(workload: Workload) -> dict[str, np.ndarray]:
    tokenizer = tokenization.FullTokenizer(vocab_file=str(workload.model / "vocab.txt"), do_lower_case=True)

    def pieces(text: str) -> list[int]:
        return tokenizer.convert_tokens_to_ids([*tokenizer.tokenize(text), "[SEP]"])

    texts = workload.train
    firsts = [[tokenizer.vocab["[CLS]"], *pieces(text)] for text in texts.first]
    seconds = [pieces(text) for text in texts.second]
    lengths = [len(first) + len(second) for first, second in zip(firsts, seconds, strict=True)]
    workload.check_lengths(lengths, "train")
    arrays = {
        name: np.zeros((len(texts), max(lengths)), np.int32)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    for row, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        arrays["input_word_ids"][row, : lengths[row]] = first + second
        arrays["input_mask"][row, : lengths[row]] = 1
        arrays["input_type_ids"][row, len(first) : lengths[row]] = 1
    return arrays


def main() -> None:
    slices.imports_done()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    workload = read_workload(options.folder)
    tf_keras.utils.set_random_seed(workload.settings["seed"])
    inputs = encode(workload)
    labels = np.array(workload.train.labels)
    config = configs.BertConfig.from_json_file(str(workload.folder / "tensorflow" / "bert_config.json"))
    classifier, _ = bert_models.classifier_model(config, 2)
    checkpoint = tf.train.Checkpoint(model=classifier)
    checkpoint.restore(str(workload.folder / "tensorflow" / "classifier")).assert_consumed()
    batches = workload.batches()
    first = {name: values[batches[0]] for name, values in inputs.items()}
    loss = cross_entropy(classifier(first, training=False).numpy(), labels[batches[0]])
    classifier.compile(
        optimizer=optimization.create_optimizer(
            workload.settings["learning_rate"],
            num_train_steps=workload.total_steps,
            num_warmup_steps=workload.warmup_steps,
        ),
        loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[tf_keras.metrics.SparseCategoricalAccuracy("accuracy", dtype=tf.float32)],
    )
    rows = batches.ravel()
    ordered = {name: values[rows] for name, values in inputs.items()}
    slices.ready(
        versions=versions("tf-models-official", "tensorflow", "tensorflow-cpu", "tf-keras"),
        first_batch_loss=loss,
        precision="fp32",
        padded_to=int(inputs["input_mask"].shape[1]),
    )
    slices.wait()
    # Already in the workload's order, all epochs one behind the other.
    classifier.fit(
        ordered,
        labels[rows],
        batch_size=workload.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[Turns(workload.batch_size, workload.tokens_of(batches))],
    )


if __name__ == "__main__":
    main()
